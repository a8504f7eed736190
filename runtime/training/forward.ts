/** Computes a model as training does: normalization by the batch, and random layers that draw from the seed. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";

/** What random layers depend on, in training. */
export interface TrainingMoment {
  seed: number;
  step: number;
}

/** A layer that draws: tfjs' own draws either without a seed, or the same mask in each step. */
interface RandomLayer {
  seed?: number;
}

/** Computes the model. Random layers are given a seed of the step and of their place. Throws Failure ModelUnsupported. */
export function forward(tf: Tf, model: LayersModel, input: Tensor, { seed, step }: TrainingMoment): Tensor {
  model.layers.forEach((layer, position) => {
    // Dropout and ours read it each time that they are called.
    (layer as RandomLayer).seed = derivedSeed(seed, "dropout", position, step);
  });
  const answer = model.apply(input, { training: true });
  if (answer instanceof tf.Tensor) return answer;
  throw new Failure("ModelUnsupported", "The model has several outputs; only models with one can be trained here");
}
