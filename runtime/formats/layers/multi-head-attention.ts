/** MultiHeadAttention and GroupQueryAttention over [batch, steps, size]; inputs are query, value and perhaps key. */
import type { Shape, Tensor } from "@tensorflow/tfjs";
import { z } from "zod";
import type { Tf } from "../../engine/backend.ts";
import { causal, excluded } from "./attention.ts";
import { type Computation, type Definition, type WeightShape, known } from "./definition.ts";
import { Size } from "./settings.ts";

const common = {
  useBias: z.boolean().default(true),
  useCausalMask: z.boolean().default(false),
  useGate: z.literal(false).nullish(),
  slidingWindow: z.null().optional(),
  flashAttention: z.unknown().optional(),
};

const MultiHead = z
  .object({
    ...common,
    numHeads: Size,
    keyDim: Size,
    valueDim: Size.nullish(),
    outputShape: z
      .union([
        Size,
        z
          .array(Size)
          .length(1)
          .transform(([size]) => size),
      ])
      .nullish(),
    attentionAxes: z.array(z.literal(1)).length(1).nullish(),
  })
  .transform(({ numHeads, keyDim, valueDim, outputShape, useBias, useCausalMask }): Heads => ({
    heads: numHeads,
    valueHeads: numHeads,
    keySize: keyDim,
    valueSize: valueDim ?? keyDim,
    outputSize: outputShape ?? undefined,
    useBias,
    useCausalMask,
  }));

const GroupQuery = z
  .object({ ...common, numQueryHeads: Size, numKeyValueHeads: Size, headDim: Size })
  .transform(({ numQueryHeads, numKeyValueHeads, headDim, useBias, useCausalMask }): Heads => ({
    heads: numQueryHeads,
    valueHeads: numKeyValueHeads,
    keySize: headDim,
    valueSize: headDim,
    outputSize: undefined,
    useBias,
    useCausalMask,
  }));

export interface Heads {
  heads: number;
  /** Heads of keys and values; several heads of the query share one. */
  valueHeads: number;
  keySize: number;
  valueSize: number;
  /** Default: the query's size. */
  outputSize: number | undefined;
  useBias: boolean;
  useCausalMask: boolean;
}

const sizeOf = (shape: Shape | undefined) => known(shape?.at(-1), "the size of a step");

function weights([query, value, key = value]: Shape[], settings: Heads): WeightShape[] {
  const { heads, valueHeads, keySize, valueSize, useBias } = settings;
  const output = settings.outputSize ?? sizeOf(query);
  const projection = (name: string, from: number[], to: number[]): WeightShape[] => [
    { name: `${name}/kernel`, shape: [...from, ...to] },
    ...(useBias ? [{ name: `${name}/bias`, shape: to }] : []),
  ];
  return [
    ...projection("query", [sizeOf(query)], [heads, keySize]),
    ...projection("key", [sizeOf(key)], [valueHeads, keySize]),
    ...projection("value", [sizeOf(value)], [valueHeads, valueSize]),
    ...projection("attention_output", [heads, valueSize], [output]),
  ];
}

/** [batch, steps, size] to [batch, heads, steps, size of a head]. */
function project({ tf, settings, weight }: Computation<Heads>, name: string, x: Tensor): Tensor {
  const kernel = weight(`${name}/kernel`);
  const [size = 1, heads = 1, perHead = 1] = kernel.shape;
  const [batch = 1, steps = 1] = x.shape;
  const flat = tf.matMul(tf.reshape(x, [batch * steps, size]), tf.reshape(kernel, [size, heads * perHead]));
  const split = tf.reshape(flat, [batch, steps, heads, perHead]);
  return tf.transpose(settings.useBias ? tf.add(split, weight(`${name}/bias`)) : split, [0, 2, 1, 3]);
}

/** Each head of keys or values as often as heads of the query share it. */
function shared(tf: Tf, x: Tensor, { heads, valueHeads }: Heads): Tensor {
  if (heads === valueHeads) return x;
  const source = Array.from({ length: heads }, (_, head) => Math.floor(head / (heads / valueHeads)));
  return tf.gather(x, tf.tensor1d(source, "int32"), 1);
}

function compute(computation: Computation<Heads>): Tensor {
  const { tf, settings, inputs, weight, mask } = computation;
  const [query, value, key = value] = inputs;
  if (query?.rank !== 3 || value?.rank !== 3 || key === undefined) {
    throw new RangeError("attention with several heads needs a query and a value of three dimensions");
  }
  const queries = tf.mul(project(computation, "query", query), 1 / Math.sqrt(settings.keySize));
  const keys = shared(tf, project(computation, "key", key), settings);
  const values = shared(tf, project(computation, "value", value), settings);
  let scores = tf.matMul(queries, keys, false, true);
  const [batch = 1, steps = 1] = query.shape;
  const keySteps = value.shape[1] ?? 1;
  if (settings.useCausalMask) scores = tf.add(scores, tf.expandDims(causal(tf, steps, keySteps), 1));
  if (mask !== undefined) scores = tf.add(scores, tf.reshape(excluded(tf, mask), [batch, 1, 1, mask.shape[1] ?? 1]));
  const found = tf.transpose(tf.matMul(tf.softmax(scores), values), [0, 2, 1, 3]);
  const kernel = weight("attention_output/kernel");
  const output = kernel.shape[2] ?? 1;
  const width = settings.heads * settings.valueSize;
  const mixed = tf.matMul(tf.reshape(found, [batch * steps, width]), tf.reshape(kernel, [width, output]));
  const shaped = tf.reshape(mixed, [batch, steps, output]);
  return settings.useBias ? tf.add(shaped, weight("attention_output/bias")) : shaped;
}

const defined = (className: string, settings: z.ZodType<Heads>): Definition<Heads> => ({
  className,
  settings,
  weights,
  outputShape: ([query], { outputSize }) => [...(query ?? []).slice(0, -1), outputSize ?? query?.at(-1) ?? null],
  compute,
  passesMask: true,
});

export const multiHeadAttentions = [
  defined("MultiHeadAttention", MultiHead),
  defined("GroupQueryAttention", GroupQuery),
];
