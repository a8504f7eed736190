import { describe, expect, it } from "@jest/globals";
import { leaseRules, rules } from "./rbac.ts";

const all = [...rules, ...leaseRules];

describe("the operator's rights", () => {
  it("name every group, resource and verb", () => {
    const named = all.flatMap(({ apiGroups, resources, verbs }) => [...apiGroups, ...resources, ...verbs]);
    expect(named.filter((name) => name.includes("*"))).toEqual([]);
  });

  it("make new Secrets, and neither read nor change any", () => {
    const onSecrets = all.filter(({ resources }) => resources.includes("secrets"));
    expect(onSecrets.map(({ resources, verbs }) => [resources, verbs])).toEqual([[["secrets"], ["create"]]]);
  });

  it("reach no RBAC, no token and no exec", () => {
    const resources = all.flatMap(({ resources: names }) => names);
    expect(resources.filter((name) => /role|token|exec|serviceaccount|nodes/.test(name))).toEqual([]);
  });

  it("do not reach specs of our own kinds: users write them, and nobody else", () => {
    const own = rules.filter(
      ({ apiGroups, resources }) => apiGroups.includes("modelwright.dev") && resources.includes("trainingjobs"),
    );
    expect(own.flatMap(({ verbs }) => verbs)).toEqual(["get", "list", "watch"]);
  });
});
