/** Structured pruning: takes whole units and filters out of a chain of layers, and what the next layers did with them. */
import { sizeOf } from "../data/dataset.ts";
import { Failure } from "../failure.ts";

export interface Weights {
  shape: number[];
  data: Float32Array;
}

/** A layer as pruning sees it. */
export interface PrunableLayer {
  name: string;
  className: string;
  /** Shape of what it gives for one example; the last axis are the channels. */
  outputShape: number[];
  /** Kernel and, if there is one, bias. */
  weights: Weights[];
  config: Readonly<Record<string, unknown>>;
}

/** Those of the previous layer's channels (or values, once flat) that are left; undefined: all. */
type Kept = readonly number[] | undefined;

const PASSING = new Set([
  "Activation",
  "AveragePooling2D",
  "Dropout",
  "ELU",
  "GlobalAveragePooling2D",
  "GlobalMaxPooling2D",
  "LeakyReLU",
  "MaxPooling2D",
  "ReLU",
  "Rescaling",
]);

const isWeighted = ({ className }: PrunableLayer) => className === "Dense" || className === "Conv2D";

function unsupported({ name, className }: PrunableLayer, why: string): Failure {
  return new Failure(
    "ModelUnsupported",
    `Layer ${name} (${className}) ${why}; remove prune from spec.methods, or change the model`,
  );
}

/** The slices of `tensor` along `axis` with these indices. */
export function gather({ shape, data }: Weights, axis: number, indices: readonly number[]): Weights {
  const outer = sizeOf(shape.slice(0, axis));
  const inner = sizeOf(shape.slice(axis + 1));
  const length = shape[axis] ?? 1;
  const result = new Float32Array(outer * indices.length * inner);
  let at = 0;
  for (let block = 0; block < outer; block += 1) {
    for (const index of indices) {
      const start = (block * length + index) * inner;
      result.set(data.subarray(start, start + inner), at);
      at += inner;
    }
  }
  return { shape: shape.map((size, i) => (i === axis ? indices.length : size)), data: result };
}

/** L2 norm of the kernel's part for each output channel (its last axis). */
export function channelNorms({ shape, data }: Weights): number[] {
  const channels = shape.at(-1) ?? 1;
  const sums = Array.from({ length: channels }, () => 0);
  data.forEach((value, index) => {
    const channel = index % channels;
    sums[channel] = (sums[channel] ?? 0) + value * value;
  });
  return sums.map(Math.sqrt);
}

/** Channels with the largest norms, in their old order; at least one. Of equal ones the first stay. */
export function strongestChannels(kernel: Weights, sparsity: number): number[] {
  const norms = channelNorms(kernel);
  const count = Math.max(1, norms.length - Math.round(norms.length * sparsity));
  const ranked = norms
    .map((norm, channel) => ({ norm, channel }))
    .sort((a, b) => b.norm - a.norm || a.channel - b.channel);
  return ranked
    .slice(0, count)
    .map(({ channel }) => channel)
    .sort((a, b) => a - b);
}

/** Values that are left of an example of `shape` after it was made flat. */
function flatIndices(shape: readonly number[], kept: readonly number[]): number[] {
  const channels = shape.at(-1) ?? 1;
  const positions = sizeOf(shape) / channels;
  return Array.from({ length: positions }, (_, position) =>
    kept.map((channel) => position * channels + channel),
  ).flat();
}

function pruneWeighted(
  layer: PrunableLayer,
  input: Kept,
  sparsity: number | undefined,
): { layer: PrunableLayer; kept: Kept } {
  const [kernel, bias] = layer.weights;
  if (kernel === undefined) throw unsupported(layer, "has no weights");
  if (layer.config["dataFormat"] === "channelsFirst" || layer.config["data_format"] === "channels_first") {
    throw unsupported(layer, "has its channels first, which pruning does not know");
  }
  const inputAxis = kernel.shape.length - 2;
  const seen = input === undefined ? kernel : gather(kernel, inputAxis, input);
  if (sparsity === undefined)
    return { layer: { ...layer, weights: [seen, ...layer.weights.slice(1)] }, kept: undefined };
  const kept = strongestChannels(seen, sparsity);
  const weights = [gather(seen, inputAxis + 1, kept), ...(bias === undefined ? [] : [gather(bias, 0, kept)])];
  const size = layer.className === "Dense" ? "units" : "filters";
  return { layer: { ...layer, weights, config: { ...layer.config, [size]: kept.length } }, kept };
}

function pruneReshape(
  layer: PrunableLayer,
  inputShape: readonly number[],
  kept: readonly number[],
): { layer: PrunableLayer; kept: Kept } {
  if (layer.outputShape.length !== 1) throw unsupported(layer, "cannot be pruned behind a layer with weights");
  const left = flatIndices(inputShape, kept);
  return { layer: { ...layer, config: { ...layer.config, target_shape: [left.length] } }, kept: left };
}

/**
 * Removes `sparsity` of the units and filters of every layer with weights but the last, those with the smallest norms.
 * `chain`: the layers in order; `inputShape`: of one example. Configurations are in the form of a stored topology.
 * Throws Failure: ModelUnsupported naming the layer, InvalidSpec when there is nothing to prune.
 */
export function pruneChain(
  chain: readonly PrunableLayer[],
  inputShape: readonly number[],
  sparsity: number,
): PrunableLayer[] {
  const last = chain.findLastIndex(isWeighted);
  if (chain.findIndex(isWeighted) === last) {
    throw new Failure(
      "InvalidSpec",
      "spec.methods: prune takes units from all layers but the last, and this model has no other; remove prune",
    );
  }
  let kept: Kept;
  return chain.map((layer, index) => {
    const shape = index === 0 ? inputShape : (chain[index - 1]?.outputShape ?? []);
    if (isWeighted(layer)) {
      const pruned = pruneWeighted(layer, kept, index === last ? undefined : sparsity);
      kept = pruned.kept;
      return pruned.layer;
    }
    if (PASSING.has(layer.className) || kept === undefined) {
      if (layer.weights.length > 0 && !PASSING.has(layer.className)) throw unsupported(layer, "cannot be pruned");
      return layer;
    }
    if (layer.className === "Flatten") {
      kept = flatIndices(shape, kept);
      return layer;
    }
    if (layer.className !== "Reshape") throw unsupported(layer, "cannot be pruned");
    const pruned = pruneReshape(layer, shape, kept);
    kept = pruned.kept;
    return pruned.layer;
  });
}
