/** Convolutions and pooling. Those in one dimension are computed in two, of which the first has size one. */
import { z } from "zod";
import { concat, expandDims, pad, splitEvenly, squeeze } from "../expressions/shaping.ts";
import { biasAdd, convolve, convolveDepthwise, convolveTransposed, pool } from "../expressions/linear.ts";
import { cast, divide, multiply } from "../expressions/elementwise.ts";
import { max, mean, sum } from "../expressions/reduction.ts";
import type { Value } from "../graph.ts";
import type { Padding, Pooling } from "../operations.ts";
import { sizes } from "../../formats/layers/settings.ts";
import { ActivationName, activate } from "./activation.ts";
import { type AnyLowering, type Call, NotExpressible, inputOf, lowering, sizeAt } from "./definition.ts";

const ChannelsLast = z.literal("channelsLast").nullish();

const ones = (rank: number) => Array.from({ length: rank }, () => 1);

const common = (rank: number) => ({
  strides: sizes(rank).default(ones(rank)),
  padding: z.enum(["valid", "same"]).default("valid"),
  dataFormat: ChannelsLast,
  activation: ActivationName,
  useBias: z.boolean().default(true),
});

const dilation = (rank: number) =>
  sizes(rank)
    .nullish()
    .transform((rates) => rates ?? ones(rank));

function finish(call: Call<{ useBias: boolean; activation?: string | null | undefined }>, x: Value): Value {
  return activate(call.settings.activation, call.settings.useBias ? biasAdd(x, call.weight("bias")) : x);
}

const widen = (x: Value) => expandDims(x, 1);
const narrow = (x: Value) => squeeze(x, 1);
const widenKernel = (kernel: Value) => expandDims(kernel, 0);

/** The same along a first dimension of one place. */
const wide = (numbers: readonly number[]) => [1, ...numbers];

const convolution = (rank: number): AnyLowering =>
  lowering({
    settings: z.object({
      ...common(rank),
      padding: z.enum(["valid", "same", "causal"]).default("valid"),
      kernelSize: sizes(rank),
      dilationRate: dilation(rank),
      groups: z.int().nullish(),
    }),
    lower: (call) => {
      const { strides, dilationRate: dilations, kernelSize, padding, groups } = call.settings;
      const kernel = call.weight("kernel");
      const before = ((kernelSize[0] ?? 1) - 1) * (dilations[0] ?? 1);
      const x =
        padding === "causal"
          ? pad(inputOf(call), [
              [0, 0],
              [before, 0],
              [0, 0],
            ])
          : inputOf(call);
      const sides: Padding = padding === "causal" ? "valid" : padding;
      const parts = splitEvenly(x, groups ?? 1, -1);
      const kernels = splitEvenly(kernel, groups ?? 1, -1);
      const outputs = parts.map((part, index) => {
        const own = kernels[index] ?? kernel;
        if (rank > 1) return convolve(part, own, { strides, padding: sides, dilations });
        const window = { strides: wide(strides), padding: sides, dilations: wide(dilations) };
        return narrow(convolve(widen(part), widenKernel(own), window));
      });
      return finish(call, concat(outputs, -1));
    },
  });

function transposedSize(size: number, kernel: number, stride: number, padding: Padding): number {
  return padding === "same" ? size * stride : size * stride + Math.max(kernel - stride, 0);
}

const transposedConvolution = (rank: number): AnyLowering =>
  lowering({
    settings: z.object({ ...common(rank), kernelSize: sizes(rank), outputPadding: z.null().optional() }),
    lower: (call) => {
      const { strides, padding, kernelSize } = call.settings;
      const x = inputOf(call);
      const places = kernelSize.map((size, axis) =>
        transposedSize(sizeAt(x, axis + 1), size, strides[axis] ?? 1, padding),
      );
      const kernel = call.weight("kernel");
      if (rank > 1) return finish(call, convolveTransposed(x, kernel, places, { strides, padding }));
      const window = { strides: wide(strides), padding };
      return finish(call, narrow(convolveTransposed(widen(x), widenKernel(kernel), wide(places), window)));
    },
  });

interface DepthwiseSettings {
  strides: readonly number[];
  padding: Padding;
  dilationRate: readonly number[];
}

function depthwiseProduct(x: Value, kernel: Value, rank: number, settings: DepthwiseSettings): Value {
  const { padding } = settings;
  if (rank === 2) return convolveDepthwise(x, kernel, { ...settings, dilations: settings.dilationRate });
  // TensorFlow has one stride for both dimensions; the first has one place, which a stride does not change.
  const [stride = 1] = settings.strides;
  const window = { strides: [stride, stride], padding, dilations: [1, 1] };
  return narrow(convolveDepthwise(widen(x), widenKernel(kernel), window));
}

const depthwise = (rank: number): AnyLowering =>
  lowering({
    settings: z.object({ ...common(rank), dilationRate: dilation(rank) }),
    lower: (call) => {
      const kernel = call.weight(rank === 1 ? "kernel" : "depthwise_kernel");
      return finish(call, depthwiseProduct(inputOf(call), kernel, rank, call.settings));
    },
  });

const separable = (rank: number): AnyLowering =>
  lowering({
    settings: z.object({ ...common(rank), dilationRate: dilation(rank) }),
    lower: (call) => {
      const deep = depthwiseProduct(inputOf(call), call.weight("depthwise_kernel"), rank, call.settings);
      const point = call.weight("pointwise_kernel");
      const window = { strides: [1, 1], padding: "valid" as const, dilations: [1, 1] };
      if (rank === 2) return finish(call, convolve(deep, point, window));
      return finish(call, narrow(convolve(widen(deep), widenKernel(point), window)));
    },
  });

const pooling = (rank: number, kind: Pooling["function"]): AnyLowering =>
  lowering({
    settings: z.object({
      poolSize: sizes(rank),
      strides: sizes(rank),
      padding: z.enum(["valid", "same"]),
      dataFormat: ChannelsLast,
    }),
    lower: (call) => {
      const { poolSize: size, strides, padding } = call.settings;
      const x = inputOf(call);
      if (rank > 1) return pool(x, { function: kind, size, strides, padding });
      return narrow(pool(widen(x), { function: kind, size: wide(size), strides: wide(strides), padding }));
    },
  });

/** Over all places at once; in one dimension, steps that are masked do not count for the mean. */
const globalPooling = (rank: number, kind: Pooling["function"]): AnyLowering =>
  lowering({
    settings: z.object({ dataFormat: ChannelsLast, keepdims: z.boolean().nullish() }),
    lower: (call) => {
      const x = inputOf(call);
      const places = Array.from({ length: rank }, (_, index) => index + 1);
      const keep = call.settings.keepdims === true;
      if (kind === "max") return max(x, places, keep);
      const [mask] = call.masks;
      if (mask === undefined || rank > 1) return mean(x, places, keep);
      if (call.layer.getClassName() !== "GlobalAveragePool1D") {
        throw new NotExpressible("it is told which steps count");
      }
      const counted = expandDims(cast(mask, "float32"), 2);
      return divide(sum(multiply(x, counted), 1, keep), sum(counted, 1, keep));
    },
  });

export const convolutionLowerings: Record<string, AnyLowering> = {
  Conv1D: convolution(1),
  Conv2D: convolution(2),
  Conv3D: convolution(3),
  GroupedConv1D: convolution(1),
  GroupedConv2D: convolution(2),
  GroupedConv3D: convolution(3),
  Conv1DTranspose: transposedConvolution(1),
  Conv2DTranspose: transposedConvolution(2),
  Conv3DTranspose: transposedConvolution(3),
  DepthwiseConv1D: depthwise(1),
  DepthwiseConv2D: depthwise(2),
  DilatedDepthwiseConv2D: depthwise(2),
  SeparableConv1D: separable(1),
  SeparableConv2D: separable(2),
  ...Object.fromEntries(
    [1, 2, 3].flatMap((rank) => [
      [`MaxPooling${rank}D`, pooling(rank, "max")],
      [`AveragePooling${rank}D`, pooling(rank, "average")],
      [`GlobalMaxPool${rank}D`, globalPooling(rank, "max")],
      [`GlobalAveragePool${rank}D`, globalPooling(rank, "average")],
      [`GlobalMaxPooling${rank}D`, globalPooling(rank, "max")],
      [`GlobalAveragePooling${rank}D`, globalPooling(rank, "average")],
    ]),
  ),
};
