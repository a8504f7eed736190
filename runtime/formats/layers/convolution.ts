/** Convolutions that tfjs' layers lack: in groups of channels, and in one dimension where tfjs has them in two. */
import type { Shape, Tensor, Tensor4D, Tensor5D } from "@tensorflow/tfjs";
import { z } from "zod";
import type { Tf } from "../../engine/backend.ts";
import { activate } from "./activation.ts";
import { type Computation, type Definition, type WeightShape, known, only, resized } from "./definition.ts";
import { Activation, ChannelsLast, Padding, Size, sizes } from "./settings.ts";

type Padding = z.output<typeof Padding>;

/** Configuration that convolutions over `rank` dimensions share. */
const common = (rank: number) => ({
  kernelSize: sizes(rank),
  strides: sizes(rank).default(Array.from({ length: rank }, () => 1)),
  padding: Padding.default("valid"),
  dataFormat: ChannelsLast,
  activation: Activation,
  useBias: z.boolean().default(true),
});

const once = (rank: number) => sizes(rank, z.literal(1)).nullish();

function convolved(size: number, kernel: number, stride: number, padding: Padding | "causal", dilation = 1): number {
  return padding !== "valid" ? Math.ceil(size / stride) : Math.floor((size - (kernel - 1) * dilation - 1) / stride) + 1;
}

function transposed(size: number, kernel: number, stride: number, padding: Padding): number {
  return padding === "same" ? size * stride : size * stride + Math.max(kernel - stride, 0);
}

const channelsOf = (shapes: Shape[]) => known(only(shapes).at(-1), "the number of channels");

const bias = (useBias: boolean, size: number): WeightShape[] => (useBias ? [{ name: "bias", shape: [size] }] : []);

function finish<S extends { useBias: boolean; activation: string }>(
  { tf, settings, weight }: Computation<S>,
  x: Tensor,
) {
  return activate(tf, settings.activation, settings.useBias ? tf.add(x, weight("bias")) : x);
}

/** One dimension as two, of which the first has size one. */
const widen = (tf: Tf, x: Tensor) => tf.expandDims<Tensor4D>(x, 1);
const narrow = (tf: Tf, x: Tensor) => tf.squeeze(x, [1]);
const widenKernel = (tf: Tf, kernel: Tensor) => tf.expandDims<Tensor4D>(kernel, 0);

interface Grouped {
  filters: number;
  kernelSize: number[];
  strides: number[];
  padding: Padding | "causal";
  dilationRate: number[];
  groups: number;
  activation: string;
  useBias: boolean;
}

/** The sizes of `numbers`, which has as many as the schema says. */
const at = (numbers: readonly number[], index: number) => numbers[index] ?? 1;

/** Pads in front, so that a step sees none that come after it. */
function causal(tf: Tf, x: Tensor, { kernelSize, dilationRate }: Grouped): Tensor {
  return tf.pad(x, [
    [0, 0],
    [(at(kernelSize, 0) - 1) * at(dilationRate, 0), 0],
    [0, 0],
  ]);
}

const three = (numbers: number[]): [number, number, number] => [at(numbers, 0), at(numbers, 1), at(numbers, 2)];

function convolve(tf: Tf, rank: number, x: Tensor, kernel: Tensor, settings: Grouped): Tensor {
  const { strides, dilationRate } = settings;
  const padding = settings.padding === "causal" ? "valid" : settings.padding;
  if (rank === 1) {
    const seen = settings.padding === "causal" ? causal(tf, x, settings) : x;
    const dilations: [number, number] = [1, at(dilationRate, 0)];
    return narrow(
      tf,
      tf.conv2d(widen(tf, seen), widenKernel(tf, kernel), [1, at(strides, 0)], padding, "NHWC", dilations),
    );
  }
  if (rank === 2) {
    const [strideHeight, strideWidth] = [at(strides, 0), at(strides, 1)];
    const dilations: [number, number] = [at(dilationRate, 0), at(dilationRate, 1)];
    return tf.conv2d(x as Tensor4D, kernel as Tensor4D, [strideHeight, strideWidth], padding, "NHWC", dilations);
  }
  return tf.conv3d(x as Tensor5D, kernel as Tensor5D, three(strides), padding, "NDHWC", three(dilationRate));
}

const grouped = (rank: number): Definition<Grouped> => ({
  className: `GroupedConv${rank}D`,
  settings: z.object({
    ...common(rank),
    padding: rank === 1 ? z.enum(["valid", "same", "causal"]).default("valid") : Padding.default("valid"),
    filters: Size,
    groups: Size.default(1),
    dilationRate: sizes(rank).default(Array.from({ length: rank }, () => 1)),
  }),
  weights: (shapes, { kernelSize, filters, groups, useBias }) => [
    { name: "kernel", shape: [...kernelSize, channelsOf(shapes) / groups, filters] },
    ...bias(useBias, filters),
  ],
  outputShape: (shapes, { kernelSize, strides, padding, dilationRate, filters }) => {
    const [batch = null, ...sizesIn] = only(shapes);
    const places = sizesIn
      .slice(0, rank)
      .map((size, index) =>
        resized(size, (whole) =>
          convolved(whole, at(kernelSize, index), at(strides, index), padding, at(dilationRate, index)),
        ),
      );
    return [batch, ...places, filters];
  },
  compute: (computation) => {
    const { tf, settings, inputs, weight } = computation;
    const parts = tf.split(only(inputs), settings.groups, -1);
    const kernels = tf.split(weight("kernel"), settings.groups, -1);
    const outputs = parts.map((part, index) => convolve(tf, rank, part, kernels[index] ?? part, settings));
    return finish(computation, tf.concat(outputs, -1));
  },
});

export const groupedConvolutions = [grouped(1), grouped(2), grouped(3)];

const Transpose = z.object({ ...common(1), filters: Size, outputPadding: z.null().optional(), dilationRate: once(1) });

export const conv1dTranspose: Definition<z.output<typeof Transpose>> = {
  className: "Conv1DTranspose",
  settings: Transpose,
  weights: (shapes, { kernelSize, filters, useBias }) => [
    { name: "kernel", shape: [...kernelSize, filters, channelsOf(shapes)] },
    ...bias(useBias, filters),
  ],
  outputShape: (shapes, { kernelSize, strides, padding, filters }) => {
    const [batch = null, size] = only(shapes);
    return [batch, resized(size, (whole) => transposed(whole, at(kernelSize, 0), at(strides, 0), padding)), filters];
  },
  compute: (computation) => {
    const { tf, settings, inputs, weight } = computation;
    const { kernelSize, strides, padding, filters } = settings;
    const x = only(inputs);
    const [batch = 1, size = 1] = x.shape;
    const shape: [number, number, number, number] = [
      batch,
      1,
      transposed(size, at(kernelSize, 0), at(strides, 0), padding),
      filters,
    ];
    const kernel = widenKernel(tf, weight("kernel"));
    return finish(
      computation,
      narrow(tf, tf.conv2dTranspose(widen(tf, x), kernel, shape, [1, at(strides, 0)], padding)),
    );
  },
};

const Depthwise = z.object({ ...common(1), depthMultiplier: Size.default(1), dilationRate: once(1) });

interface DepthwiseSettings {
  kernelSize: number[];
  strides: number[];
  padding: Padding;
}

function depthwise(tf: Tf, x: Tensor, kernel: Tensor, { strides, padding }: DepthwiseSettings): Tensor {
  // TensorFlow has one stride for both dimensions; the first has one place, which a stride does not change.
  return narrow(tf, tf.depthwiseConv2d(widen(tf, x), widenKernel(tf, kernel), at(strides, 0), padding));
}

export const depthwiseConv1d: Definition<z.output<typeof Depthwise>> = {
  className: "DepthwiseConv1D",
  settings: Depthwise,
  weights: (shapes, { kernelSize, depthMultiplier, useBias }) => [
    { name: "kernel", shape: [...kernelSize, channelsOf(shapes), depthMultiplier] },
    ...bias(useBias, channelsOf(shapes) * depthMultiplier),
  ],
  outputShape: (shapes, { kernelSize, strides, padding, depthMultiplier }) => {
    const [batch = null, size] = only(shapes);
    const places = resized(size, (whole) => convolved(whole, at(kernelSize, 0), at(strides, 0), padding));
    return [batch, places, channelsOf(shapes) * depthMultiplier];
  },
  compute: (computation) => {
    const { tf, settings, inputs, weight } = computation;
    return finish(computation, depthwise(tf, only(inputs), weight("kernel"), settings));
  },
};

const Dilated = z.object({
  ...common(2),
  strides: sizes(2, z.literal(1)),
  depthMultiplier: Size.default(1),
  dilationRate: sizes(2),
});

/** tfjs' own layer forgets the dilation. */
export const dilatedDepthwiseConv2d: Definition<z.output<typeof Dilated>> = {
  className: "DilatedDepthwiseConv2D",
  settings: Dilated,
  weights: (shapes, { kernelSize, depthMultiplier, useBias }) => [
    { name: "depthwise_kernel", shape: [...kernelSize, channelsOf(shapes), depthMultiplier] },
    ...bias(useBias, channelsOf(shapes) * depthMultiplier),
  ],
  outputShape: (shapes, { kernelSize, padding, dilationRate, depthMultiplier }) => {
    const [batch = null, ...sizesIn] = only(shapes);
    const places = sizesIn
      .slice(0, 2)
      .map((size, index) =>
        resized(size, (whole) => convolved(whole, at(kernelSize, index), 1, padding, at(dilationRate, index))),
      );
    return [batch, ...places, channelsOf(shapes) * depthMultiplier];
  },
  compute: (computation) => {
    const { tf, settings, inputs, weight } = computation;
    const { padding, dilationRate } = settings;
    const [x, kernel] = [only(inputs) as Tensor4D, weight("depthwise_kernel") as Tensor4D];
    const dilations: [number, number] = [at(dilationRate, 0), at(dilationRate, 1)];
    return finish(computation, tf.depthwiseConv2d(x, kernel, 1, padding, "NHWC", dilations));
  },
};

const Separable = z.object({ ...common(1), filters: Size, depthMultiplier: Size.default(1), dilationRate: once(1) });

export const separableConv1d: Definition<z.output<typeof Separable>> = {
  className: "SeparableConv1D",
  settings: Separable,
  weights: (shapes, { kernelSize, depthMultiplier, filters, useBias }) => [
    { name: "depthwise_kernel", shape: [...kernelSize, channelsOf(shapes), depthMultiplier] },
    { name: "pointwise_kernel", shape: [1, channelsOf(shapes) * depthMultiplier, filters] },
    ...bias(useBias, filters),
  ],
  outputShape: (shapes, { kernelSize, strides, padding, filters }) => {
    const [batch = null, size] = only(shapes);
    return [batch, resized(size, (whole) => convolved(whole, at(kernelSize, 0), at(strides, 0), padding)), filters];
  },
  compute: (computation) => {
    const { tf, settings, inputs, weight } = computation;
    const deep = depthwise(tf, only(inputs), weight("depthwise_kernel"), settings);
    const kernel = widenKernel(tf, weight("pointwise_kernel"));
    return finish(computation, narrow(tf, tf.conv2d(widen(tf, deep), kernel, 1, "valid")));
  },
};
