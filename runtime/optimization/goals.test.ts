import type { Measurement } from "../../crds/optimization-job.ts";
import { compare, missedGoals } from "./goals.ts";
import { fromNumbers, toNumbers } from "./record.ts";
import { median } from "./speed.ts";

const before: Measurement = {
  bytes: 1000,
  parameters: 250,
  accuracy: 0.98,
  loss: 0.1,
  latencyP50Milliseconds: 1,
  throughputPerSecond: 100,
};
const after: Measurement = {
  bytes: 200,
  parameters: 120,
  accuracy: 0.97,
  loss: 0.2,
  latencyP50Milliseconds: 2,
  throughputPerSecond: 50,
};

it("compares what was measured, also when it got worse", () => {
  const { sizeRatio, speedup, accuracyDrop } = compare(before, after);
  expect({ sizeRatio, speedup }).toEqual({ sizeRatio: 5, speedup: 0.5 });
  expect(accuracyDrop).toBeCloseTo(0.01, 12);
});

it("has no drop of an accuracy that there is not", () => {
  const { accuracy: _, ...without } = before;
  expect(compare(without, after)).not.toHaveProperty("accuracyDrop");
});

it("meets goals that are just reached, whatever the rounding", () => {
  const goals = { maxAccuracyDrop: 0.01, minSizeRatio: 5, minSpeedup: 0.5, onMiss: "Fail" } as const;
  expect(missedGoals(goals, compare(before, after))).toEqual([]);
});

it("names each goal that was missed and what was measured", () => {
  const goals = { maxAccuracyDrop: 0.005, minSizeRatio: 6, minSpeedup: 1.5, onMiss: "Fail" } as const;
  expect(missedGoals(goals, compare(before, after))).toEqual([
    "maxAccuracyDrop 0.005: accuracy fell by 0.01",
    "minSizeRatio 6: the artefact is 5 times smaller",
    "minSpeedup 1.5: a prediction is 0.5 times as fast",
  ]);
});

it("misses an accuracy that could not be measured", () => {
  const { accuracy: _, ...without } = after;
  expect(missedGoals({ maxAccuracyDrop: 0.5, onMiss: "Fail" }, compare(before, without))).toHaveLength(1);
});

it("survives the artefact's manifest", () => {
  const comparison = compare(before, after);
  expect(fromNumbers(toNumbers(comparison))).toEqual(comparison);
  expect(fromNumbers({ loss: 0.1 })).toBeUndefined();
  expect(fromNumbers(undefined)).toBeUndefined();
});

it("takes the middle, or the mean of the two middle ones", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});
