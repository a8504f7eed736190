/** Operations on each element: they keep the order of dimensions that their inputs have. */
import type { Value } from "../graph.ts";
import type { Binary, Unary } from "../operations.ts";
import { type Emitter, type Layout } from "./emitter.ts";
import { type Emits, at, outputOf } from "./operation.ts";

/** The order in which something of these inputs is computed. */
export function commonLayout(emitter: Emitter, inputs: readonly Value[], rank: number): Layout {
  if (rank < 3) return "last";
  const whole = inputs.filter(({ shape }) => shape.length === rank);
  const fit = inputs.every(({ shape }) => shape.length === rank || shape.length <= 1);
  return fit && whole.some((input) => emitter.layoutOf(input) === "first") ? "first" : "last";
}

/** An input in that order; one number for each channel is spread over the places. */
export function operand(emitter: Emitter, input: Value, layout: Layout, rank: number): string {
  if (layout === "last" || input.shape.length === 0) return emitter.read(input);
  if (input.shape.length === rank) return emitter.read(input, layout);
  const shape = [input.shape[0] ?? 1, ...Array.from({ length: rank - 2 }, () => 1)];
  const literal = emitter.literal(input);
  if (literal !== undefined) return emitter.store(input.node.name, { ...literal, shape });
  return emitter.node("Reshape", [emitter.read(input), emitter.int64(shape)], `${input.node.name}_channels`);
}

const UNARY: Readonly<Record<Unary, string | ((emitter: Emitter, x: string, y: string) => void)>> = {
  negate: "Neg",
  abs: "Abs",
  sign: "Sign",
  floor: "Floor",
  exp: "Exp",
  log: "Log",
  log1p: (emitter, x, y) => emitter.put("Log", [emitter.node("Add", [x, emitter.float(1)], `${y}_sum`)], [y]),
  sqrt: "Sqrt",
  rsqrt: (emitter, x, y) => emitter.put("Reciprocal", [emitter.node("Sqrt", [x], `${y}_root`)], [y]),
  square: (emitter, x, y) => emitter.put("Mul", [x, x], [y]),
  erf: "Erf",
  sigmoid: "Sigmoid",
  tanh: "Tanh",
  relu: "Relu",
  relu6: (emitter, x, y) => emitter.put("Clip", [x, emitter.float(0), emitter.float(6)], [y]),
  elu: "Elu",
  selu: "Selu",
  softplus: "Softplus",
  softsign: "Softsign",
  not: "Not",
};

const BINARY: Readonly<Record<Binary, string | ((emitter: Emitter, a: string, b: string, y: string) => void)>> = {
  add: "Add",
  subtract: "Sub",
  multiply: "Mul",
  divide: "Div",
  maximum: "Max",
  minimum: "Min",
  power: "Pow",
  squaredDifference: (emitter, a, b, y) => {
    const difference = emitter.node("Sub", [a, b], `${y}_difference`);
    emitter.put("Mul", [difference, difference], [y]);
  },
  less: "Less",
  lessEqual: "LessOrEqual",
  greater: "Greater",
  greaterEqual: "GreaterOrEqual",
  equal: "Equal",
  notEqual: (emitter, a, b, y) => emitter.put("Not", [emitter.node("Equal", [a, b], `${y}_equal`)], [y]),
  and: "And",
  or: "Or",
};

export const elementwise: Emits = {
  unary: (emitter, node) => {
    const x = at(node.inputs, 0);
    const layout = commonLayout(emitter, [x], x.shape.length);
    const input = operand(emitter, x, layout, x.shape.length);
    const output = emitter.write(outputOf(node), layout);
    const write = UNARY[node.attributes.function];
    if (typeof write === "string") emitter.put(write, [input], [output]);
    else write(emitter, input, output);
  },
  binary: (emitter, node) => {
    const rank = outputOf(node).shape.length;
    const layout = commonLayout(emitter, node.inputs, rank);
    const [a = "", b = ""] = node.inputs.map((input) => operand(emitter, input, layout, rank));
    const output = emitter.write(outputOf(node), layout);
    const write = BINARY[node.attributes.function];
    if (typeof write === "string") emitter.put(write, [a, b], [output]);
    else write(emitter, a, b, output);
  },
  biasAdd: (emitter, node) => {
    const rank = outputOf(node).shape.length;
    const layout = commonLayout(emitter, node.inputs, rank);
    const inputs = node.inputs.map((input) => operand(emitter, input, layout, rank));
    emitter.put("Add", inputs, [emitter.write(outputOf(node), layout)]);
  },
  leakyRelu: (emitter, node) => {
    const x = at(node.inputs, 0);
    const layout = emitter.layoutOf(x);
    const input = emitter.read(x, layout);
    emitter.put("LeakyRelu", [input], [emitter.write(outputOf(node), layout)], {
      alpha: { float: node.attributes.alpha },
    });
  },
  clip: (emitter, node) => {
    const { min, max } = node.attributes;
    const x = at(node.inputs, 0);
    const layout = emitter.layoutOf(x);
    const edge = (value: number) => (Number.isFinite(value) ? emitter.float(value) : "");
    const inputs = [emitter.read(x, layout), edge(min), edge(max)];
    emitter.put("Clip", inputs, [emitter.write(outputOf(node), layout)]);
  },
  select: (emitter, node) => {
    const rank = outputOf(node).shape.length;
    const layout = commonLayout(emitter, node.inputs, rank);
    const inputs = node.inputs.map((input) => operand(emitter, input, layout, rank));
    emitter.put("Where", inputs, [emitter.write(outputOf(node), layout)]);
  },
  cast: (emitter, node) => {
    const x = at(node.inputs, 0);
    const layout = emitter.layoutOf(x);
    const input = emitter.read(x, layout);
    const output = outputOf(node);
    emitter.put("Cast", [input], [emitter.write(output, layout)], { to: { int: CAST_TO[output.dtype] } });
  },
};

/** onnx.TensorProto.DataType. */
const CAST_TO = { float32: 1, int32: 6, bool: 9 } as const;
