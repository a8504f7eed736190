/** For each operation, the gradients by its inputs from those by its outputs. Ties of maxima get the gradient each, as in tfjs. */
import {
  add,
  cast,
  divide,
  equal,
  exp,
  greaterEqual,
  less,
  multiply,
  negate,
  rsqrt,
  select,
  sign,
  square,
  subtract,
} from "./expressions/elementwise.ts";
import { convolve, matMul } from "./expressions/linear.ts";
import { count, cumulativeSum, sum } from "./expressions/reduction.ts";
import {
  broadcastAs,
  concat,
  expandDims,
  pad,
  reshape,
  reshapeAs,
  reverse,
  slice,
  split,
  transpose,
} from "./expressions/shaping.ts";
import { type Node, type Shape, type Value, derive } from "./graph.ts";
import type { OperationName, Operations, Unary } from "./operations.ts";

type NodeOf<Operation extends OperationName> = Extract<Node, { operation: Operation }>;

type Received = readonly (Value | undefined)[];

/** Gradients by the node's inputs; undefined where there is none. */
export type GradientRule<N extends Node = Node> = (node: N, received: Received) => (Value | undefined)[];

type Rules = { [Operation in OperationName]?: GradientRule<NodeOf<Operation>> };

function at<T>(list: readonly (T | undefined)[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`there is no value ${index}`);
  return found;
}

const input = (node: Node, index = 0) => at(node.inputs, index);
const output = (node: Node, index = 0) => at(node.outputs, index);

/** A rule for operations with one output. */
const rule =
  <N extends Node>(gradients: (dy: Value, node: N) => (Value | undefined)[]): GradientRule<N> =>
  (node, received) =>
    gradients(at(received, 0), node);

/** A rule for operations with one input and one output. */
const simple = <N extends Node>(gradient: (dy: Value, x: Value, y: Value, node: N) => Value) =>
  rule<N>((dy, node) => [gradient(dy, input(node), output(node), node)]);

const none: GradientRule = (node) => node.inputs.map(() => undefined);

/** Sums over what was broadcast from `shape`. */
function sumTo(dy: Value, { shape }: { shape: Shape }): Value {
  const missing = dy.shape.length - shape.length;
  const axes = dy.shape.flatMap((size, axis) =>
    axis < missing || (shape[axis - missing] === 1 && size !== 1) ? [axis] : [],
  );
  if (axes.length === 0) return dy;
  const kept = sum(dy, axes, true);
  return missing === 0 ? kept : reshape(kept, kept.shape.slice(missing));
}

const flag = (condition: Value) => cast(condition, "float32");

const unaryGradient =
  (of: Operations["unaryGradient"]["function"], by: "input" | "output") => (dy: Value, x: Value, y: Value) =>
    derive("unaryGradient", [dy, by === "input" ? x : y], { function: of }, dy);

const UNARY: Record<Unary, ((dy: Value, x: Value, y: Value) => Value) | undefined> = {
  negate,
  abs: (dy, x) => multiply(dy, sign(x)),
  sign: undefined,
  floor: undefined,
  not: undefined,
  exp: (dy, _, y) => multiply(dy, y),
  log: (dy, x) => divide(dy, x),
  log1p: (dy, x) => divide(dy, add(x, 1)),
  sqrt: (dy, _, y) => divide(multiply(dy, 0.5), y),
  rsqrt: (dy, _, y) => multiply(multiply(dy, -0.5), multiply(y, square(y))),
  square: (dy, x) => multiply(dy, multiply(x, 2)),
  erf: (dy, x) => multiply(dy, multiply(exp(negate(square(x))), 2 / Math.sqrt(Math.PI))),
  relu: unaryGradient("relu", "output"),
  relu6: unaryGradient("relu6", "output"),
  elu: unaryGradient("elu", "output"),
  selu: unaryGradient("selu", "output"),
  sigmoid: unaryGradient("sigmoid", "output"),
  tanh: unaryGradient("tanh", "output"),
  softplus: unaryGradient("softplus", "input"),
  softsign: unaryGradient("softsign", "input"),
};

type Pair = (dy: Value, a: Value, b: Value, y: Value) => [Value, Value | undefined];

const BINARY: Partial<Record<Operations["binary"]["function"], Pair>> = {
  add: (dy) => [dy, dy],
  subtract: (dy) => [dy, negate(dy)],
  multiply: (dy, a, b) => [multiply(dy, b), multiply(dy, a)],
  divide: (dy, _, b, y) => [divide(dy, b), negate(multiply(dy, divide(y, b)))],
  maximum: (dy, a, b) => [multiply(dy, flag(greaterEqual(a, b))), multiply(dy, flag(less(a, b)))],
  minimum: (dy, a, b) => [multiply(dy, flag(greaterEqual(b, a))), multiply(dy, flag(less(b, a)))],
  squaredDifference: (dy, a, b) => {
    const half = multiply(dy, multiply(subtract(a, b), 2));
    return [half, negate(half)];
  },
};

/** `dy` of a reduction, in the rank of what was reduced. */
function kept(dy: Value, { attributes, inputs }: NodeOf<"reduce">): Value {
  const x = at(inputs, 0);
  if (attributes.keepDims) return dy;
  return reshape(
    dy,
    x.shape.map((size, axis) => (attributes.axes.includes(axis) ? 1 : size)),
  );
}

const reduce = rule<NodeOf<"reduce">>((dy, node) => {
  const x = input(node);
  const whole = kept(dy, node);
  const { axes } = node.attributes;
  switch (node.attributes.function) {
    case "sum":
      return [broadcastAs(whole, x)];
    case "mean":
      return [broadcastAs(divide(whole, count(x, axes)), x)];
    case "max":
    case "min":
      return [multiply(whole, flag(equal(x, kept(output(node), node))))];
    default:
      return [undefined];
  }
});

/** Of matrices, and of stacks of them. */
const product = rule<NodeOf<"matMul">>((dy, node) => {
  const [a, b] = [input(node, 0), input(node, 1)];
  const { transposeA, transposeB } = node.attributes;
  const byA = transposeA ? matMul(b, dy, transposeB, true) : matMul(dy, b, false, !transposeB);
  const byB = transposeB ? matMul(dy, a, true, transposeA) : matMul(a, dy, !transposeA, false);
  return [sumTo(byA, a), sumTo(byB, b)];
});

const slices = rule<NodeOf<"slice">>((dy, node) => {
  const x = input(node);
  const { begin, size } = node.attributes;
  const edges = x.shape.map((whole, axis): [number, number] => {
    const before = begin[axis] ?? 0;
    const length = size[axis] ?? -1;
    return [before, length === -1 ? 0 : whole - before - length];
  });
  return [pad(dy, edges)];
});

const tiles = rule<NodeOf<"tile">>((dy, node) => {
  const x = input(node);
  const { times } = node.attributes;
  const parts = x.shape.flatMap((size, axis) => ((times[axis] ?? 1) === 1 ? [size] : [times[axis] ?? 1, size]));
  const repeats: number[] = [];
  let place = 0;
  for (const many of times) {
    if (many !== 1) repeats.push(place);
    place += many === 1 ? 1 : 2;
  }
  return [sum(reshape(dy, parts), repeats)];
});

/** Rows are summed by their index; another axis is brought to the front before. */
const gathers = rule<NodeOf<"gather">>((dy, node) => {
  const [x, indices] = [input(node, 0), input(node, 1)];
  const { axis } = node.attributes;
  const rank = indices.shape.length;
  const inner = dy.shape.map((_, index) => index);
  const front = [...inner.slice(axis, axis + rank), ...inner.slice(0, axis), ...inner.slice(axis + rank)];
  const rest = [...x.shape.slice(0, axis), ...x.shape.slice(axis + 1)];
  const rows = reshape(transpose(dy, front), [-1, ...rest]);
  const type = { dtype: x.dtype, shape: [x.shape[axis] ?? 1, ...rest] };
  const sums = derive("segmentSum", [rows, reshape(indices, [-1])], {}, type);
  const back = x.shape.map((_, index) => (index === axis ? 0 : index < axis ? index + 1 : index));
  return [transpose(sums, back), undefined];
});

const windows = {
  convolution: rule<NodeOf<"convolution">>((dy, { inputs, attributes }) => {
    const [x, kernel] = [at(inputs, 0), at(inputs, 1)];
    return [
      derive("convolutionInputGradient", [x, kernel, dy], attributes, x),
      derive("convolutionKernelGradient", [x, kernel, dy], attributes, kernel),
    ];
  }),
  depthwiseConvolution: rule<NodeOf<"depthwiseConvolution">>((dy, { inputs, attributes }) => {
    const [x, kernel] = [at(inputs, 0), at(inputs, 1)];
    return [
      derive("depthwiseInputGradient", [x, kernel, dy], attributes, x),
      derive("depthwiseKernelGradient", [x, kernel, dy], attributes, kernel),
    ];
  }),
  transposedConvolution: rule<NodeOf<"transposedConvolution">>((dy, { inputs, attributes }) => {
    const [x, kernel] = [at(inputs, 0), at(inputs, 1)];
    const window = { ...attributes, dilations: attributes.strides.map(() => 1) };
    return [convolve(dy, kernel, window), derive("convolutionKernelGradient", [dy, kernel, x], window, kernel)];
  }),
  pool: rule<NodeOf<"pool">>((dy, node) => [
    derive("poolGradient", [input(node), output(node), dy], node.attributes, input(node)),
  ]),
  resize: rule<NodeOf<"resize">>((dy, node) => [
    derive("resizeGradient", [dy, input(node)], node.attributes, input(node)),
  ]),
};

const lstm: GradientRule<NodeOf<"lstm">> = (node, received) => {
  const types = node.inputs.map(({ dtype, shape }) => ({ dtype, shape }));
  return [...node.graph.add("lstmGradient", [...node.inputs, ...node.outputs, at(received, 0)], {}, types)];
};

const joins: GradientRule<NodeOf<"concat">> = (node, [dy]) => {
  const { axis } = node.attributes;
  const sizes = node.inputs.map(({ shape }) => shape[axis] ?? 1);
  return [...split(at([dy], 0), sizes, axis)];
};

const parts: GradientRule<NodeOf<"split">> = (node, received) => {
  const all = node.outputs.map((part, index) => received[index] ?? multiply(part, 0));
  return [concat(all, node.attributes.axis)];
};

/** Its second output is the gradient already. */
const crossEntropy: GradientRule<NodeOf<"softmaxCrossEntropy">> = (node, [dy]) => [
  multiply(expandDims(at([dy], 0), -1), output(node, 1)),
  undefined,
];

const bias = rule<NodeOf<"biasAdd">>((dy, node) => [dy, derive("biasGradient", [dy], {}, input(node, 1))]);

const normalized = rule<NodeOf<"batchNormalization">>((dy, node) => {
  const [gamma, variance] = [input(node, 1), input(node, 4)];
  // Only layers that are frozen answer in training by what they learned.
  return [multiply(dy, multiply(gamma, rsqrt(add(variance, node.attributes.epsilon))))];
});

export const gradientRules: Rules = {
  ...windows,
  input: none,
  weight: none,
  constant: none,
  argMax: none,
  count: none,
  oneHot: none,
  randomUniform: none,
  unary: rule<NodeOf<"unary">>((dy, node) => [UNARY[node.attributes.function]?.(dy, input(node), output(node))]),
  binary: rule<NodeOf<"binary">>((dy, node) => {
    const [a, b] = [input(node, 0), input(node, 1)];
    const [byA, byB] = BINARY[node.attributes.function]?.(dy, a, b, output(node)) ?? [];
    return [byA && sumTo(byA, a), byB && sumTo(byB, b)];
  }),
  leakyRelu: simple<NodeOf<"leakyRelu">>((dy, x, _, node) => derive("leakyReluGradient", [dy, x], node.attributes, x)),
  clip: simple<NodeOf<"clip">>((dy, x, _, { attributes: { min, max } }) => {
    const above = Number.isFinite(min) ? multiply(dy, flag(greaterEqual(x, min))) : dy;
    return Number.isFinite(max) ? multiply(above, flag(greaterEqual(x.node.graph.constant(max), x))) : above;
  }),
  select: rule<NodeOf<"select">>((dy, node) => {
    const condition = input(node, 0);
    return [
      undefined,
      sumTo(select(condition, dy, 0), input(node, 1)),
      sumTo(select(condition, 0, dy), input(node, 2)),
    ];
  }),
  cast: none,
  reduce,
  softmax: simple((dy, _, y) => multiply(subtract(dy, sum(multiply(dy, y), -1, true)), y)),
  logSoftmax: simple((dy, _, y) => subtract(dy, multiply(exp(y), sum(dy, -1, true)))),
  cumulativeSum: simple<NodeOf<"cumulativeSum">>((dy, _, __, { attributes: { axis } }) =>
    reverse(cumulativeSum(reverse(dy, axis), axis), axis),
  ),
  reshape: simple((dy, x) => reshapeAs(dy, x)),
  reshapeAs: rule((dy, node) => [reshapeAs(dy, input(node)), undefined]),
  broadcastAs: rule((dy, node) => [sumTo(dy, input(node)), undefined]),
  transpose: simple<NodeOf<"transpose">>((dy, _, __, { attributes: { permutation } }) =>
    transpose(
      dy,
      permutation.map((_axis, to) => permutation.indexOf(to)),
    ),
  ),
  concat: joins,
  split: parts,
  slice: slices,
  pad: simple<NodeOf<"pad">>((dy, x, _, { attributes: { before } }) => slice(dy, before, x.shape)),
  tile: tiles,
  reverse: simple<NodeOf<"reverse">>((dy, _, __, { attributes: { axis } }) => reverse(dy, axis)),
  gather: gathers,
  matMul: product,
  biasAdd: bias,
  batchNormalization: normalized,
  lstm,
  softmaxCrossEntropy: crossEntropy,
};
