/** What shape an example has after each layer, worked out before anything is computed; errors name the layer's field. */
import type { Layer, PreprocessingStep } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import { sizeOf } from "../data/dataset.ts";
import { Failure } from "../failure.ts";

function invalid(field: string, message: string): Failure {
  return new Failure("InvalidSpec", `${field}: ${message}`);
}

const show = (shape: readonly number[]) => `[${shape.join(", ")}]`;

type Window = readonly number[];

/** Height and width after a window of `size` has moved over `input` by `strides`. */
function slide(field: string, input: readonly number[], size: Window, strides: Window, padding: "valid" | "same") {
  return [0, 1].map((axis) => {
    const [length = 0, window = 1, stride = 1] = [input[axis], size[axis], strides[axis]];
    if (padding === "same") return Math.ceil(length / stride);
    const result = Math.floor((length - window) / stride) + 1;
    if (result >= 1) return result;
    throw invalid(
      field,
      `a window of ${show(size)} does not fit into ${show(input.slice(0, 2))}; use padding same, or a smaller one`,
    );
  });
}

function requireImage(field: string, shape: readonly number[]): [number, number, number] {
  const [height, width, channels] = shape;
  if (shape.length === 3 && height !== undefined && width !== undefined && channels !== undefined)
    return [height, width, channels];
  throw invalid(
    field,
    `needs an input of shape [height, width, channels], but it gets ${show(shape)}; add {reshape: {shape: […]}} to spec.preprocessing, or move the layer`,
  );
}

function requireFlat(field: string, shape: readonly number[]): void {
  if (shape.length === 1) return;
  throw invalid(field, `needs a flat input, but it gets ${show(shape)}; add {flatten: {}} before it`);
}

/** [steps, features]. */
function requireSequence(field: string, shape: readonly number[]): [steps: number, features: number] {
  const [steps, features] = shape;
  if (shape.length === 2 && steps !== undefined && features !== undefined) return [steps, features];
  throw invalid(
    field,
    `needs an input of shape [steps, features], but it gets ${show(shape)}; add {reshape: {shape: […]}} before it`,
  );
}

/** Length after a window of `size` has moved over `length` by `stride`. */
function slide1d(field: string, length: number, size: number, stride: number, padding: "valid" | "same") {
  if (padding !== "valid") return Math.ceil(length / stride);
  const result = Math.floor((length - size) / stride) + 1;
  if (result >= 1) return result;
  throw invalid(field, `a window of ${size} steps does not fit into ${length}; use padding same, or a smaller one`);
}

interface Convolution2d {
  kernelSize: number[];
  strides: number[];
  padding: "valid" | "same";
}

function convolved(field: string, input: readonly number[], { kernelSize, strides, padding }: Convolution2d): number[] {
  requireImage(field, input);
  return slide(field, input, kernelSize, strides, padding);
}

/** Height and width after a transposed convolution (TensorFlow, conv_utils.deconv_output_length). */
function transposed(field: string, input: readonly number[], { kernelSize, strides, padding }: Convolution2d) {
  const [height, width] = requireImage(field, input);
  return [height, width].map((length, axis) => {
    const [size = 1, stride = 1] = [kernelSize[axis], strides[axis]];
    return padding === "same" ? length * stride : length * stride + Math.max(size - stride, 0);
  });
}

interface Pool<Size> {
  poolSize: Size;
  strides?: Size | undefined;
  padding: "valid" | "same";
}

function pooled1d(field: string, input: readonly number[], { poolSize, strides = poolSize, padding }: Pool<number>) {
  const [steps, features] = requireSequence(field, input);
  return [slide1d(field, steps, poolSize, strides, padding), features];
}

function pooled2d(field: string, input: readonly number[], { poolSize, strides = poolSize, padding }: Pool<number[]>) {
  const [, , channels] = requireImage(field, input);
  return [...slide(field, input, poolSize, strides, padding), channels];
}

/** Each side of an image by its own factor and addend. */
function scaled(field: string, input: readonly number[], change: (length: number, axis: number) => number): number[] {
  const [height, width, channels] = requireImage(field, input);
  return [change(height, 0), change(width, 1), channels];
}

function reshaped(field: string, input: readonly number[], shape: readonly number[]): number[] {
  if (sizeOf(shape) === sizeOf(input)) return [...shape];
  throw invalid(
    `${field}.shape`,
    `${show(shape)} has ${sizeOf(shape)} values, but an example has ${sizeOf(input)}; correct it`,
  );
}

function recurrent(
  field: string,
  input: readonly number[],
  { units, returnSequences }: { units: number; returnSequences: boolean },
): number[] {
  const [steps] = requireSequence(field, input);
  return returnSequences ? [steps, units] : [units];
}

function cropped(field: string, length: number, cropping: number): number {
  if (length > 2 * cropping) return length - 2 * cropping;
  throw invalid(`${field}.cropping`, `leaves nothing of ${length} rows or columns; crop less`);
}

function permuted(field: string, input: readonly number[], dims: readonly number[]): number[] {
  const all = input.map((_, index) => index + 1);
  if (dims.toSorted((a, b) => a - b).join() === all.join()) return dims.map((dim) => input[dim - 1] ?? 0);
  throw invalid(`${field}.dims`, `must have each of ${all.join(", ")} once, as it gets ${show(input)}; correct it`);
}

/** Shape of an example after the layer, without the batch. Throws Failure InvalidSpec. */
export function shapeAfterLayer(layer: Layer, input: readonly number[], path: string): number[] {
  const [name, settings] = only(layer);
  const field = `${path}.${name}`;
  switch (name) {
    case "dense":
      requireFlat(field, input);
      return [settings.units];
    case "conv1d": {
      const [steps] = requireSequence(field, input);
      return [slide1d(field, steps, settings.kernelSize, settings.strides, settings.padding), settings.filters];
    }
    case "conv2d":
    case "separableConv2d":
      return [...convolved(field, input, settings), settings.filters];
    case "depthwiseConv2d":
      return [...convolved(field, input, settings), (input[2] ?? 1) * settings.depthMultiplier];
    case "conv2dTranspose":
      return [...transposed(field, input, settings), settings.filters];
    case "maxPooling1d":
    case "averagePooling1d":
      return pooled1d(field, input, settings);
    case "maxPooling2d":
    case "averagePooling2d":
      return pooled2d(field, input, settings);
    case "globalMaxPooling1d":
    case "globalAveragePooling1d":
      return [requireSequence(field, input)[1]];
    case "globalMaxPooling2d":
    case "globalAveragePooling2d":
      return [requireImage(field, input)[2]];
    case "flatten":
      return [sizeOf(input)];
    case "reshape":
      return reshaped(field, input, settings.shape);
    case "zeroPadding2d":
      return scaled(field, input, (length, axis) => length + 2 * (settings.padding[axis] ?? 0));
    case "upSampling2d":
      return scaled(field, input, (length, axis) => length * (settings.size[axis] ?? 1));
    case "embedding": {
      if (input.length !== 1) throw invalid(field, `needs tokens of shape [steps], but it gets ${show(input)}`);
      return [...input, settings.outputDim];
    }
    case "lstm":
    case "gru":
    case "simpleRnn":
      return recurrent(field, input, settings);
    case "bidirectional": {
      const [, inner] = only(settings.layer);
      const shape = recurrent(field, input, inner);
      return settings.mergeMode === "concat" ? [...shape.slice(0, -1), 2 * inner.units] : shape;
    }
    case "cropping2d":
      return scaled(field, input, (length, axis) => cropped(field, length, settings.cropping[axis] ?? 0));
    case "permute":
      return permuted(field, input, settings.dims);
    case "repeatVector":
      requireFlat(field, input);
      return [settings.n, ...input];
    case "timeDistributed":
      return [requireSequence(field, input)[0], settings.dense.units];
    case "gaussianNoise":
    case "gaussianDropout":
    case "alphaDropout":
    case "dropout":
    case "batchNormalization":
    case "layerNormalization":
    case "activation":
    case "leakyReLU":
      return [...input];
  }
}

/** Shape of an example after a step on its features. Throws Failure InvalidSpec. */
export function shapeAfterStep(step: PreprocessingStep, input: readonly number[], path: string): number[] {
  return step.reshape === undefined ? [...input] : reshaped(`${path}.reshape`, input, step.reshape.shape);
}
