import type { Measurement } from "../../crds/optimization-job.ts";
import { type Tried, choose } from "./choice.ts";
import { compare } from "./goals.ts";

const before: Measurement = {
  bytes: 1000,
  parameters: 250,
  accuracy: 0.98,
  latencyP50Milliseconds: 1,
  throughputPerSecond: 100,
};

function tried(name: string, bytes: number, latency: number, accuracy: number): Tried {
  return { name, comparison: compare(before, { ...before, bytes, latencyP50Milliseconds: latency, accuracy }) };
}

const GOALS = { maxAccuracyDrop: 0.01, minSizeRatio: 2, onMiss: "KeepBest" } as const;

const large = tried("large", 600, 0.5, 0.98);
const good = tried("good", 400, 0.5, 0.975);
const small = tried("small", 200, 0.4, 0.972);
const wrong = tried("wrong", 100, 0.1, 0.9);

it("keeps the last candidate, to which all methods were applied, when it reaches the goals", () => {
  const { chosen, candidates } = choose([small, good], GOALS, false);
  expect(chosen).toBe(1);
  expect(candidates.map(({ why }) => why)).toEqual([
    'reaches every goal, with less gain (12.5) than "good"',
    "all methods were applied, and every goal is reached",
  ]);
});

it("keeps an earlier candidate when the last one breaks the accuracy budget, and says what that misses", () => {
  const { chosen, candidates } = choose([good, wrong], GOALS, false);
  expect(chosen).toBe(0);
  expect(candidates[1]?.why).toBe("misses maxAccuracyDrop 0.01: accuracy fell by 0.08");
});

it("searches for most gain among those that reach every goal", () => {
  const { chosen, candidates } = choose([large, good, small, wrong], GOALS, true);
  expect(chosen).toBe(2);
  expect(candidates[2]).toMatchObject({
    chosen: true,
    why: "most gain (12.5: size ratio x speedup) of the 2 that reach every goal",
  });
});

it("keeps what misses least when none reaches every goal", () => {
  const { chosen, candidates } = choose([large, wrong], { ...GOALS, minSizeRatio: 2.5 }, true);
  expect(chosen).toBe(0);
  expect(candidates[0]?.why).toBe(
    "none reaches every goal; this one misses least: minSizeRatio 2.5: the artefact is 1.667 times smaller",
  );
});

it("shows the Pareto front: none of it is worse than another in everything", () => {
  const dominated = tried("dominated", 450, 0.6, 0.974);
  const { candidates } = choose([large, good, dominated, small], GOALS, true);
  expect(candidates.map(({ onFront }) => onFront)).toEqual([true, true, false, true]);
  expect(candidates[2]?.why).toBe("another is at least as accurate, small and fast");
});

it("says why a candidate could not be made, and goes on without it", () => {
  const { chosen, candidates } = choose([{ name: "impossible", failure: "nothing to prune" }, good], GOALS, true);
  expect(chosen).toBe(1);
  expect(candidates[0]).toEqual({
    methods: "impossible",
    why: "could not be made: nothing to prune",
    onFront: false,
    chosen: false,
  });
});

it("shows 32 candidates at most, the chosen one and the front among them", () => {
  const many = Array.from({ length: 40 }, (_, index) => tried(`many ${index}`, 900, 0.9 + index / 1000, 0.971));
  const { candidates } = choose([...many, small], GOALS, true);
  expect(candidates).toHaveLength(32);
  expect(candidates.at(-1)).toMatchObject({ methods: "small", chosen: true });
});
