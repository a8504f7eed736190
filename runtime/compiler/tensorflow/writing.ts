/** What writing TensorFlow's nodes has in common: types, attributes of windows, inputs of recurrent operations. */
import type { Node, Value } from "../graph.ts";
import type { Convolution, OperationName, Pooling } from "../operations.ts";
import type { Attribute, Attributes, GraphDef, Reference } from "./graph-def.ts";

/** Writes the nodes of one node of the graph; `inputs` are its inputs. Returns its outputs. */
export type Write<Operation extends OperationName> = (
  to: GraphDef,
  node: Extract<Node, { operation: Operation }>,
  inputs: readonly Reference[],
) => Reference | readonly Reference[];

export type Writers<Operations extends OperationName> = { [Operation in Operations]: Write<Operation> };

/** Those that answers do without. */
export type TrainingOperation =
  | "softmaxCrossEntropy"
  | "unaryGradient"
  | "leakyReluGradient"
  | "biasGradient"
  | "convolutionInputGradient"
  | "convolutionKernelGradient"
  | "depthwiseInputGradient"
  | "depthwiseKernelGradient"
  | "poolGradient"
  | "resizeGradient"
  | "lstmGradient"
  | "segmentSum";

export const INT32: Attribute = { type: "int32" };

export const typed = (node: Node): Attribute => ({ type: inputAt(node, 0).dtype });

export function inputAt(node: Node, index: number): Value {
  const input = node.inputs[index];
  if (input === undefined) throw new RangeError(`${node.name} has no input ${index}`);
  return input;
}

export function outputOf(node: Node): Value {
  const [output] = node.outputs;
  if (output === undefined) throw new RangeError(`${node.name} has no output`);
  return output;
}

const around = (inner: readonly number[]) => ({ integers: [1, ...inner, 1] });

/** Attributes of windows that move over places. */
export function window({ strides, padding }: Pick<Convolution, "strides" | "padding">): Attributes {
  return {
    strides: around(strides),
    padding: { text: padding.toUpperCase() },
    data_format: { text: strides.length === 3 ? "NDHWC" : "NHWC" },
  };
}

export const convolutionWindow = (attributes: Convolution): Attributes => ({
  ...window(attributes),
  dilations: around(attributes.dilations),
});

export const poolWindow = (attributes: Pooling): Attributes => ({
  ...window(attributes),
  ksize: around(attributes.size),
});

export const is3d = ({ strides }: { strides: readonly number[] }) => strides.length === 3;

export const poolName = (attributes: Pooling) =>
  `${attributes.function === "max" ? "MaxPool" : "AvgPool"}${is3d(attributes) ? "3D" : ""}`;

interface Sequence {
  x: Reference | undefined;
  kernel: Reference | undefined;
  recurrent: Reference | undefined;
}

/** What BlockLSTMV2 and its gradient take besides: states of zeros, no peepholes, both kernels as one. */
export function lstmInputs(
  to: GraphDef,
  { x = "", kernel = "", recurrent = "" }: Sequence,
  steps: number,
  units: number,
) {
  const float: Attribute = { type: "float32" };
  const batch = to.node("Slice", [to.shapeOf(x, "float32"), to.integers([1]), to.integers([1])], {
    T: INT32,
    Index: INT32,
  });
  const size = to.node("ConcatV2", [batch, to.integers([units]), to.integer(0)], {
    N: { integer: 2 },
    T: INT32,
    Tidx: INT32,
  });
  const zero = to.constant(Float32Array.of(0), "float32", []);
  return {
    length: to.node("Cast", [to.integer(steps)], { SrcT: INT32, DstT: { type: "int64" } }),
    zeros: to.node("Fill", [size, zero], { T: float, index_type: INT32 }),
    peephole: to.constant(new Float32Array(units), "float32", [units]),
    weights: to.node("ConcatV2", [kernel, recurrent, to.integer(0)], { N: { integer: 2 }, T: float, Tidx: INT32 }),
  };
}
