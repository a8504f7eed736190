/** How the steps of a training are computed: as one graph where the engine and the model allow it. */
import type { TrainingRun } from "../../crds/contract/run.ts";
import { derivedSeed } from "../data/random.ts";
import type { Group } from "../distributed/group.ts";
import type { Tf } from "../engine/backend.ts";
import { runsGraphs } from "../engine/session.ts";
import { compileStep } from "./compiled-step.ts";
import { exchangeOf } from "./exchange.ts";
import type { Prepared } from "./fit.ts";
import { opByOpStep } from "./op-by-op-step.ts";
import { privateGradients } from "./privacy/private-gradients.ts";
import { compileSharedStep } from "./shared-compiled-step.ts";
import { sharedOpByOpStep } from "./shared-op-by-op-step.ts";
import type { TrainStep } from "./train-step.ts";

export interface ChosenStep {
  step: TrainStep;
  /** Why it goes operation by operation; absent: it is a graph. */
  notCompiled?: string;
}

/** Each worker drops other units: they compute different examples. */
const seedOf = (seed: number, group: Group | undefined) =>
  group === undefined || group.rank === 0 ? seed : derivedSeed(seed, "worker", group.rank);

/** `group`: the other workers that compute the same steps. Throws Failure InvalidSpec. */
export async function chooseStep(
  tf: Tf,
  training: TrainingRun["training"],
  { model, objective, datasets }: Prepared,
  group: Group | undefined,
): Promise<ChosenStep> {
  const options = { ...training, model, objective, seed: seedOf(training.seed, group) };
  if (training.privacy !== undefined) {
    const { seed, batchSize: expected } = training;
    const source = { model, objective, seed, expected };
    const gradientsOf = privateGradients(tf, source, training.privacy.differentialPrivacy);
    return {
      step: opByOpStep(tf, options, gradientsOf),
      notCompiled: "spec.privacy: the compiler lacks gradients of single examples",
    };
  }
  const exchange = group && exchangeOf(group);
  const interpreted = (notCompiled: string) => {
    const step = exchange === undefined ? opByOpStep(tf, options) : sharedOpByOpStep(tf, options, exchange);
    return { step, notCompiled };
  };
  if (!runsGraphs(tf)) return interpreted("only the TensorFlow engine runs compiled steps");
  const given = { ...options, examples: datasets.train };
  const { step, notCompiled } =
    exchange === undefined ? await compileStep(tf, given) : await compileSharedStep(tf, given, exchange);
  if (step !== undefined) return { step };
  const { layer, className, reason } = notCompiled;
  return interpreted(`layer ${layer} (${className}): ${reason}`.slice(0, 512));
}
