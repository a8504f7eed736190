/** A model whose layers follow one another. */
import type { LayersModel, layers } from "@tensorflow/tfjs";
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
      `Layer ${layer.name} does not follow one other layer; only models whose layers form a chain can be taken apart`,
    );
  }
  return chain;
}
