/** What TensorFlow has for the operations that only training needs. */
import type { Convolution } from "../operations.ts";
import type { Attribute, GraphDef, Reference } from "./graph-def.ts";
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
} from "./writing.ts";

const GRADIENTS = {
  relu: "ReluGrad",
  relu6: "Relu6Grad",
  elu: "EluGrad",
  selu: "SeluGrad",
  sigmoid: "SigmoidGrad",
  tanh: "TanhGrad",
  softplus: "SoftplusGrad",
  softsign: "SoftsignGrad",
} as const;

/** These take the output before its gradient. */
const OUTPUT_FIRST = new Set<string>(["sigmoid", "tanh"]);

const dense = (attributes: Convolution, part: "Input" | "Filter") =>
  is3d(attributes) ? `Conv3DBackprop${part}V2` : `Conv2DBackprop${part}`;

const outputs = (name: string, indices: readonly number[]) => indices.map((index) => `${name}:${index}`);

export const trainingOperations: Writers<TrainingOperation> = {
  softmaxCrossEntropy: (to, node, inputs) =>
    outputs(to.node("SoftmaxCrossEntropyWithLogits", inputs, { T: typed(node) }), [0, 1]),
  unaryGradient: (to, node, [dy = "", other = ""]) => {
    const { function: of } = node.attributes;
    return to.node(GRADIENTS[of], OUTPUT_FIRST.has(of) ? [other, dy] : [dy, other], { T: typed(node) });
  },
  leakyReluGradient: (to, node, inputs) =>
    to.node("LeakyReluGrad", inputs, { T: typed(node), alpha: { float: node.attributes.alpha } }),
  biasGradient: (to, node, inputs) => to.node("BiasAddGrad", inputs, { T: typed(node), data_format: { text: "NHWC" } }),
  convolutionInputGradient: (to, node, [like = "", kernel = "", dy = ""]) =>
    to.node(dense(node.attributes, "Input"), [to.shapeOf(like, "float32"), kernel, dy], {
      T: typed(node),
      ...convolutionWindow(node.attributes),
    }),
  convolutionKernelGradient: (to, node, [x = "", like = "", dy = ""]) =>
    to.node(dense(node.attributes, "Filter"), [x, to.shapeOf(like, "float32"), dy], {
      T: typed(node),
      ...convolutionWindow(node.attributes),
    }),
  depthwiseInputGradient: (to, node, [like = "", kernel = "", dy = ""]) =>
    to.node("DepthwiseConv2dNativeBackpropInput", [to.shapeOf(like, "float32"), kernel, dy], {
      T: typed(node),
      ...convolutionWindow(node.attributes),
    }),
  depthwiseKernelGradient: (to, node, [x = "", like = "", dy = ""]) =>
    to.node("DepthwiseConv2dNativeBackpropFilter", [x, to.shapeOf(like, "float32"), dy], {
      T: typed(node),
      ...convolutionWindow(node.attributes),
    }),
  poolGradient: (to, node, [x = "", y = "", dy = ""]) => {
    const { attributes } = node;
    const window = { T: typed(node), ...poolWindow(attributes) };
    const name = `${poolName(attributes)}Grad`;
    if (attributes.function === "average") return to.node(name, [to.shapeOf(x, "float32"), dy], window);
    const input = is3d(attributes) ? { TInput: typed(node) } : {};
    return to.node(name, [x, y, dy], { ...window, ...input });
  },
  resizeGradient: (to, node, [dy = "", x = ""]) => {
    const { halfPixelCenters } = node.attributes;
    const flags = { T: typed(node), align_corners: { flag: false }, half_pixel_centers: { flag: halfPixelCenters } };
    if (node.attributes.function === "bilinear") return to.node("ResizeBilinearGrad", [dy, x], flags);
    const [, height = 1, width = 1] = inputAt(node, 1).shape;
    return to.node("ResizeNearestNeighborGrad", [dy, to.integers([height, width])], flags);
  },
  lstmGradient: (to, node, inputs) => lstmGradient(to, node.inputs[4]?.shape ?? [], inputs),
  segmentSum: (to, node, [x = "", indices = ""]) =>
    to.node("UnsortedSegmentSum", [x, indices, to.integer(outputOf(node).shape[0] ?? 1)], {
      T: typed(node),
      Tindices: INT32,
      Tnumsegments: INT32,
    }),
};

function lstmGradient(
  to: GraphDef,
  [steps = 1, , units = 1]: readonly number[],
  inputs: readonly Reference[],
): readonly Reference[] {
  const float: Attribute = { type: "float32" };
  const [x = "", kernel = "", recurrent = "", bias = "", h = "", ...rest] = inputs;
  const dh = rest.pop() ?? "";
  const [i = "", cs = "", f = "", o = "", ci = "", co = ""] = rest;
  const { length, zeros, peephole, weights } = lstmInputs(to, { x, kernel, recurrent }, steps, units);
  const none = to.node("ZerosLike", [cs], { T: float });
  const name = to.node(
    "BlockLSTMGradV2",
    [length, x, zeros, zeros, weights, peephole, peephole, peephole, bias, i, cs, f, o, ci, co, h, none, dh],
    { T: float, use_peephole: { flag: false } },
  );
  // Its gradients: x, first states, both kernels as one, three peepholes, bias.
  const size = to.node("Slice", [to.shapeOf(kernel, "float32"), to.integers([0]), to.integers([1])], {
    T: INT32,
    Index: INT32,
  });
  const both = to.node("ConcatV2", [size, to.integers([units]), to.integer(0)], {
    N: { integer: 2 },
    T: INT32,
    Tidx: INT32,
  });
  const parts = to.node("SplitV", [`${name}:3`, both, to.integer(0)], {
    T: float,
    Tlen: INT32,
    num_split: { integer: 2 },
  });
  return [`${name}:0`, parts, `${parts}:1`, `${name}:7`];
}
