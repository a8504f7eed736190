/** A model whose layers follow one another, computed layer by layer, so that dropout can be seeded for each step. */
import type { LayersModel, Tensor, Tensor2D, layers } from "@tensorflow/tfjs";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";

type TfLayer = layers.Layer;

/** The layers of `model` in order, without its input. Throws Failure ModelUnsupported when they form no chain. */
export function chainOf(model: LayersModel): TfLayer[] {
  const chain = model.layers.filter((layer) => layer.getClassName() !== "InputLayer");
  for (const [index, layer] of chain.entries()) {
    const [node, ...others] = layer.inboundNodes;
    const previous = node?.inboundLayers;
    const expected = index === 0 ? undefined : chain[index - 1];
    const follows =
      previous?.length === 1 &&
      (expected === undefined ? previous[0]?.getClassName() === "InputLayer" : previous[0] === expected);
    if (others.length === 0 && follows) continue;
    throw new Failure(
      "ModelUnsupported",
      `Layer ${layer.name} does not follow one other layer; only models whose layers form a chain can be trained here`,
    );
  }
  return chain;
}

/** What dropout depends on, in training. */
export interface DropoutSeed {
  seed: number;
  step: number;
}

/** tfjs' own Dropout draws either without a seed, or the same mask in each step. */
function dropout(tf: Tf, layer: TfLayer, input: Tensor, { seed, step }: DropoutSeed, position: number): Tensor {
  const rate = layer.getConfig()["rate"];
  return typeof rate === "number" && rate > 0
    ? tf.dropout(input, rate, undefined, derivedSeed(seed, "dropout", position, step))
    : input;
}

/** Computes the chain; with `training`, dropout drops. The result is of shape [batch, size]. */
export function forward(tf: Tf, chain: readonly TfLayer[], input: Tensor, training?: DropoutSeed): Tensor2D {
  const output = chain.reduce<Tensor>((tensor, layer, position) => {
    if (layer.getClassName() !== "Dropout") return layer.apply(tensor) as Tensor;
    return training === undefined ? tensor : dropout(tf, layer, tensor, training, position);
  }, input);
  return output as Tensor2D;
}
