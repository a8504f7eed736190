/** Products of matrices, convolutions, pooling, normalization by known statistics, LSTM. */
import type { Value } from "../graph.ts";
import { type Emitter, NotEmittable } from "./emitter.ts";
import { commonLayout, operand } from "./elementwise.ts";
import { type Chain, chainOf, outFirst } from "./chain.ts";
import { type Literal, permuted } from "./literal.ts";
import { type Emits, type NodeOf, at, outputOf } from "./operation.ts";
import { affine } from "./statistics.ts";
import { transposedAttributes, windowAttributes } from "./windows.ts";

const places = ({ shape }: Value) => shape.slice(1, -1);
const ones = (list: readonly unknown[]) => list.map(() => 1);

/** A kernel whose dimensions are put in ONNX's order. */
function kernelName(emitter: Emitter, kernel: Value, permutation: readonly number[]): string {
  const literal = emitter.literal(kernel);
  if (literal !== undefined) return emitter.store(kernel.node.name, permuted(literal, permutation));
  const perm = { perm: { ints: permutation } };
  return emitter.node("Transpose", [emitter.read(kernel)], `${kernel.node.name}_turned`, perm);
}

export function convolutionAttributes(node: NodeOf<"convolution"> | NodeOf<"depthwiseConvolution">) {
  const kernel = at(node.inputs, 1);
  const window = { ...node.attributes, size: kernel.shape.slice(0, -2) };
  const attributes = windowAttributes(places(at(node.inputs, 0)), window);
  return node.operation === "convolution" ? attributes : { ...attributes, group: { int: kernel.shape[2] ?? 1 } };
}

function convolution(emitter: Emitter, { product, input, kernel, bias, output, nodes }: Chain): void {
  if (product.operation === "matMul") throw new NotEmittable("a product of matrices is no convolution");
  const inputs = [emitter.read(input, "first"), emitter.store(`${product.name}_kernel`, kernel)];
  if (bias !== undefined) inputs.push(storeVector(emitter, `${product.name}_bias`, bias));
  emitter.put("Conv", inputs, [emitter.write(output, "first")], convolutionAttributes(product));
  emitter.finish(nodes);
}

export function storeVector(emitter: Emitter, name: string, data: Float32Array): string {
  return emitter.store(name, { dtype: "float32", shape: [data.length], data });
}

/** The output of a matrix' chain, whose rows may get their shape back. */
export function writeRows(
  emitter: Emitter,
  { product, output, reshaped, nodes }: Chain,
  write: (name: string) => void,
): void {
  emitter.finish(nodes);
  if (reshaped === undefined) return write(emitter.write(output));
  const rows = emitter.unique(`${product.name}_rows`);
  write(rows);
  emitter.put("Reshape", [rows, emitter.int64(reshaped.shape)], [emitter.write(output)]);
}

function rows(emitter: Emitter, chain: Chain): void {
  const { product, input, kernel, bias } = chain;
  const inputs = [emitter.read(input), emitter.store(`${product.name}_kernel`, kernel)];
  if (bias === undefined) return writeRows(emitter, chain, (name) => emitter.put("MatMul", inputs, [name]));
  inputs.push(storeVector(emitter, `${product.name}_bias`, bias));
  writeRows(emitter, chain, (name) => emitter.put("Gemm", inputs, [name]));
}

function matMul(emitter: Emitter, node: NodeOf<"matMul">): void {
  const chain = chainOf(emitter, node, false);
  if (chain !== undefined) return rows(emitter, chain);
  const { transposeA, transposeB } = node.attributes;
  const [a, b] = [at(node.inputs, 0), at(node.inputs, 1)];
  const rank = Math.max(a.shape.length, b.shape.length);
  if (rank === 2 && (transposeA || transposeB)) {
    const attributes = { transA: { int: Number(transposeA) }, transB: { int: Number(transposeB) } };
    emitter.put("Gemm", [emitter.read(a), emitter.read(b)], [emitter.write(outputOf(node))], attributes);
    return;
  }
  const side = (value: Value, transposed: boolean) => {
    if (!transposed) return emitter.read(value);
    const axes = value.shape.map((_, axis) => axis);
    const [last = 1, beforeLast = 0] = [axes.pop(), axes.pop()];
    const perm = { ints: [...axes, last, beforeLast] };
    return emitter.node("Transpose", [emitter.read(value)], `${value.node.name}_turned`, { perm });
  };
  emitter.put("MatMul", [side(a, transposeA), side(b, transposeB)], [emitter.write(outputOf(node))]);
}

function batchNormalization(emitter: Emitter, node: NodeOf<"batchNormalization">): void {
  const x = at(node.inputs, 0);
  const rank = x.shape.length;
  const known = affine(emitter, node);
  if (known === undefined) throw new NotEmittable("a batch normalization has no known statistics");
  const layout = commonLayout(emitter, [x], rank);
  const channels = known.scale.length;
  const shape = layout === "first" ? [channels, ...ones(places(x))] : [channels];
  const store = (name: string, data: Float32Array) =>
    emitter.store(`${node.name}_${name}`, { dtype: "float32", shape, data });
  const scaled = emitter.node(
    "Mul",
    [operand(emitter, x, layout, rank), store("scale", known.scale)],
    `${node.name}_scaled`,
  );
  emitter.put("Add", [scaled, store("shift", known.shift)], [emitter.write(outputOf(node), layout)]);
}

/** Keras' gates are input, forget, cell, output; ONNX' are input, output, forget, cell. */
const GATES = [0, 3, 1, 2];

/** Columns of gates [rows, 4 units] as rows in ONNX' order [1, 4 units, rows]. */
function gateRows({ data, shape: [rows = 1, columns = 1] }: Literal): Literal {
  const units = columns / 4;
  const turned = new Float32Array(data.length);
  for (const [to, from] of GATES.entries())
    for (let unit = 0; unit < units; unit++)
      for (let row = 0; row < rows; row++)
        turned[(to * units + unit) * rows + row] = data[row * columns + from * units + unit] ?? 0;
  return { dtype: "float32", shape: [1, columns, rows], data: turned };
}

function lstm(emitter: Emitter, node: NodeOf<"lstm">): void {
  const [x] = node.inputs;
  const [kernel, recurrent, bias] = node.inputs.slice(1).map((input) => emitter.literal(input));
  if (x === undefined || kernel === undefined || recurrent === undefined || bias === undefined) {
    throw new NotEmittable("the weights of an LSTM are computed");
  }
  const units = recurrent.shape[0] ?? 1;
  const own = gateRows({ ...bias, shape: [1, 4 * units] }).data;
  const both = new Float32Array(8 * units);
  both.set(own);
  const store = (name: string, literal: Literal) => emitter.store(`${node.name}_${name}`, literal);
  const inputs = [
    emitter.read(x),
    store("kernel", gateRows(kernel)),
    store("recurrent", gateRows(recurrent)),
    store("bias", { dtype: "float32", shape: [1, 8 * units], data: both }),
  ];
  // [steps, directions, batch, units]
  const all = emitter.node("LSTM", inputs, `${node.name}_directions`, { hidden_size: { int: units } });
  emitter.put("Squeeze", [all, emitter.int64([1])], [emitter.write(outputOf(node))]);
}

export const linear: Emits = {
  matMul,
  batchNormalization,
  lstm,
  convolution: (emitter, node) => {
    const chain = chainOf(emitter, node, false);
    if (chain !== undefined) return convolution(emitter, chain);
    const [x, kernel] = [at(node.inputs, 0), at(node.inputs, 1)];
    const inputs = [emitter.read(x, "first"), kernelName(emitter, kernel, outFirst(kernel.shape.length))];
    emitter.put("Conv", inputs, [emitter.write(outputOf(node), "first")], convolutionAttributes(node));
  },
  depthwiseConvolution: (emitter, node) => {
    const chain = chainOf(emitter, node, false);
    if (chain === undefined) throw new NotEmittable("the kernel of a depthwise convolution is computed");
    convolution(emitter, chain);
  },
  transposedConvolution: (emitter, node) => {
    const [x, kernel] = [at(node.inputs, 0), at(node.inputs, 1)];
    // [...size, out, in] to [in, out, ...size]
    const inputs = [emitter.read(x, "first"), kernelName(emitter, kernel, outFirst(kernel.shape.length))];
    const window = { ...node.attributes, size: kernel.shape.slice(0, -2) };
    const attributes = transposedAttributes(places(x), places(outputOf(node)), window);
    emitter.put("ConvTranspose", inputs, [emitter.write(outputOf(node), "first")], attributes);
  },
  pool: (emitter, node) => {
    const x = at(node.inputs, 0);
    const { function: name, size } = node.attributes;
    const attributes = windowAttributes(places(x), { ...node.attributes, dilations: ones(size) });
    const operation = name === "max" ? "MaxPool" : "AveragePool";
    emitter.put(operation, [emitter.read(x, "first")], [emitter.write(outputOf(node), "first")], attributes);
  },
  resize: (emitter, node) => {
    const { function: name, height, width, halfPixelCenters } = node.attributes;
    const x = at(node.inputs, 0);
    // TensorFlow takes the pixel under a new one's centre, or under its corner.
    const nearest = halfPixelCenters ? "round_prefer_ceil" : "floor";
    const attributes = {
      mode: { string: name === "bilinear" ? "linear" : "nearest" },
      coordinate_transformation_mode: { string: halfPixelCenters ? "half_pixel" : "asymmetric" },
      ...(name === "nearest" ? { nearest_mode: { string: nearest } } : {}),
    };
    const input = emitter.read(x, "first");
    // All four sizes, as ONNX Runtime 1.30 turns images of which only two are given into nonsense.
    const batch = emitter.node("Shape", [input], `${node.name}_batch`, { start: { int: 0 }, end: { int: 1 } });
    const rest = emitter.int64([x.shape.at(-1) ?? 1, height, width]);
    const sizes = emitter.node("Concat", [batch, rest], `${node.name}_sizes`, { axis: { int: 0 } });
    const inputs = [input, "", "", sizes];
    emitter.put("Resize", inputs, [emitter.write(outputOf(node), "first")], attributes);
  },
};
