/** What a model that was built must not ask of an engine. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";
import { unsupported } from "./unsupported.ts";

type Layer = LayersModel["layers"][number];

/** Layers that an engine computes wrongly or not at all, by the name of its backend. */
export const NOT_COMPUTED: Record<string, readonly string[]> = { wasm: ["Conv3DTranspose"] };

/** Numbers that one layer may give for one row: 1 GiB of float32. */
const NUMBERS_LIMIT = 2 ** 28;

/** Layers of a model and of the models in it. */
export function allLayers(layers: readonly Layer[]): Layer[] {
  // A model is a layer that has layers.
  return layers.flatMap((layer) => [layer, ...("layers" in layer ? allLayers(layer.layers as Layer[]) : [])]);
}

function numbersOf(shape: readonly (number | null)[]): number {
  return shape.slice(1).reduce<number>((product, size) => product * (size ?? 1), 1);
}

function outputsOf(layer: Layer): (number | null)[][] {
  // A layer that is used in several places has several shapes, and `outputShape` then throws.
  return layer.inboundNodes.flatMap((node) => node.outputTensors.map(({ shape }) => shape));
}

/**
 * Refuses a model with layers that the engine lacks, or that give more for one row than any memory holds.
 * Throws Failure ModelUnsupported naming the layer.
 */
export function requireComputable(tf: Tf, model: LayersModel, shownAs: string): void {
  const lacking = NOT_COMPUTED[tf.getBackend()] ?? [];
  for (const layer of allLayers(model.layers)) {
    if (lacking.includes(layer.getClassName())) {
      throw unsupported(
        shownAs,
        `layer ${layer.name} of class ${layer.getClassName()} cannot be computed by the Wasm engine; use TensorFlow`,
      );
    }
    const large = outputsOf(layer).find((shape) => numbersOf(shape) > NUMBERS_LIMIT);
    if (large !== undefined) {
      throw unsupported(
        shownAs,
        `layer ${layer.name} gives [${large.join(", ")}] numbers for each row; at most ${NUMBERS_LIMIT} are computed`,
      );
    }
  }
}
