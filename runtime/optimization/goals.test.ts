import type { Measurement } from "../../crds/optimization-job.ts";
import { compare, missedGoals, totalShortfall, worsened } from "./goals.ts";

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

it("judges bytes, latency, throughput, accuracy and loss by their own limits", () => {
  const goals = {
    maxBytes: "150",
    maxLatencyMilliseconds: 1.5,
    minThroughputPerSecond: 80,
    minAccuracy: 0.98,
    maxLossIncrease: 0.05,
    onMiss: "Fail",
  } as const;
  expect(missedGoals(goals, compare(before, after))).toEqual([
    "minAccuracy 0.98: accuracy is 0.97",
    "maxLossIncrease 0.05: loss rose by 0.1",
    "maxBytes 150: the files have 200 bytes",
    "maxLatencyMilliseconds 1.5: a prediction takes 2 ms",
    "minThroughputPerSecond 80: 50 predictions a second",
  ]);
  const reached = { ...goals, maxBytes: "1Ki", maxLatencyMilliseconds: 2, minThroughputPerSecond: 50 };
  expect(missedGoals({ ...reached, minAccuracy: 0.97, maxLossIncrease: 0.1 }, compare(before, after))).toEqual([]);
});

const shortfall = (goals: object) => totalShortfall({ onMiss: "Fail", ...goals }, compare(before, after));

it("knows how far goals are missed, in relation to each", () => {
  expect(shortfall({ minSpeedup: 1 })).toBeCloseTo(0.5, 9);
  expect(shortfall({ minSpeedup: 1, maxBytes: 100 })).toBeCloseTo(1.5, 9);
  expect(shortfall({ minSizeRatio: 5 })).toBe(0);
});

it("says what got worse", () => {
  const larger = { ...after, bytes: 2000, compressedBytes: 300 };
  expect(worsened(compare({ ...before, compressedBytes: 150 }, larger))).toEqual([
    "the files are 2 times larger",
    "the compressed files are 2 times larger",
    "a prediction takes 2 times as long",
    "throughput is 0.5 times what it was",
  ]);
  expect(worsened(compare(after, before))).toEqual(["the files are 5 times larger"]);
});
