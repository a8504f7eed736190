/** Compares what was measured before and after, and judges the goals. */
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
  const accuracyDrop =
    before.accuracy === undefined || after.accuracy === undefined ? undefined : before.accuracy - after.accuracy;
  return {
    before,
    after,
    sizeRatio: before.bytes / after.bytes,
    speedup: before.latencyP50Milliseconds / after.latencyP50Milliseconds,
    ...(accuracyDrop === undefined ? {} : { accuracyDrop }),
  };
}

const show = (value: number) => Number(value.toPrecision(4));

/** Rounding of a difference of two shares must not miss a goal. */
const TOLERANCE = 1e-9;

/** A sentence for each goal that was missed. */
export function missedGoals(goals: Goals, { sizeRatio, speedup, accuracyDrop }: Comparison): string[] {
  const missed: string[] = [];
  const { maxAccuracyDrop, minSizeRatio, minSpeedup } = goals;
  if (maxAccuracyDrop !== undefined && !((accuracyDrop ?? NaN) <= maxAccuracyDrop + TOLERANCE)) {
    missed.push(`maxAccuracyDrop ${maxAccuracyDrop}: accuracy fell by ${show(accuracyDrop ?? NaN)}`);
  }
  if (minSizeRatio !== undefined && sizeRatio < minSizeRatio) {
    missed.push(`minSizeRatio ${minSizeRatio}: the artefact is ${show(sizeRatio)} times smaller`);
  }
  if (minSpeedup !== undefined && speedup < minSpeedup) {
    missed.push(`minSpeedup ${minSpeedup}: a prediction is ${show(speedup)} times as fast`);
  }
  return missed;
}
