/** Attention and AdditiveAttention: inputs are [query, value] or [query, value, key]. */
import type { Shape, Tensor } from "@tensorflow/tfjs";
import { z } from "zod";
import type { Tf } from "../../engine/backend.ts";
import { type Computation, type Definition, known, only } from "./definition.ts";

/** Added to scores that must not count; what Keras adds. */
const NEVER = -1e9;

/** 0 where a step may look, NEVER where it would look ahead: [1, queries, keys]. */
export function causal(tf: Tf, queries: number, keys: number): Tensor {
  const [rows, columns] = [tf.range(0, queries, 1, "float32"), tf.range(0, keys, 1, "float32")];
  const ahead = tf.less(tf.expandDims(rows, 1), tf.expandDims(columns, 0));
  return tf.expandDims(tf.mul(tf.cast(ahead, "float32"), NEVER), 0);
}

/** NEVER where `mask` is false. */
export function excluded(tf: Tf, mask: Tensor): Tensor {
  return tf.mul(tf.sub(1, tf.cast(mask, "float32")), NEVER);
}

const common = {
  useScale: z.boolean().optional(),
  dropout: z.number().optional(),
  useCausalMask: z.boolean().default(false),
};
const Dot = z.object({ ...common, scoreMode: z.enum(["dot", "concat"]).default("dot") });
const Additive = z.object(common);

type Dot = z.output<typeof Dot>;
type Additive = z.output<typeof Additive>;

function outputShape(shapes: Shape[]): Shape {
  const [query, value] = shapes;
  return [...(query ?? []).slice(0, -1), value?.at(-1) ?? null];
}

function take(inputs: readonly Tensor[]): { query: Tensor; value: Tensor; key: Tensor } {
  const [query, value, key = value] = inputs;
  if (query === undefined || value === undefined || key === undefined || query.rank !== 3) {
    throw new RangeError("attention needs a query and a value of three dimensions");
  }
  return { query, value, key };
}

/** Sums of every query with every key: [batch, queries, keys, size]. */
const pairs = (tf: Tf, query: Tensor, key: Tensor) => tf.add(tf.expandDims(query, 2), tf.expandDims(key, 1));

function attend({ tf, settings, inputs, mask }: Computation<Additive>, scores: Tensor): Tensor {
  const { query, value } = take(inputs);
  let masked = scores;
  if (settings.useCausalMask) masked = tf.add(masked, causal(tf, query.shape[1] ?? 1, value.shape[1] ?? 1));
  if (mask === undefined) return tf.matMul(tf.softmax(masked), value);
  const found = tf.matMul(tf.softmax(tf.add(masked, tf.expandDims(excluded(tf, mask), 1))), value);
  return tf.mul(found, tf.expandDims(tf.cast(mask, "float32"), 2));
}

export const attention: Definition<Dot> = {
  className: "Attention",
  settings: Dot,
  weights: (_, { useScale, scoreMode }) => [
    ...(useScale === true ? [{ name: "scale", shape: [] }] : []),
    ...(scoreMode === "concat" ? [{ name: "concat_score_weight", shape: [] }] : []),
  ],
  outputShape,
  compute: (computation) => {
    const { tf, settings, inputs, weight } = computation;
    const { query, key } = take(inputs);
    const scale = (scores: Tensor) => (settings.useScale === true ? tf.mul(scores, weight("scale")) : scores);
    if (settings.scoreMode === "dot") return attend(computation, scale(tf.matMul(query, key, false, true)));
    const scores = tf.sum(tf.tanh(scale(pairs(tf, query, key))), -1);
    return attend(computation, tf.mul(scores, weight("concat_score_weight")));
  },
  passesMask: true,
};

export const additiveAttention: Definition<Additive> = {
  className: "AdditiveAttention",
  settings: Additive,
  weights: (shapes, { useScale = true }) =>
    useScale ? [{ name: "scale", shape: [known(only(shapes).at(-1), "the size of a query")] }] : [],
  outputShape,
  compute: (computation) => {
    const { tf, settings, inputs, weight } = computation;
    const { query, key } = take(inputs);
    const sums = tf.tanh(pairs(tf, query, key));
    const scaled = (settings.useScale ?? true) ? tf.mul(sums, weight("scale")) : sums;
    return attend(computation, tf.sum(scaled, -1));
  },
  passesMask: true,
};
