import { assert, double, integer, oneof, property, record } from "fast-check";
import { LearningRateSchedule } from "../../crds/optimizer.ts";
import { scheduleOf } from "./schedule.ts";

const at = (rate: number, declared: object | undefined, step: number) =>
  scheduleOf(rate, declared === undefined ? undefined : LearningRateSchedule.parse(declared))(step);

const polynomial = { decaySteps: 10, endLearningRate: 0.001 };
const piecewise = { boundaries: [100, 110, 120], values: [0.1, 0.01, 0.001] };
const warm = { decaySteps: 1000, warmupSteps: 100 };

it.each<[string, number, object, number, number]>([
  ["exponential", 0.05, { exponentialDecay: { decaySteps: 10, decayRate: 0.96 } }, 5, 0.0489897949],
  [
    "exponential, in stairs",
    0.1,
    { exponentialDecay: { decaySteps: 3, decayRate: 0.96, staircase: true } },
    100,
    0.0259986436,
  ],
  ["piecewise, on the first boundary", 1, { piecewiseConstantDecay: piecewise }, 100, 1],
  ["piecewise, behind it", 1, { piecewiseConstantDecay: piecewise }, 105, 0.1],
  ["piecewise, on the second", 1, { piecewiseConstantDecay: piecewise }, 110, 0.1],
  ["piecewise, on the third", 1, { piecewiseConstantDecay: piecewise }, 120, 0.01],
  ["piecewise, at the end", 1, { piecewiseConstantDecay: piecewise }, 999, 0.001],
  ["polynomial", 0.05, { polynomialDecay: polynomial }, 5, 0.0255],
  ["polynomial, behind its end", 0.05, { polynomialDecay: polynomial }, 15, 0.001],
  ["polynomial, in cycles", 0.05, { polynomialDecay: { ...polynomial, cycle: true } }, 15, 0.049 * 0.25 + 0.001],
  ["polynomial, in cycles, at first", 0.05, { polynomialDecay: { ...polynomial, cycle: true } }, 0, 0.05],
  ["inverse time", 0.1, { inverseTimeDecay: { decaySteps: 1, decayRate: 0.1 } }, 5, 0.1 / 1.5],
  [
    "inverse time, in stairs",
    0.1,
    { inverseTimeDecay: { decaySteps: 2, decayRate: 0.1, staircase: true } },
    5,
    0.1 / 1.2,
  ],
  ["cosine at first", 0.001, { cosineDecay: { decaySteps: 1000 } }, 0, 0.001],
  ["cosine", 0.001, { cosineDecay: { decaySteps: 1000 } }, 250, 0.0008535533906],
  ["cosine", 0.001, { cosineDecay: { decaySteps: 1000 } }, 500, 0.0005],
  ["cosine", 0.001, { cosineDecay: { decaySteps: 1000 } }, 750, 0.0001464466094],
  ["cosine at its end", 0.001, { cosineDecay: { decaySteps: 1000 } }, 1000, 0],
  ["cosine behind its end", 0.001, { cosineDecay: { decaySteps: 1000 } }, 4000, 0],
  ["cosine with alpha", 0.001, { cosineDecay: { decaySteps: 1000, alpha: 0.1 } }, 500, 0.00055],
  ["cosine with alpha at its end", 0.001, { cosineDecay: { decaySteps: 1000, alpha: 0.1 } }, 1000, 0.0001],
  ["warm-up", 0.001, { cosineDecay: warm }, 50, 0.0005],
  ["warm-up at its end", 0.001, { cosineDecay: warm }, 100, 0.001],
  ["cosine after warm-up", 0.001, { cosineDecay: warm }, 600, 0.0005],
  ["the end after warm-up", 0.001, { cosineDecay: warm }, 1100, 0],
  ["restarts, half of the first", 1, { cosineDecayRestarts: { firstDecaySteps: 100 } }, 50, 0.5],
  ["restarts, anew", 1, { cosineDecayRestarts: { firstDecaySteps: 100 } }, 100, 1],
  ["restarts, half of the second, twice as long", 1, { cosineDecayRestarts: { firstDecaySteps: 100 } }, 200, 0.5],
  [
    "restarts of equal length and half the height",
    1,
    { cosineDecayRestarts: { firstDecaySteps: 100, timeFactor: 1, rateFactor: 0.5 } },
    250,
    0.125,
  ],
])("%s: the rate is that of Keras", (_, rate, declared, step, expected) => {
  expect(at(rate, declared, step)).toBeCloseTo(expected, 9);
});

it("without a schedule the rate stays", () => {
  expect(at(0.3, undefined, 1e6)).toBe(0.3);
});

const settings = oneof(
  record({
    exponentialDecay: record({
      decaySteps: integer({ min: 1, max: 1000 }),
      decayRate: double({ min: 0.1, max: 1, noNaN: true }),
    }),
  }),
  record({
    cosineDecay: record({
      decaySteps: integer({ min: 1, max: 1000 }),
      alpha: double({ min: 0, max: 1, noNaN: true }),
    }),
  }),
  record({
    cosineDecayRestarts: record({
      firstDecaySteps: integer({ min: 1, max: 1000 }),
      timeFactor: double({ min: 1, max: 3, noNaN: true }),
    }),
  }),
  record({
    inverseTimeDecay: record({
      decaySteps: integer({ min: 1, max: 1000 }),
      decayRate: double({ min: 0.01, max: 10, noNaN: true }),
    }),
  }),
);

it("a rate is never negative and never above the first, whatever the step", () => {
  assert(
    property(settings, integer({ min: 0, max: 100_000 }), (declared, step) => {
      const rate = at(0.01, declared, step);
      return rate >= 0 && rate <= 0.01 * (1 + 1e-9);
    }),
  );
});
