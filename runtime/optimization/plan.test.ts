import { Method } from "../../crds/optimization-methods.ts";
import { trialsOf } from "./plan.ts";

const methods = [
  { distil: { student: { scale: 0.5 }, epochs: 1 } },
  { prune: { structured: { sparsity: 0.3 } } },
  { prune: { structured: { sparsity: 0.5 } } },
  { quantize: { weights: "Uint8" } },
].map((method) => Method.parse(method));

it("applies the methods in order, and measures after each", () => {
  const trials = trialsOf({ methods: [methods[0], methods[1], methods[3]].flatMap((method) => method ?? []) });
  expect(trials.map(({ name }) => name)).toEqual([
    "distil into 50 %",
    "distil into 50 % > prune 30 % of the units",
    "distil into 50 % > prune 30 % of the units > quantize Uint8",
  ]);
});

it("searches every selection with one method of a kind, each after the one that it goes on from", () => {
  const trials = trialsOf({ methods, search: { timeBudget: "1m" } }).map((trial) => trial.methods.join("-"));
  expect(trials).toEqual(["0", "0-1", "0-1-3", "0-2", "0-2-3", "0-3", "1", "1-3", "2", "2-3", "3"]);
  for (const trial of trials) {
    const parent = trial.split("-").slice(0, -1).join("-");
    if (parent !== "") expect(trials.indexOf(parent)).toBeLessThan(trials.indexOf(trial));
  }
});

it("takes zeroing weights by magnitude and by pattern as alternatives", () => {
  const sparse = [{ prune: { magnitude: { sparsity: 0.5 } } }, { prune: { pattern: { n: 2, m: 4 } } }];
  const trials = trialsOf({ methods: sparse.map((method) => Method.parse(method)), search: { timeBudget: "1m" } });
  expect(trials.map(({ name }) => name)).toEqual(["prune 50 % of the weights", "prune 2 of 4"]);
});
