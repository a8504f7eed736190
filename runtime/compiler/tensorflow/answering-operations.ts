/** What TensorFlow has for each operation of the graph. */
import type { Dtype, Node } from "../graph.ts";
import type { Binary, OperationName, Reduction, Unary } from "../operations.ts";
import type { Attributes, GraphDef, Reference } from "./graph-def.ts";
import {
  INT32,
  type TrainingOperation,
  type Writers,
  convolutionWindow,
  inputAt,
  is3d,
  lstmInputs,
  outputOf,
  poolName,
  poolWindow,
  typed,
  window,
} from "./writing.ts";

const UNARY: Record<Unary, string> = {
  negate: "Neg",
  abs: "Abs",
  sign: "Sign",
  floor: "Floor",
  exp: "Exp",
  log: "Log",
  log1p: "Log1p",
  sqrt: "Sqrt",
  rsqrt: "Rsqrt",
  square: "Square",
  erf: "Erf",
  sigmoid: "Sigmoid",
  tanh: "Tanh",
  relu: "Relu",
  relu6: "Relu6",
  elu: "Elu",
  selu: "Selu",
  softplus: "Softplus",
  softsign: "Softsign",
  not: "LogicalNot",
};

const BINARY: Record<Binary, string> = {
  add: "AddV2",
  subtract: "Sub",
  multiply: "Mul",
  divide: "RealDiv",
  maximum: "Maximum",
  minimum: "Minimum",
  power: "Pow",
  squaredDifference: "SquaredDifference",
  less: "Less",
  lessEqual: "LessEqual",
  greater: "Greater",
  greaterEqual: "GreaterEqual",
  equal: "Equal",
  notEqual: "NotEqual",
  and: "LogicalAnd",
  or: "LogicalOr",
};

const REDUCTION: Record<Reduction, string> = {
  sum: "Sum",
  mean: "Mean",
  max: "Max",
  min: "Min",
  product: "Prod",
  any: "Any",
  all: "All",
};

/** Of booleans only, so they have no attribute for the datatype. */
const OF_FLAGS = new Set<string>(["not", "and", "or", "any", "all"]);

const elementwise = (name: string, node: Node): Attributes => (OF_FLAGS.has(name) ? {} : { T: typed(node) });

const reshaped = (to: GraphDef, x: Reference, shape: Reference, dtype: Dtype) =>
  to.node("Reshape", [x, shape], { T: { type: dtype }, Tshape: INT32 });

/** The batch of `x` with `rest`: int32. */
function sizesWithBatch(to: GraphDef, x: Reference, dtype: Dtype, rest: readonly number[]): Reference {
  const batch = to.node("Slice", [to.shapeOf(x, dtype), to.integers([0]), to.integers([1])], {
    T: INT32,
    Index: INT32,
  });
  return to.node("ConcatV2", [batch, to.integers(rest), to.integer(0)], {
    N: { integer: 2 },
    T: INT32,
    Tidx: INT32,
  });
}

const at = (references: readonly Reference[], index: number): Reference => {
  const reference = references[index];
  if (reference === undefined) throw new RangeError(`there is no input ${index}`);
  return reference;
};

export const answeringOperations: Writers<Exclude<OperationName, TrainingOperation | "input" | "weight" | "adam">> = {
  constant: (to, node) => to.constant(node.attributes.values, outputOf(node).dtype, outputOf(node).shape),
  unary: (to, node, inputs) =>
    to.node(UNARY[node.attributes.function], inputs, elementwise(node.attributes.function, node)),
  binary: (to, node, inputs) =>
    to.node(BINARY[node.attributes.function], inputs, elementwise(node.attributes.function, node)),
  leakyRelu: (to, node, inputs) =>
    to.node("LeakyRelu", inputs, { T: typed(node), alpha: { float: node.attributes.alpha } }),
  clip: (to, node, [x = ""]) => {
    const { min, max } = node.attributes;
    const limit = (operation: string, value: Reference, bound: number) =>
      Number.isFinite(bound)
        ? to.node(operation, [value, to.constant(Float32Array.of(bound), "float32", [])], { T: typed(node) })
        : value;
    return limit("Minimum", limit("Maximum", x, min), max);
  },
  select: (to, node, inputs) => to.node("SelectV2", inputs, { T: { type: outputOf(node).dtype } }),
  cast: (to, node, inputs) =>
    to.node("Cast", inputs, { SrcT: typed(node), DstT: { type: outputOf(node).dtype }, Truncate: { flag: false } }),
  reduce: (to, node, [x = ""]) => {
    const { axes, keepDims } = node.attributes;
    const type = OF_FLAGS.has(node.attributes.function) ? {} : { T: typed(node) };
    return to.node(REDUCTION[node.attributes.function], [x, to.integers(axes)], {
      ...type,
      Tidx: INT32,
      keep_dims: { flag: keepDims },
    });
  },
  argMax: (to, node, [x = ""]) =>
    to.node("ArgMax", [x, to.integer(node.attributes.axis)], { T: typed(node), Tidx: INT32, output_type: INT32 }),
  cumulativeSum: (to, node, [x = ""]) =>
    to.node("Cumsum", [x, to.integer(node.attributes.axis)], { T: typed(node), Tidx: INT32 }),
  sortDescending: (to, node, [x = ""]) =>
    to.node("TopKV2", [x, to.integer(outputOf(node).shape.at(-1) ?? 1)], { T: typed(node), sorted: { flag: true } }),
  softmax: (to, node, inputs) => to.node("Softmax", inputs, { T: typed(node) }),
  logSoftmax: (to, node, inputs) => to.node("LogSoftmax", inputs, { T: typed(node) }),
  reshape: (to, node, [x = ""]) => reshaped(to, x, to.integers(outputOf(node).shape), inputAt(node, 0).dtype),
  reshapeAs: (to, node, [x = "", like = ""]) =>
    reshaped(to, x, to.shapeOf(like, inputAt(node, 1).dtype), inputAt(node, 0).dtype),
  broadcastAs: (to, node, [x = "", like = ""]) =>
    to.node("BroadcastTo", [x, to.shapeOf(like, inputAt(node, 1).dtype)], { T: typed(node), Tidx: INT32 }),
  transpose: (to, node, [x = ""]) =>
    to.node("Transpose", [x, to.integers(node.attributes.permutation)], { T: typed(node), Tperm: INT32 }),
  concat: (to, node, inputs) =>
    to.node("ConcatV2", [...inputs, to.integer(node.attributes.axis)], {
      N: { integer: inputs.length },
      T: typed(node),
      Tidx: INT32,
    }),
  split: (to, node, [x = ""]) => {
    const { sizes, axis } = node.attributes;
    const name = to.node("SplitV", [x, to.integers(sizes), to.integer(axis)], {
      T: typed(node),
      Tlen: INT32,
      num_split: { integer: sizes.length },
    });
    return sizes.map((_, index) => `${name}:${index}`);
  },
  slice: (to, node, [x = ""]) =>
    to.node("Slice", [x, to.integers(node.attributes.begin), to.integers(node.attributes.size)], {
      T: typed(node),
      Index: INT32,
    }),
  pad: (to, node, [x = ""]) => {
    const { before, after } = node.attributes;
    const edges = Int32Array.from(before.flatMap((size, axis) => [size, after[axis] ?? 0]));
    return to.node("Pad", [x, to.constant(edges, "int32", [before.length, 2])], { T: typed(node), Tpaddings: INT32 });
  },
  tile: (to, node, [x = ""]) =>
    to.node("Tile", [x, to.integers(node.attributes.times)], { T: typed(node), Tmultiples: INT32 }),
  reverse: (to, node, [x = ""]) =>
    to.node("ReverseV2", [x, to.integers([node.attributes.axis])], { T: typed(node), Tidx: INT32 }),
  gather: (to, node, [x = "", indices = ""]) =>
    to.node("GatherV2", [x, indices, to.integer(node.attributes.axis)], {
      Tparams: typed(node),
      Tindices: INT32,
      Taxis: INT32,
    }),
  oneHot: (to, node, [indices = ""]) => {
    const flag = (value: number) => to.constant(Float32Array.of(value), "float32", []);
    return to.node("OneHot", [indices, to.integer(node.attributes.depth), flag(1), flag(0)], {
      T: { type: "float32" },
      TI: INT32,
      axis: { integer: -1 },
    });
  },
  count: (to, node, [x = ""]) => {
    const sizes = to.node(
      "GatherV2",
      [to.shapeOf(x, inputAt(node, 0).dtype), to.integers(node.attributes.axes), to.integer(0)],
      { Tparams: INT32, Tindices: INT32, Taxis: INT32 },
    );
    const product = to.node("Prod", [sizes, to.integers([0])], { T: INT32, Tidx: INT32, keep_dims: { flag: false } });
    return to.node("Cast", [product], { SrcT: INT32, DstT: { type: "float32" } });
  },
  matMul: (to, node, inputs) => {
    const { transposeA, transposeB } = node.attributes;
    const [a, b] = [{ flag: transposeA }, { flag: transposeB }];
    return node.inputs.every(({ shape }) => shape.length === 2)
      ? to.node("MatMul", inputs, { T: typed(node), transpose_a: a, transpose_b: b })
      : to.node("BatchMatMulV2", inputs, { T: typed(node), adj_x: a, adj_y: b });
  },
  biasAdd: (to, node, inputs) => to.node("BiasAdd", inputs, { T: typed(node), data_format: { text: "NHWC" } }),
  convolution: (to, node, inputs) =>
    to.node(is3d(node.attributes) ? "Conv3D" : "Conv2D", inputs, {
      T: typed(node),
      ...convolutionWindow(node.attributes),
    }),
  depthwiseConvolution: (to, node, inputs) =>
    to.node("DepthwiseConv2dNative", inputs, { T: typed(node), ...convolutionWindow(node.attributes) }),
  transposedConvolution: (to, node, [x = "", kernel = ""]) => {
    const sizes = sizesWithBatch(to, x, inputAt(node, 0).dtype, outputOf(node).shape.slice(1));
    const name = is3d(node.attributes) ? "Conv3DBackpropInputV2" : "Conv2DBackpropInput";
    return to.node(name, [sizes, kernel, x], { T: typed(node), ...window(node.attributes) });
  },
  pool: (to, node, inputs) =>
    to.node(poolName(node.attributes), inputs, { T: typed(node), ...poolWindow(node.attributes) }),
  resize: (to, node, [x = ""]) => {
    const { height, width, halfPixelCenters } = node.attributes;
    const name = node.attributes.function === "bilinear" ? "ResizeBilinear" : "ResizeNearestNeighbor";
    return to.node(name, [x, to.integers([height, width])], {
      T: typed(node),
      align_corners: { flag: false },
      half_pixel_centers: { flag: halfPixelCenters },
    });
  },
  batchNormalization: (to, node, inputs) => {
    const T = typed(node);
    const [x, gamma, beta, mean, variance] = [0, 1, 2, 3, 4].map((index) => at(inputs, index));
    if (inputAt(node, 0).shape.length === 4) {
      return to.node("FusedBatchNormV3", inputs, {
        T,
        U: T,
        epsilon: { float: node.attributes.epsilon },
        data_format: { text: "NHWC" },
        is_training: { flag: false },
      });
    }
    const binary = (name: string, ...of: (Reference | undefined)[]) =>
      to.node(
        name,
        of.filter((one) => one !== undefined),
        { T },
      );
    const epsilon = to.constant(Float32Array.of(node.attributes.epsilon), "float32", []);
    const scale = binary("Mul", gamma, binary("Rsqrt", binary("AddV2", variance, epsilon)));
    return binary("AddV2", binary("Mul", x, scale), binary("Sub", beta, binary("Mul", mean, scale)));
  },
  lstm: (to, node, inputs) => {
    const T = typed(node);
    const [steps = 1, , units = 1] = outputOf(node).shape;
    const [x, kernel, recurrent, bias] = [0, 1, 2, 3].map((index) => at(inputs, index));
    const { length, zeros, peephole, weights } = lstmInputs(to, { x, kernel, recurrent }, steps, units);
    const name = to.node(
      "BlockLSTMV2",
      [length, at([x ?? ""], 0), zeros, zeros, weights, peephole, peephole, peephole, at([bias ?? ""], 0)],
      { T, cell_clip: { float: 0 }, use_peephole: { flag: false } },
    );
    // Its last output are the steps' outputs; the other six are for its gradient.
    return [`${name}:6`, ...[0, 1, 2, 3, 4, 5].map((index) => `${name}:${index}`)];
  },
  randomUniform: (to, node, [seed = "", like = ""]) =>
    to.node("StatelessRandomUniform", [to.shapeOf(like, inputAt(node, 1).dtype), seed], {
      T: INT32,
      Tseed: INT32,
      dtype: { type: "float32" },
    }),
};
