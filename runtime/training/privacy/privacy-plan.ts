/** What a private training may do before its budget is spent, and the batches that the accounting is for. */
import type { DifferentialPrivacy } from "../../../crds/training-job.ts";
import { type Batch, batchCount, batchOf } from "../../data/batches.ts";
import type { Examples } from "../../data/dataset.ts";
import { Failure } from "../../failure.ts";
import { Accountant } from "./accountant.ts";
import { poissonSample } from "./secure-random.ts";

/** What a private training may do and gives away. */
export interface PrivacyPlan {
  /** Probability with which each example is in a step. */
  samplingRate: number;
  accountant: Accountant;
  delta: number;
  /** Steps after which the budget is spent, or the training is done. */
  steps: number;
}

/** Throws Failure InvalidSpec when the budget allows no step, or delta promises nothing. */
export function privacyPlan(
  declared: DifferentialPrivacy,
  train: Examples,
  batchSize: number,
  epochs: number,
): PrivacyPlan {
  const { noiseMultiplier, delta, maxEpsilon } = declared;
  const field = "spec.privacy.differentialPrivacy";
  if (delta >= 1 / train.count) {
    throw new Failure(
      "InvalidSpec",
      `${field}.delta: with ${train.count} training examples it must be below ${(1 / train.count).toPrecision(2)}, or a whole example may be given away`,
    );
  }
  const samplingRate = Math.min(1, batchSize / train.count);
  const accountant = new Accountant({ samplingRate, noiseMultiplier }, delta);
  const all = epochs * batchCount(train, batchSize);
  const steps = maxEpsilon === undefined ? all : accountant.stepsWithin(maxEpsilon, all);
  if (steps > 0) return { samplingRate, accountant, delta, steps };
  throw new Failure(
    "InvalidSpec",
    `${field}.maxEpsilon: the first step spends ${accountant.epsilon(1).toPrecision(3)} already; raise it or noiseMultiplier, or lower batchSize`,
  );
}

/** Batches whose examples are drawn anew for each: what the accounting is for. Some may be empty. */
export function* poissonBatches(
  train: Examples,
  { samplingRate }: PrivacyPlan,
  count: number,
  first: number,
): Generator<Batch> {
  for (let batch = first; batch < count; batch += 1) yield batchOf(train, poissonSample(train.count, samplingRate));
}
