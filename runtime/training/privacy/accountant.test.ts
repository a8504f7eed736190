import { assert, double, integer, property } from "fast-check";
import { Accountant, type Mechanism, renyiOfStep } from "./accountant.ts";

/** Values as published with TensorFlow Privacy, and others calculated from the formula in double precision. */
it.each([
  { of: "150 of 60,000", q: 150 / 60000, sigma: 1.3, steps: 6000, delta: 1e-5, epsilon: 0.7242234026 },
  { of: "100 of 100,000", q: 100 / 100000, sigma: 1, steps: 30000, delta: 1e-7, epsilon: 1.4154988495 },
  { of: "256 of 60,000", q: 256 / 60000, sigma: 1.1, steps: 14063, delta: 1e-5, epsilon: 2.5970795197 },
  { of: "4 of 100", q: 0.04, sigma: 1.5, steps: 2250, delta: 1e-5, epsilon: 7.3298768 },
  { of: "1 of 100", q: 0.01, sigma: 1, steps: 1000, delta: 1e-5, epsilon: 2.1077530751 },
  { of: "1 of 1,000", q: 0.001, sigma: 1, steps: 10000, delta: 1e-5, epsilon: 0.7876595344 },
  { of: "32 of 60,000, ten epochs", q: 32 / 60000, sigma: 1, steps: 18750, delta: 1e-5, epsilon: 0.6745640118 },
  { of: "all examples", q: 1, sigma: 0.7, steps: 2, delta: 1e-5, epsilon: 10.9241404596 },
])("steps of $of examples cost epsilon $epsilon", ({ q, sigma, steps, delta, epsilon: expected }) => {
  const accountant = new Accountant({ samplingRate: q, noiseMultiplier: sigma }, delta);
  expect(accountant.epsilon(steps)).toBeCloseTo(expected, 7);
});

it.each([
  [2, 1.7181342207e-4],
  [3, 2.6463757458e-4],
  [8, 8.9364390761e-4],
  [16, 3.0878507837],
  [32, 11.2462759371],
])("the divergence of order %i of one step is %d", (order, value) => {
  const divergence = renyiOfStep({ samplingRate: 0.01, noiseMultiplier: 1 }, order);
  expect(divergence / value).toBeCloseTo(1, 8);
});

it.each([
  [5, 1.0854871e-3 /* between 2.5 and 5 it grows */, 2.18075656e-3],
  [50, 2.18075656e-3, 2.38460375e-2],
  [100, 2.38460375e-2, 167.416308],
])("fifty steps at order %i agree with the published vector", (order, below, value) => {
  const divergence = 50 * renyiOfStep({ samplingRate: 0.01, noiseMultiplier: 2.5 }, order);
  expect(divergence).toBeGreaterThan(below);
  expect(divergence / value).toBeCloseTo(1, 6);
});

it("no step costs nothing, and an example that is never sampled gives nothing away", () => {
  expect(new Accountant({ samplingRate: 0.01, noiseMultiplier: 1 }, 1e-5).epsilon(0)).toBe(0);
  expect(renyiOfStep({ samplingRate: 0, noiseMultiplier: 1 }, 8)).toBe(0);
});

const epsilon = (mechanism: Mechanism, steps: number) => new Accountant(mechanism, 1e-5).epsilon(steps);

it("more steps, more examples and less noise never cost less", () => {
  const rate = double({ min: 1e-4, max: 0.5, noNaN: true });
  const noise = double({ min: 0.5, max: 5, noNaN: true });
  const steps = integer({ min: 1, max: 5000 });
  assert(
    property(rate, noise, steps, (samplingRate, noiseMultiplier, count) => {
      const base = epsilon({ samplingRate, noiseMultiplier }, count);
      const slack = 1e-9 + base * 1e-9;
      expect(epsilon({ samplingRate, noiseMultiplier }, count + 1)).toBeGreaterThanOrEqual(base - slack);
      expect(epsilon({ samplingRate: samplingRate * 1.5, noiseMultiplier }, count)).toBeGreaterThanOrEqual(
        base - slack,
      );
      expect(epsilon({ samplingRate, noiseMultiplier: noiseMultiplier / 1.5 }, count)).toBeGreaterThanOrEqual(
        base - slack,
      );
    }),
    { numRuns: 20 },
  );
});

it("a budget is never exceeded, and one step more would", () => {
  const budgets = double({ min: 0.3, max: 8, noNaN: true });
  const accountant = new Accountant({ samplingRate: 0.02, noiseMultiplier: 1.1 }, 1e-5);
  assert(
    property(budgets, (budget) => {
      const limit = 20000;
      const steps = accountant.stepsWithin(budget, limit);
      expect(accountant.epsilon(steps)).toBeLessThanOrEqual(budget);
      if (steps < limit) expect(accountant.epsilon(steps + 1)).toBeGreaterThan(budget);
    }),
    { numRuns: 30 },
  );
});
