import { describe, expect, it } from "@jest/globals";
import type { Stored } from "../kernel/meta.ts";
import { admissionOf } from "./admission.ts";
import { queueNotes } from "./notes.ts";
import { type Workload, workloadRecord } from "./workload.ts";

const METADATA = { name: "job-digits-1", namespace: "lab", uid: "w", resourceVersion: "1" };

/** As Kueue 0.19 writes it. */
function workload(status: Workload["status"], spec: Workload["spec"] = { active: true }) {
  const base = { apiVersion: "kueue.x-k8s.io/v1beta2", kind: "Workload", metadata: METADATA };
  return workloadRecord({ ...base, spec, status } as Stored<Workload>);
}

const condition = (type: string, status: string, reason: string, message: string) => ({
  type,
  status,
  reason,
  message,
});
const NO_QUOTA =
  "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default, 1 more needed";
const pending = condition("QuotaReserved", "False", "Pending", NO_QUOTA);
const missing = condition("QuotaReserved", "False", "Inadmissible", "LocalQueue team-a doesn't exist");
const reserved = condition("QuotaReserved", "True", "QuotaReserved", "Quota reserved in ClusterQueue team");
const admitted = condition("Admitted", "True", "Admitted", "The workload is admitted");
const preempted = condition("Evicted", "True", "Preempted", "Preempted to accommodate a workload");
const timeout = condition("Evicted", "True", "PodsReadyTimeout", "Exceeded the PodsReady timeout");

const is = (reason: string, message: string) => [
  { type: "Queued", status: "True", reason, message, lastTransitionTime: "" } as const,
];

describe("what a user is told of a queue", () => {
  it.each([
    ["there is no quota", workload({ conditions: [pending] }), "WaitingForQuota", "1 more needed"],
    ["the LocalQueue is missing", workload({ conditions: [missing] }), "Inadmissible", "correct spec.queueName"],
    [
      "it was preempted",
      workload({ conditions: [pending, preempted] }),
      "Preempted",
      "accommodate a workload; it goes on",
    ],
    ["it was evicted otherwise", workload({ conditions: [pending, timeout] }), "Evicted", "PodsReady timeout"],
    ["checks are under way", workload({ conditions: [reserved] }), "WaitingForAdmission", "admission checks"],
    ["its Workload is not there yet", undefined, "WaitingForAdmission", "has not answered"],
    [
      "its Workload is deactivated",
      workload({ conditions: [pending] }, { active: false }),
      "Inadmissible",
      "spec.active",
    ],
  ])("when %s", (_when, record, reason, text) => {
    const admission = admissionOf("team-a", "Present", record);
    expect(admission.reason).toBe(reason);
    expect(admission.message).toContain(text);
  });

  it("when it is admitted: by which ClusterQueue, also after a preemption", () => {
    const status = { admission: { clusterQueue: "team" }, conditions: [reserved, admitted] };
    expect(admissionOf("team-a", "Present", workload(status))).toMatchObject({
      reason: "Admitted",
      clusterQueue: "team",
    });
  });

  it("when Kueue is not there: what to do about it", () => {
    expect(admissionOf("team-a", "Absent", undefined)).toMatchObject({
      reason: "KueueNotInstalled",
      message: expect.stringContaining("install it, or remove spec.queueName"),
    });
  });

  it("by an event for each new reason, and none for another position or wording", () => {
    expect(queueNotes([], is("WaitingForQuota", "a"))).toMatchObject([{ type: "Normal", reason: "WaitingForQuota" }]);
    expect(queueNotes(is("WaitingForQuota", "a"), is("WaitingForQuota", "b"))).toEqual([]);
    expect(queueNotes(is("Admitted", ""), is("Preempted", "by another"))).toMatchObject([{ reason: "Preempted" }]);
    expect(queueNotes(is("Admitted", ""), is("NotQueued", ""))).toEqual([]);
    expect(queueNotes([], is("KueueNotInstalled", ""))).toMatchObject([{ type: "Warning" }]);
  });
});
