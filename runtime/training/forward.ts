/** Computes a model as training does: normalization by the batch, and random layers that draw from the seed. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { allLayers } from "../formats/computable.ts";

/** What random layers depend on, in training. */
export interface TrainingMoment {
  seed: number;
  step: number;
}

/** A layer that draws: tfjs' own draws either without a seed, or the same mask in each step. */
interface RandomLayer {
  seed?: number | undefined;
}

/** Has `compute` done while the layers have seeds of the step and of their place; their own are part of what is saved. */
function seeded<T>(model: LayersModel, { seed, step }: TrainingMoment, compute: () => T): T {
  // tfjs declares the seed on the random ones only.
  const layers = model.layers.map((layer) => layer as RandomLayer);
  // Those of models in the model draw by their names besides, so that the places of its own stay.
  const inner = allLayers(model.layers).filter((layer) => !model.layers.includes(layer));
  const own = layers.map((layer) => layer.seed);
  layers.forEach((layer, position) => {
    // Dropout reads it each time that it is called.
    layer.seed = derivedSeed(seed, "dropout", position, step);
  });
  const ownInner = inner.map((layer) => (layer as RandomLayer).seed);
  for (const layer of inner) (layer as RandomLayer).seed = derivedSeed(seed, "dropout", layer.name, step);
  try {
    return compute();
  } finally {
    inner.forEach((layer, index) => {
      (layer as RandomLayer).seed = ownInner[index];
    });
    layers.forEach((layer, position) => {
      layer.seed = own[position];
    });
  }
}

/** Computes the model. Random layers draw by the step and their place. Throws Failure ModelUnsupported. */
export function forward(tf: Tf, model: LayersModel, input: Tensor, moment: TrainingMoment): Tensor {
  const answer = seeded(model, moment, () => model.apply(input, { training: true }));
  if (answer instanceof tf.Tensor) return answer;
  throw new Failure("ModelUnsupported", "The model has several outputs; only models with one can be trained here");
}
