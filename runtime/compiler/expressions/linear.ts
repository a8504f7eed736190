/** Products of matrices, convolutions, pooling. */
import { type Shape, type Value, derive } from "../graph.ts";
import type { Convolution, Padding, Pooling, Resizing } from "../operations.ts";
import { broadcast } from "./elementwise.ts";

/** Of the last two dimensions. Those before are equal, or broadcast. Throws RangeError when sizes do not match. */
export function matMul(a: Value, b: Value, transposeA = false, transposeB = false): Value {
  const [rows, innerA] = sides(a.shape, transposeA);
  const [innerB, columns] = sides(b.shape, transposeB);
  if (innerA !== innerB && innerA !== -1 && innerB !== -1) {
    throw new RangeError(`[${a.shape.join(", ")}] and [${b.shape.join(", ")}] cannot be multiplied`);
  }
  const before = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const type = { dtype: a.dtype, shape: [...before, rows, columns] };
  return derive("matMul", [a, b], { transposeA, transposeB }, type);
}

function sides(shape: Shape, transposed: boolean): [number, number] {
  const [rows = 1, columns = 1] = shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

export const biasAdd = (x: Value, bias: Value) => derive("biasAdd", [x, bias], {}, x);

/** Places that a window takes along one dimension. */
function places(size: number, window: number, stride: number, padding: Padding, dilation = 1): number {
  if (size === -1) return -1;
  if (padding === "same") return Math.ceil(size / stride);
  return Math.floor((size - (window - 1) * dilation - 1) / stride) + 1;
}

function slid(x: Shape, window: Shape, { strides, padding, dilations }: Convolution): number[] {
  return window.map((size, axis) => places(x[axis + 1] ?? 1, size, strides[axis] ?? 1, padding, dilations[axis]));
}

/** x [batch, …places, in] by kernel [...size, in, out]. */
export function convolve(x: Value, kernel: Value, attributes: Convolution): Value {
  const window = kernel.shape.slice(0, -2);
  const shape = [x.shape[0] ?? -1, ...slid(x.shape, window, attributes), kernel.shape.at(-1) ?? 1];
  return derive("convolution", [x, kernel], attributes, { dtype: x.dtype, shape });
}

/** x [batch, height, width, channels] by kernel [height, width, channels, multiplier]. */
export function convolveDepthwise(x: Value, kernel: Value, attributes: Convolution): Value {
  const [height = 1, width = 1, channels = 1, multiplier = 1] = kernel.shape;
  const shape = [x.shape[0] ?? -1, ...slid(x.shape, [height, width], attributes), channels * multiplier];
  return derive("depthwiseConvolution", [x, kernel], attributes, { dtype: x.dtype, shape });
}

/** x [batch, …places, in] by kernel [...size, out, in], to `sizes`. */
export function convolveTransposed(
  x: Value,
  kernel: Value,
  sizes: Shape,
  attributes: { strides: readonly number[]; padding: Padding },
): Value {
  const shape = [x.shape[0] ?? -1, ...sizes, kernel.shape.at(-2) ?? 1];
  return derive("transposedConvolution", [x, kernel], attributes, { dtype: x.dtype, shape });
}

export function pool(x: Value, attributes: Pooling): Value {
  const { size, strides, padding } = attributes;
  const window = slid(x.shape, size, { strides, padding, dilations: size.map(() => 1) });
  const shape = [x.shape[0] ?? -1, ...window, x.shape.at(-1) ?? 1];
  return derive("pool", [x], attributes, { dtype: x.dtype, shape });
}

export function resize(x: Value, attributes: Resizing): Value {
  const { height, width } = attributes;
  const shape = [x.shape[0] ?? -1, height, width, x.shape.at(-1) ?? 1];
  return derive("resize", [x], attributes, { dtype: x.dtype, shape });
}

interface Statistics {
  gamma: Value;
  beta: Value;
  mean: Value;
  variance: Value;
}

export function batchNormalization(x: Value, { gamma, beta, mean, variance }: Statistics, epsilon: number): Value {
  return derive("batchNormalization", [x, gamma, beta, mean, variance], { epsilon }, x);
}
