/** Goes through a model's graph of layers, into models in models too, and computes whatever is asked of each call. */
import type { LayersModel, SymbolicTensor, layers } from "@tensorflow/tfjs";

export type TfLayer = layers.Layer;

/** One use of a layer. */
export interface Call {
  layer: TfLayer;
  inputs: SymbolicTensor[];
  outputs: SymbolicTensor[];
  /** Names of the models that the layer is in, from the outermost, without the model that is walked. */
  path: readonly string[];
}

export interface Visitor<T> {
  /** What is computed of a call's inputs; one value for each output. */
  call(call: Call, inputs: T[]): T[];
  /** A model in a model is called with these inputs. */
  enter?(model: LayersModel, inputs: T[], path: readonly string[]): void;
}

/** A layer that is a model itself. */
export function isModel(layer: TfLayer): layer is LayersModel {
  return "layers" in layer && "inputLayers" in layer;
}

/** Values of the model's outputs, given those of its inputs. Each call is visited once, after those it depends on. */
export function walk<T>(
  model: LayersModel,
  inputs: readonly T[],
  visitor: Visitor<T>,
  path: readonly string[] = [],
): T[] {
  const known = new Map<number, T>(model.inputs.map((input, index) => [input.id, inputs[index] as T]));
  const within = (inner: LayersModel, values: T[]) => {
    const innerPath = [...path, inner.name];
    visitor.enter?.(inner, values, innerPath);
    return walk(inner, values, visitor, innerPath);
  };
  const valueOf = (tensor: SymbolicTensor): T => {
    const found = known.get(tensor.id);
    if (found !== undefined) return found;
    const { sourceLayer: layer, nodeIndex } = tensor;
    const node = layer.inboundNodes[nodeIndex];
    if (node === undefined) throw new RangeError(`layer ${layer.name} has no call ${nodeIndex}`);
    const { inputTensors, outputTensors } = node;
    const values = inputTensors.map(valueOf);
    const results = isModel(layer)
      ? within(layer, values)
      : visitor.call({ layer, inputs: inputTensors, outputs: outputTensors, path }, values);
    for (const [index, output] of outputTensors.entries()) {
      const result = results[index];
      if (result !== undefined) known.set(output.id, result);
    }
    return known.get(tensor.id) as T;
  };
  return model.outputs.map(valueOf);
}
