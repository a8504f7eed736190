import { describe, expect, it } from "@jest/globals";
import { inOwnFields, quotaFailure } from "./refusal.ts";

describe("a ResourceQuota that keeps pods from being created", () => {
  it("is named with what to lower", () => {
    const message =
      'pods "digits-1" is forbidden: exceeded quota: small, requested: cpu=2, used: cpu=0, limited: cpu=1';
    expect(quotaFailure(message)).toEqual({
      reason: "QuotaExceeded",
      message: `${message}; lower spec.resources or ask for a larger ResourceQuota`,
    });
  });

  it("is named with the fields that it wants to be set", () => {
    const message =
      'pods "digits-1" is forbidden: failed quota: small: must specify limits.memory for: runtime; cpu for: runtime';
    expect(quotaFailure(message)?.message).toBe(
      `${message}; set spec.resources.limits.memory and spec.resources.requests.cpu`,
    );
  });

  it("is not seen in another refusal", () => {
    expect(quotaFailure('pods "a" is forbidden: violates PodSecurity "restricted"')).toBeUndefined();
  });
});

describe("a refused Job or Deployment", () => {
  it.each([
    ["spec.template.spec.containers[0].resources.requests: Invalid", "spec.resources.requests: Invalid"],
    ["spec.template.spec.tolerations[0].operator: Invalid", "spec.pod.tolerations[0].operator: Invalid"],
    ["spec.template.spec.containers[0].env[0].name: Required", "spec.pod.env[0].name: Required"],
    ["spec.template.labels: Invalid", "spec.pod.labels: Invalid"],
    ["spec.activeDeadlineSeconds: Invalid", "spec.activeDeadlineSeconds: Invalid"],
  ])("is told in the fields that the user wrote: %s", (said, told) => {
    expect(inOwnFields(said)).toBe(told);
  });
});
