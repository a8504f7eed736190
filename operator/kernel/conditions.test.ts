import { type Condition, findCondition, isTrue, removeCondition, setCondition, setHealth } from "./conditions.ts";

const monday = Date.UTC(2026, 0, 5, 12, 0, 0, 123);
const tuesday = monday + 86_400_000;
const ready = { type: "Ready", status: "True", reason: "Serving", message: "2 of 2", observedGeneration: 1 } as const;

describe("conditions", () => {
  it("change their transition time only with their status", () => {
    const first = setCondition([], ready, monday);
    expect(first).toEqual([{ ...ready, lastTransitionTime: "2026-01-05T12:00:00Z" }]);
    const same = setCondition(first, { ...ready, message: "3 of 3", observedGeneration: 2 }, tuesday);
    expect(same[0]).toMatchObject({ message: "3 of 3", lastTransitionTime: "2026-01-05T12:00:00Z" });
    const changed = setCondition(same, { ...ready, status: "False" }, tuesday);
    expect(changed[0]?.lastTransitionTime).toBe("2026-01-06T12:00:00Z");
    expect(first[0]?.message).toBe("2 of 2");
  });

  it("keep their order, and can be removed", () => {
    const both = setCondition(setCondition([], ready, monday), { ...ready, type: "Other" }, monday);
    expect(setCondition(both, { ...ready, message: "x" }, monday).map(({ type }) => type)).toEqual(["Ready", "Other"]);
    expect(removeCondition(both, "Ready").map(({ type }) => type)).toEqual(["Other"]);
    expect(isTrue(both, "Ready")).toBe(true);
    expect(findCondition(undefined, "Ready")).toBeUndefined();
  });

  it("have messages of at most 1024 characters", () => {
    const [condition] = setCondition([], { ...ready, message: "x".repeat(5000) }, monday);
    expect(condition?.message).toHaveLength(1024);
    expect(condition?.message.endsWith("…")).toBe(true);
  });

  it.each([
    ["Ready", { Ready: "True" }],
    ["Reconciling", { Ready: "False", Reconciling: "True" }],
    ["Stalled", { Ready: "False", Stalled: "True" }],
  ] as const)("say %s the way kstatus reads it, whatever was said before", (state, wanted) => {
    for (const before of ["Ready", "Reconciling", "Stalled"] as const) {
      let conditions: Condition[] = [];
      for (const next of [before, state]) {
        conditions = setHealth(conditions, { state: next, reason: next, message: "m" }, 3, monday);
      }
      expect(Object.fromEntries(conditions.map(({ type, status }) => [type, status]))).toEqual(wanted);
      expect(conditions.every(({ observedGeneration }) => observedGeneration === 3)).toBe(true);
    }
  });
});
