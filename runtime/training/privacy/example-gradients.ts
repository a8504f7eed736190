/**
 * Gradients of each example's own loss, clipped and summed, without computing them one by one.
 * Dense layers by ghost clipping (Goodfellow, "Efficient Per-Example Gradient Computations", 2015), convolutions exactly, by patches.
 */
import type { Tensor, Tensor3D, Tensor4D, layers } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";

type TfLayer = layers.Layer;

/** A layer with weights, at one place of the model. */
export interface WeightedLayer {
  /** Its output before the activation. */
  linear(input: Tensor): Tensor;
  activate(output: Tensor): Tensor;
  /** Squared norm of the gradients of each example: [batch]. `delta` is the gradient of `linear`'s output. */
  squaredNorms(input: Tensor, delta: Tensor): Tensor;
  /** Gradients of kernel and bias, where each example counts with its `scale`: [batch]. */
  gradients(input: Tensor, delta: Tensor, scale: Tensor): Tensor[];
}

interface Settings {
  useBias?: unknown;
  activation?: unknown;
  strides?: unknown;
  padding?: unknown;
  dilationRate?: unknown;
  kernelSize?: unknown;
}

/** A layer that applies the activation alone. */
function activationOf(tf: Tf, { activation }: Settings): (output: Tensor) => Tensor {
  if (typeof activation !== "string" || activation === "linear") return (output) => output;
  // The names are tfjs' own, as it wrote them into the configuration.
  const layer = tf.layers.activation({ activation: activation as "relu" });
  return (output) => layer.apply(output) as Tensor;
}

const batchOf = (tensor: Tensor): number => tensor.shape[0] ?? 0;

/** Scales each example: [batch, ...] by [batch]. */
function scaled(tf: Tf, tensor: Tensor, scale: Tensor): Tensor {
  return tf.mul(tensor, tf.reshape(scale, [batchOf(tensor), ...tensor.shape.slice(1).map(() => 1)]));
}

/** Sums the squares of each example: [batch]. */
function squares(tf: Tf, tensor: Tensor): Tensor {
  return tf.sum(tf.reshape(tf.square(tensor), [batchOf(tensor), -1]), 1);
}

/** Gradients of a layer that multiplies rows with its kernel: rows [batch, places, in], delta [batch, places, out]. */
function rowGradients(tf: Tf, rows: Tensor3D, delta: Tensor3D, scale: Tensor) {
  const [, , inputs] = rows.shape;
  const [, , outputs] = delta.shape;
  const weighted = tf.reshape(scaled(tf, delta, scale), [-1, outputs]);
  const kernel = tf.matMul(tf.reshape(rows, [-1, inputs]), weighted, true, false);
  return { kernel, bias: tf.sum(weighted, 0) };
}

/** Squared norms of each example's gradients. */
function rowNorms(tf: Tf, rows: Tensor3D, delta: Tensor3D, hasBias: boolean): Tensor {
  const bias = hasBias ? squares(tf, tf.sum(delta, 1)) : tf.scalar(0);
  // With one place the gradient is an outer product, whose norm is the product of the norms.
  const kernel =
    rows.shape[1] === 1
      ? tf.mul(squares(tf, rows), squares(tf, delta))
      : squares(tf, tf.matMul(rows, delta, true, false));
  return tf.add(kernel, bias);
}

function weighted(
  tf: Tf,
  layer: TfLayer,
  settings: Settings,
  linear: (input: Tensor, kernel: Tensor) => Tensor,
  rowsOf: (input: Tensor) => Tensor3D,
): WeightedLayer {
  const hasBias = settings.useBias !== false;
  const placesOf = (delta: Tensor) => tf.reshape(delta, [batchOf(delta), -1, delta.shape.at(-1) ?? 1]) as Tensor3D;
  const kernelShape = layer.getWeights()[0]?.shape ?? [];
  return {
    linear: (input) => {
      const [kernel, bias] = layer.getWeights();
      if (kernel === undefined) throw new TypeError(`layer ${layer.name} has no kernel`);
      const output = linear(input, kernel);
      return bias === undefined ? output : tf.add(output, bias);
    },
    activate: activationOf(tf, settings),
    squaredNorms: (input, delta) => rowNorms(tf, rowsOf(input), placesOf(delta), hasBias),
    gradients: (input, delta, scale) => {
      const { kernel, bias } = rowGradients(tf, rowsOf(input), placesOf(delta), scale);
      return [tf.reshape(kernel, kernelShape), ...(hasBias ? [bias] : [])];
    },
  };
}

function dense(tf: Tf, layer: TfLayer, settings: Settings): WeightedLayer {
  const rowsOf = (input: Tensor) => tf.reshape(input, [batchOf(input), -1, input.shape.at(-1) ?? 1]) as Tensor3D;
  const linear = (input: Tensor, kernel: Tensor) => {
    const flat = tf.matMul(tf.reshape(input, [-1, input.shape.at(-1) ?? 1]), kernel);
    return tf.reshape(flat, [...input.shape.slice(0, -1), kernel.shape[1] ?? 1]);
  };
  return weighted(tf, layer, settings, linear, rowsOf);
}

/** Padding before and after, as TensorFlow places it. */
function samePadding(size: number, kernel: number, stride: number): [number, number] {
  const total = Math.max((Math.ceil(size / stride) - 1) * stride + kernel - size, 0);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** What the kernel sees at each place: [batch, places, height * width * channels]. */
export function patches(
  tf: Tf,
  input: Tensor4D,
  [height, width]: readonly [number, number],
  [down, right]: readonly [number, number],
  padding: "same" | "valid",
): Tensor3D {
  const [batch, rows, columns, channels] = input.shape;
  const [vertical, horizontal] =
    padding === "same"
      ? [samePadding(rows, height, down), samePadding(columns, width, right)]
      : ([
          [0, 0],
          [0, 0],
        ] as [[number, number], [number, number]]);
  const padded = tf.pad(input, [[0, 0], vertical, horizontal, [0, 0]]);
  const [, paddedRows, paddedColumns] = padded.shape;
  const [lastRow, lastColumn] = [paddedRows - height, paddedColumns - width];
  const parts: Tensor[] = [];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [begin, end] = [
        [0, y, x, 0],
        [batch, y + lastRow + 1, x + lastColumn + 1, channels],
      ];
      parts.push(tf.stridedSlice(padded, begin, end, [1, down, right, 1]));
    }
  }
  return tf.reshape(tf.concat(parts, 3), [batch, -1, height * width * channels]) as Tensor3D;
}

const pair = (value: unknown): [number, number] => {
  const [a = 1, b = a] = [value].flat() as number[];
  return [a, b];
};

function convolution(tf: Tf, layer: TfLayer, settings: Settings): WeightedLayer {
  const [strides, kernelSize] = [pair(settings.strides), pair(settings.kernelSize)];
  const padding = settings.padding === "same" ? "same" : "valid";
  const linear = (input: Tensor, kernel: Tensor) => tf.conv2d(input as Tensor4D, kernel as Tensor4D, strides, padding);
  return weighted(tf, layer, settings, linear, (input) => patches(tf, input as Tensor4D, kernelSize, strides, padding));
}

/** The layer with gradients for each example; undefined where there are none for its kind. */
export function weightedLayer(tf: Tf, layer: TfLayer): WeightedLayer | undefined {
  const settings: Settings = layer.getConfig();
  const kind = layer.getClassName();
  if (kind === "Dense") return dense(tf, layer, settings);
  const plain = pair(settings.dilationRate ?? 1).every((rate) => rate === 1);
  return kind === "Conv2D" && plain ? convolution(tf, layer, settings) : undefined;
}
