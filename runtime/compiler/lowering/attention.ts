/** Attention, products between inputs, and contractions by an equation. */
import { z } from "zod";
import { add, cast, multiply, rsqrt, square, maximum, subtract, tanh } from "../expressions/elementwise.ts";
import { axesOf, softmax, sum } from "../expressions/reduction.ts";
import { expandDims, gather, reshape, squeeze, transpose } from "../expressions/shaping.ts";
import { biasAdd, matMul } from "../expressions/linear.ts";
import type { Value } from "../graph.ts";
import { additiveAttention, attention } from "../../formats/layers/attention.ts";
import { einsumDense, parseEquation } from "../../formats/layers/einsum-dense.ts";
import { type Heads, multiHeadAttentions } from "../../formats/layers/multi-head-attention.ts";
import { activate } from "./activation.ts";
import { type AnyLowering, type Call, NotExpressible, inputOf, lowering, sizeAt } from "./definition.ts";

/**
 * Taken from scores that must not count. Taken, not its negative added: TensorFlow fuses a product of matrices with what
 * is added to it, and computes that many times slower where it is broadcast.
 */
const NEVER = 1e9;

/** 0 where a step may look, NEVER where it would look ahead: [1, queries, keys]. */
function causal(call: Pick<Call<unknown>, "graph">, queries: number, keys: number): Value {
  const scores = Float32Array.from({ length: queries * keys }, (_, index) =>
    index % keys > Math.floor(index / keys) ? NEVER : 0,
  );
  return call.graph.constant(scores, [1, queries, keys]);
}

const excluded = (mask: Value) => multiply(subtract(1, cast(mask, "float32")), NEVER);

function taken({ inputs }: { inputs: readonly Value[] }): { query: Value; value: Value; key: Value } {
  const [query, value, key = value] = inputs;
  if (query === undefined || value === undefined || key === undefined) throw new NotExpressible("it needs two inputs");
  return { query, value, key };
}

function attend(call: Call<{ useCausalMask: boolean }>, scores: Value): Value {
  const { query, value } = taken(call);
  const [mask] = call.masks;
  const ahead = call.settings.useCausalMask
    ? subtract(scores, causal(call, sizeAt(query, 1), sizeAt(value, 1)))
    : scores;
  if (mask === undefined) return matMul(softmax(ahead), value);
  const found = matMul(softmax(subtract(ahead, expandDims(excluded(mask), 1))), value);
  return multiply(found, expandDims(cast(mask, "float32"), 2));
}

/** Sums of every query with every key: [batch, queries, keys, size]. */
const pairs = ({ query, key }: { query: Value; key: Value }) => add(expandDims(query, 2), expandDims(key, 1));

const noDropout = (call: { layer: { getConfig(): Record<string, unknown> }; training?: unknown }) => {
  const { dropout } = call.layer.getConfig();
  if (call.training !== undefined && typeof dropout === "number" && dropout > 0) {
    throw new NotExpressible("the compiler lacks its dropout");
  }
};

const dotAttention = lowering({
  settings: attention.settings,
  lower: (call) => {
    noDropout(call);
    const inputs = taken(call);
    const scale = (scores: Value) =>
      call.settings.useScale === true ? multiply(scores, call.weight("scale")) : scores;
    if (call.settings.scoreMode === "dot") return attend(call, scale(matMul(inputs.query, inputs.key, false, true)));
    const scores = sum(tanh(scale(pairs(inputs))), -1);
    return attend(call, multiply(scores, call.weight("concat_score_weight")));
  },
});

const sumAttention = lowering({
  settings: additiveAttention.settings,
  lower: (call) => {
    noDropout(call);
    const sums = tanh(pairs(taken(call)));
    const scaled = (call.settings.useScale ?? true) ? multiply(sums, call.weight("scale")) : sums;
    return attend(call, sum(scaled, -1));
  },
});

/** [batch, steps, size] to [batch, heads, steps, size of a head]. */
function project(call: Call<Heads>, name: string, x: Value): Value {
  const kernel = call.weight(`${name}/kernel`);
  const [size, heads, perHead] = [0, 1, 2].map((axis) => sizeAt(kernel, axis));
  const width = (heads ?? 1) * (perHead ?? 1);
  const flat = matMul(reshape(x, [-1, sizeAt(x, -1)]), reshape(kernel, [size ?? 1, width]));
  const sums = call.settings.useBias ? biasAdd(flat, reshape(call.weight(`${name}/bias`), [width])) : flat;
  return transpose(reshape(sums, [-1, sizeAt(x, 1), heads ?? 1, perHead ?? 1]), [0, 2, 1, 3]);
}

/** Each head of keys or values as often as heads of the query share it. */
function shared(call: Call<Heads>, x: Value): Value {
  const { heads, valueHeads } = call.settings;
  if (heads === valueHeads) return x;
  const source = Array.from({ length: heads }, (_, head) => Math.floor(head / (heads / valueHeads)));
  return gather(x, call.graph.integers(source, [heads]), 1);
}

function manyHeads(call: Call<Heads>): Value {
  noDropout(call);
  const { query, value, key } = taken(call);
  const { keySize, heads, valueSize, useBias, useCausalMask } = call.settings;
  const queries = multiply(project(call, "query", query), 1 / Math.sqrt(keySize));
  const keys = shared(call, project(call, "key", key));
  const values = shared(call, project(call, "value", value));
  let scores = matMul(queries, keys, false, true);
  const [steps, keySteps] = [sizeAt(query, 1), sizeAt(value, 1)];
  if (useCausalMask) scores = subtract(scores, expandDims(causal(call, steps, keySteps), 1));
  const [mask] = call.masks;
  if (mask !== undefined) scores = subtract(scores, reshape(excluded(mask), [-1, 1, 1, sizeAt(mask, 1)]));
  const found = transpose(matMul(softmax(scores), values), [0, 2, 1, 3]);
  const kernel = call.weight("attention_output/kernel");
  const width = heads * valueSize;
  const output = sizeAt(kernel, 2);
  const mixed = matMul(reshape(found, [-1, width]), reshape(kernel, [width, output]));
  const sums = useBias ? biasAdd(mixed, call.weight("attention_output/bias")) : mixed;
  return reshape(sums, [query.shape[0] ?? -1, steps, output]);
}

const dot = lowering({
  settings: z.object({ axes: z.union([z.int(), z.array(z.int()).length(2)]), normalize: z.boolean().nullish() }),
  lower: (call) => {
    const [a, b] = call.inputs;
    if (a === undefined || b === undefined) throw new NotExpressible("it needs two inputs");
    const [first = -1, second = first] = [call.settings.axes].flat();
    const [left = 0] = axesOf(a, first);
    const [right = 0] = axesOf(b, second);
    const unit = (x: Value, axis: number) =>
      call.settings.normalize === true ? multiply(x, rsqrt(maximum(sum(square(x), axis, true), 1e-7))) : x;
    return products(unit(a, left), unit(b, right), left, right);
  },
});

/** Sums over one dimension of each, row by row. */
function products(a: Value, b: Value, left: number, right: number): Value {
  const [x, y] = [a.shape.length === 2 ? expandDims(a, 1) : a, b.shape.length === 2 ? expandDims(b, 2) : b];
  const product = matMul(x, y, a.shape.length === 3 && left === 1, b.shape.length === 3 && right === 2);
  if (a.shape.length === 2 && b.shape.length === 2) return squeeze(product, 2);
  if (a.shape.length === 2) return squeeze(product, 1);
  return b.shape.length === 2 ? squeeze(product, 2) : product;
}

const einsum = lowering({
  settings: einsumDense.settings,
  lower: (call) => {
    const x = inputOf(call);
    const weights = call.weight("kernel");
    const equation = parseEquation(call.settings.equation, x.shape.length);
    const found = contract(equation, x, weights);
    const biased = (call.settings.biasAxes ?? "") === "" ? found : add(found, call.weight("bias"));
    return activate(call.settings.activation, biased);
  },
});

function ordered(tensor: Value, labels: readonly string[], order: readonly string[]): Value {
  return transpose(
    tensor,
    order.map((label) => labels.indexOf(label)),
  );
}

/** The contraction as one product of matrices, for each label that all three have. */
function contract({ input, kernel, output }: ReturnType<typeof parseEquation>, x: Value, weights: Value): Value {
  const both = input.filter((label) => kernel.includes(label));
  const batch = both.filter((label) => output.includes(label));
  const inner = both.filter((label) => !output.includes(label));
  const rows = input.filter((label) => !both.includes(label));
  const columns = kernel.filter((label) => !both.includes(label));
  const size = (label: string) =>
    (input.includes(label) ? x.shape[input.indexOf(label)] : weights.shape[kernel.indexOf(label)]) ?? 1;
  const sizes = (labels: readonly string[]) => labels.map(size);
  const product = (labels: readonly string[]) => {
    const all = sizes(labels);
    return all.includes(-1) ? -1 : all.reduce((whole, one) => whole * one, 1);
  };
  const left = reshape(ordered(x, input, [...batch, ...rows, ...inner]), [
    product(batch),
    product(rows),
    product(inner),
  ]);
  const right = reshape(ordered(weights, kernel, [...batch, ...inner, ...columns]), [
    product(batch),
    product(inner),
    product(columns),
  ]);
  const found = [...batch, ...rows, ...columns];
  return ordered(reshape(matMul(left, right), sizes(found)), found, output);
}

export const attentionLowerings: Record<string, AnyLowering> = {
  Attention: dotAttention,
  AdditiveAttention: sumAttention,
  Dot: dot,
  EinsumDense: einsum,
  ...Object.fromEntries(
    multiHeadAttentions.map(({ className, settings }) => [className, lowering({ settings, lower: manyHeads })]),
  ),
};
