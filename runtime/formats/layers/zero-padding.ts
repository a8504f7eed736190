/** ZeroPadding1D and ZeroPadding3D. */
import { z } from "zod";
import { type Definition, only, resized } from "./definition.ts";
import { ChannelsLast } from "./settings.ts";

const Edge = z.int().min(0).max(65_536);
const Pair = z.tuple([Edge, Edge]);

/** Sizes before and after each of `rank` dimensions: one number for all, one each, or pairs. */
export function edges(rank: number): z.ZodType<[number, number][]> {
  const all = Edge.transform((edge) => Array.from({ length: rank }, (): [number, number] => [edge, edge]));
  if (rank === 1) return z.union([all, Pair.transform((pair) => [pair]), z.array(Pair).length(1)]);
  const each = z.array(Edge.transform((edge): [number, number] => [edge, edge])).length(rank);
  return z.union([all, each, z.array(Pair).length(rank)]);
}

const zeroPadding = (rank: number): Definition<{ padding: [number, number][] }> => ({
  className: `ZeroPadding${rank}D`,
  settings: z.object({ padding: edges(rank), dataFormat: ChannelsLast }),
  outputShape: (shapes, settings) =>
    only(shapes).map((size, axis) => {
      const [before, after] = settings.padding[axis - 1] ?? [0, 0];
      return resized(size, (whole) => whole + before + after);
    }),
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    return tf.pad(
      x,
      x.shape.map((_, axis): [number, number] => settings.padding[axis - 1] ?? [0, 0]),
    );
  },
});

export const zeroPaddings = [zeroPadding(1), zeroPadding(3)];
