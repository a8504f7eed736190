/** Layers that put elements elsewhere: reshaping, cropping, padding, repeating, resizing. */
import { z } from "zod";
import { pad, reshape, slice, tile, transpose } from "../expressions/shaping.ts";
import { resize } from "../expressions/linear.ts";
import type { Value } from "../graph.ts";
import type { Resizing } from "../operations.ts";
import { type AnyLowering, NotExpressible, inputOf, lowering, sizeAt } from "./definition.ts";
import { sizes } from "../../formats/layers/settings.ts";
import { edges } from "../../formats/layers/zero-padding.ts";

const ChannelsLast = z.literal("channelsLast").nullish();

const flatten = lowering({
  settings: z.object({ dataFormat: z.enum(["channelsLast", "channelsFirst"]).nullish() }),
  lower: (call) => {
    const given = inputOf(call);
    const places = given.shape.slice(2).map((_, index) => index + 2);
    const x = call.settings.dataFormat === "channelsFirst" ? transpose(given, [0, ...places, 1]) : given;
    const [batch = -1] = x.shape;
    const rest = x.shape.slice(1).reduce((product, _, index) => product * sizeAt(x, index + 1), 1);
    return reshape(x, [batch, rest]);
  },
});

const reshaping = lowering({
  settings: z.object({ targetShape: z.array(z.int().nullable()) }),
  lower: (call) => {
    const x = inputOf(call);
    const [batch = -1, ...sizes] = x.shape;
    const target = call.settings.targetShape.map((size) => size ?? -1);
    const known = target.filter((size) => size !== -1).reduce((product, size) => product * size, 1);
    const whole = sizes.includes(-1) ? undefined : sizes.reduce((product, size) => product * size, 1);
    return reshape(x, [batch, ...target.map((size) => (size === -1 && whole !== undefined ? whole / known : size))]);
  },
});

const permute = lowering({
  settings: z.object({ dims: z.array(z.int()) }),
  lower: (call) => transpose(inputOf(call), [0, ...call.settings.dims]),
});

const repeatVector = lowering({
  settings: z.object({ n: z.int() }),
  lower: (call) => {
    const x = inputOf(call);
    return tile(reshape(x, [x.shape[0] ?? -1, 1, sizeAt(x, 1)]), [1, call.settings.n, 1]);
  },
});

type Pairs = readonly (readonly [number, number])[];

function padded(x: Value, pairs: Pairs): Value {
  return pad(
    x,
    x.shape.map((_, axis) => pairs[axis - 1] ?? [0, 0]),
  );
}

function cropped(x: Value, pairs: Pairs): Value {
  const begin = x.shape.map((_, axis) => pairs[axis - 1]?.[0] ?? 0);
  const size = x.shape.map((_, axis) => {
    const [before, after] = pairs[axis - 1] ?? [0, 0];
    if (before === 0 && after === 0) return -1;
    return sizeAt(x, axis) - before - after;
  });
  return slice(x, begin, size);
}

const zeroPadding = (rank: number) =>
  lowering({
    settings: z.object({ padding: edges(rank), dataFormat: ChannelsLast }),
    lower: (call) => padded(inputOf(call), call.settings.padding),
  });

const cropping = (rank: number) =>
  lowering({
    settings: z.object({ cropping: edges(rank), dataFormat: ChannelsLast }),
    lower: (call) => cropped(inputOf(call), call.settings.cropping),
  });

/** Each element `times` along `axis`. */
function repeated(x: Value, axis: number, times: number): Value {
  if (times === 1) return x;
  const before = x.shape.slice(0, axis);
  const inner = x.shape.slice(axis + 1).map((_, index) => sizeAt(x, axis + 1 + index));
  const length = sizeAt(x, axis);
  const rows = inner.reduce((product, size) => product * size, 1);
  return reshape(tile(reshape(x, [-1, 1, rows]), [1, times, 1]), [...before, length * times, ...inner]);
}

const upSampling = (rank: number) =>
  lowering({
    settings: z.object({ size: sizes(rank), dataFormat: ChannelsLast }),
    lower: (call) => call.settings.size.reduce((x, times, index) => repeated(x, index + 1, times), inputOf(call)),
  });

function enlarged(x: Value, size: readonly number[], kind: Pick<Resizing, "function" | "halfPixelCenters">): Value {
  const [height = 1, width = 1] = size.map((times, index) => times * sizeAt(x, index + 1));
  return resize(x, { ...kind, height, width });
}

const Size = sizes(2);

const upSampling2d = lowering({
  settings: z.object({
    size: Size,
    dataFormat: ChannelsLast,
    interpolation: z.enum(["nearest", "bilinear"]).default("nearest"),
  }),
  lower: ({ inputs, settings }) =>
    enlarged(inputOf({ inputs }), settings.size, { function: settings.interpolation, halfPixelCenters: false }),
});

const bilinearUpSampling = lowering({
  settings: z.object({ size: Size, dataFormat: ChannelsLast }),
  lower: (call) => enlarged(inputOf(call), call.settings.size, { function: "bilinear", halfPixelCenters: true }),
});

const resizing = lowering({
  settings: z.object({
    height: z.int(),
    width: z.int(),
    interpolation: z.enum(["bilinear", "nearest"]).default("bilinear"),
    dataFormat: ChannelsLast,
  }),
  lower: ({ inputs, settings: { height, width, interpolation } }) =>
    resize(inputOf({ inputs }), { function: interpolation, height, width, halfPixelCenters: true }),
});

const centerCrop = lowering({
  settings: z.object({ height: z.int(), width: z.int(), dataFormat: ChannelsLast }),
  lower: (call) => {
    const x = inputOf(call);
    const sizes = [call.settings.height, call.settings.width];
    const begin = sizes.map((size, index) => Math.trunc((sizeAt(x, index + 1) - size) / 2));
    if (sizes.some((size, index) => size > sizeAt(x, index + 1))) {
      throw new NotExpressible("its crop is larger than the image");
    }
    return slice(x, [0, ...begin, 0], [-1, ...sizes, -1]);
  },
});

export const shapeLowerings: Record<string, AnyLowering> = {
  Flatten: flatten,
  Reshape: reshaping,
  OpenReshape: reshaping,
  Permute: permute,
  RepeatVector: repeatVector,
  ZeroPadding1D: zeroPadding(1),
  ZeroPadding2D: zeroPadding(2),
  ZeroPadding3D: zeroPadding(3),
  Cropping1D: cropping(1),
  Cropping2D: cropping(2),
  Cropping3D: cropping(3),
  UpSampling1D: upSampling(1),
  UpSampling2D: upSampling2d,
  UpSampling3D: upSampling(3),
  BilinearUpSampling2D: bilinearUpSampling,
  CenteredResizing: resizing,
  ExactCenterCrop: centerCrop,
};
