/** Compares what was measured before and after, and judges the goals. */
import { quantityValue } from "../../crds/contract/quantity.ts";
import type { OptimizationRun } from "../../crds/contract/run.ts";
import type { Measurement } from "../../crds/optimization-job.ts";

export type Goals = OptimizationRun["optimization"]["goals"];

export interface Comparison {
  before: Measurement;
  after: Measurement;
  sizeRatio: number;
  speedup: number;
  accuracyDrop?: number;
}

export function compare(before: Measurement, after: Measurement): Comparison {
  // Accuracies are means of float32 numbers: what differs behind the sixth digit is no difference.
  const accuracyDrop =
    before.accuracy === undefined || after.accuracy === undefined
      ? undefined
      : Math.round((before.accuracy - after.accuracy) * 1e6) / 1e6;
  return {
    before,
    after,
    sizeRatio: before.bytes / after.bytes,
    speedup: before.latencyP50Milliseconds / after.latencyP50Milliseconds,
    ...(accuracyDrop === undefined ? {} : { accuracyDrop }),
  };
}

export const show = (value: number) => Number(value.toPrecision(4));

/** Rounding of a difference of two shares must not miss a goal. */
const TOLERANCE = 1e-9;

interface Judged {
  /** What was asked for. */
  limit: number | undefined;
  found: number;
  /** Is more better? */
  atLeast: boolean;
  /** What was found, in words. */
  says: string;
}

type Limit = number | undefined;

const atLeast = (limit: Limit, found: number, says: string): Judged => ({ limit, found, says, atLeast: true });
const atMost = (limit: Limit, found: number, says: string): Judged => ({ limit, found, says, atLeast: false });

/** Each goal by its name. */
function judgements(goals: Goals, { before, after, sizeRatio, speedup, accuracyDrop = NaN }: Comparison) {
  const { accuracy = NaN, loss = NaN, bytes, latencyP50Milliseconds: latency, throughputPerSecond: rate } = after;
  const increase = loss - (before.loss ?? NaN);
  const maxBytes = goals.maxBytes === undefined ? undefined : quantityValue(goals.maxBytes);
  return Object.entries({
    maxAccuracyDrop: atMost(goals.maxAccuracyDrop, accuracyDrop, `accuracy fell by ${show(accuracyDrop)}`),
    minAccuracy: atLeast(goals.minAccuracy, accuracy, `accuracy is ${show(accuracy)}`),
    maxLossIncrease: atMost(goals.maxLossIncrease, increase, `loss rose by ${show(increase)}`),
    minSizeRatio: atLeast(goals.minSizeRatio, sizeRatio, `the artefact is ${show(sizeRatio)} times smaller`),
    maxBytes: atMost(maxBytes, bytes, `the files have ${bytes} bytes`),
    minSpeedup: atLeast(goals.minSpeedup, speedup, `a prediction is ${show(speedup)} times as fast`),
    maxLatencyMilliseconds: atMost(goals.maxLatencyMilliseconds, latency, `a prediction takes ${show(latency)} ms`),
    minThroughputPerSecond: atLeast(goals.minThroughputPerSecond, rate, `${show(rate)} predictions a second`),
  });
}

/** By how much a goal was missed: 0 when it was met, else a share of the goal. NaN, which was not measured, misses it. */
function shortfall({ limit, found, atLeast: isFloor }: Judged): number {
  if (limit === undefined) return 0;
  const missing = isFloor ? limit - found : found - limit;
  if (missing <= TOLERANCE) return 0;
  if (Number.isNaN(missing)) return Infinity;
  return missing / Math.max(Math.abs(limit), 0.01);
}

/** A sentence for each goal that was missed. */
export function missedGoals(goals: Goals, comparison: Comparison): string[] {
  return judgements(goals, comparison)
    .filter(([, judged]) => shortfall(judged) > 0)
    .map(([name, { limit, says }]) => `${name} ${limit}: ${says}`);
}

/** How far the goals were missed altogether; 0: all were met. */
export function totalShortfall(goals: Goals, comparison: Comparison): number {
  return judgements(goals, comparison).reduce((sum, [, judged]) => sum + shortfall(judged), 0);
}

/** Two measurements of the same model differ by as much. */
const NOISE = 0.95;

/** A sentence for each thing that is worse than before; speed, by more than it varies. */
export function worsened({ before, after, sizeRatio, speedup }: Comparison): string[] {
  const rate = after.throughputPerSecond / before.throughputPerSecond;
  const compressed = (before.compressedBytes ?? NaN) / (after.compressedBytes ?? NaN);
  return [
    ...(sizeRatio < 1 ? [`the files are ${show(1 / sizeRatio)} times larger`] : []),
    ...(compressed < 1 ? [`the compressed files are ${show(1 / compressed)} times larger`] : []),
    ...(speedup < NOISE ? [`a prediction takes ${show(1 / speedup)} times as long`] : []),
    ...(rate < NOISE ? [`throughput is ${show(rate)} times what it was`] : []),
  ];
}
