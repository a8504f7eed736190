/** The learning rate of each update, by the formulas of Keras' schedules. */
import type { LearningRateSchedule } from "../../crds/optimizer.ts";
import { only } from "../../crds/schema.ts";

/** The rate of the update with this number, from 0. */
export type Schedule = (update: number) => number;

type Shapes = Required<{ [K in keyof Exclude<LearningRateSchedule, undefined>]: unknown }>;
type Settings<K extends keyof Shapes> = Exclude<LearningRateSchedule[K], undefined>;

function piecewise(rate: number, { boundaries, values }: Settings<"piecewiseConstantDecay">, update: number): number {
  const passed = boundaries.filter((boundary) => update > boundary).length;
  return passed === 0 ? rate : (values[passed - 1] ?? rate);
}

function polynomial(
  rate: number,
  { decaySteps, endLearningRate, power, cycle }: Settings<"polynomialDecay">,
  update: number,
): number {
  const steps = cycle ? decaySteps * Math.max(1, Math.ceil(update / decaySteps)) : decaySteps;
  const done = Math.min(update, steps) / steps;
  return (rate - endLearningRate) * (1 - done) ** power + endLearningRate;
}

const cosine = (done: number, alpha: number) => (1 - alpha) * 0.5 * (1 + Math.cos(Math.PI * done)) + alpha;

function cosineDecay(
  rate: number,
  { decaySteps, alpha, warmupSteps, warmupFrom }: Settings<"cosineDecay">,
  update: number,
): number {
  if (update < warmupSteps) return warmupFrom + (rate - warmupFrom) * (update / warmupSteps);
  return rate * cosine(Math.min(update - warmupSteps, decaySteps) / decaySteps, alpha);
}

function cosineDecayRestarts(
  rate: number,
  { firstDecaySteps, timeFactor: t, rateFactor, alpha }: Settings<"cosineDecayRestarts">,
  update: number,
): number {
  const time = update / firstDecaySteps;
  const restarts = t === 1 ? Math.floor(time) : Math.floor(Math.log(1 - time * (1 - t)) / Math.log(t));
  const passed = t === 1 ? restarts : (1 - t ** restarts) / (1 - t);
  const done = (time - passed) / t ** restarts;
  const height = 0.5 * rateFactor ** restarts * (1 + Math.cos(Math.PI * done));
  return rate * ((1 - alpha) * height + alpha);
}

const time = (update: number, { decaySteps, staircase }: { decaySteps: number; staircase: boolean }) =>
  staircase ? Math.floor(update / decaySteps) : update / decaySteps;

/** `rate`: the optimizer's learning rate. */
export function scheduleOf(rate: number, declared: LearningRateSchedule | undefined): Schedule {
  if (declared === undefined) return () => rate;
  const [kind, settings] = only(declared);
  return (update) => {
    switch (kind) {
      case "exponentialDecay":
        return rate * settings.decayRate ** time(update, settings);
      case "piecewiseConstantDecay":
        return piecewise(rate, settings, update);
      case "polynomialDecay":
        return polynomial(rate, settings, update);
      case "inverseTimeDecay":
        return rate / (1 + settings.decayRate * time(update, settings));
      case "cosineDecay":
        return cosineDecay(rate, settings, update);
      case "cosineDecayRestarts":
        return cosineDecayRestarts(rate, settings, update);
    }
  };
}
