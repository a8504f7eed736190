/** Cropping1D and Cropping3D. */
import { z } from "zod";
import { type Definition, only, resized } from "./definition.ts";
import { ChannelsLast } from "./settings.ts";
import { edges } from "./zero-padding.ts";

const cropping = (rank: number): Definition<{ cropping: [number, number][] }> => ({
  className: `Cropping${rank}D`,
  settings: z.object({ cropping: edges(rank), dataFormat: ChannelsLast }),
  outputShape: (shapes, settings) =>
    only(shapes).map((size, axis) => {
      const [before, after] = settings.cropping[axis - 1] ?? [0, 0];
      return resized(size, (whole) => whole - before - after);
    }),
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    const begin = x.shape.map((_, axis) => settings.cropping[axis - 1]?.[0] ?? 0);
    const size = x.shape.map((whole, axis) => whole - (begin[axis] ?? 0) - (settings.cropping[axis - 1]?.[1] ?? 0));
    return tf.slice(x, begin, size);
  },
});

export const croppings = [cropping(1), cropping(3)];
