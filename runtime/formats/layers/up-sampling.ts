/** UpSampling1D and UpSampling3D: repeat each element along each dimension. */
import type { Tensor4D } from "@tensorflow/tfjs";
import { z } from "zod";
import { type Definition, only, resized } from "./definition.ts";
import { ChannelsLast, sizes } from "./settings.ts";

const upSampling = (rank: number): Definition<{ size: number[] }> => ({
  className: `UpSampling${rank}D`,
  settings: z.object({ size: sizes(rank), dataFormat: ChannelsLast }),
  outputShape: (shapes, settings) =>
    only(shapes).map((size, axis) => resized(size, (whole) => whole * (settings.size[axis - 1] ?? 1))),
  compute: ({ tf, settings, inputs }) =>
    settings.size.reduce((x, times, index) => {
      const axis = index + 1;
      const [before, length = 1, after] = [x.shape.slice(0, axis), x.shape[axis], x.shape.slice(axis + 1)];
      const outer = before.reduce((product, size) => product * size, 1);
      const inner = after.reduce((product, size) => product * size, 1);
      // Three dimensions at most, which all engines tile.
      const repeated = tf.tile(tf.reshape(x, [outer * length, 1, inner]), [1, times, 1]);
      return tf.reshape(repeated, [...before, length * times, ...after]);
    }, only(inputs)),
});

const Bilinear = z.object({ size: sizes(2), dataFormat: ChannelsLast });

/** As Keras does, with the centres of pixels where they are; tfjs' own layer has their corners there. */
const bilinear: Definition<z.output<typeof Bilinear>> = {
  className: "BilinearUpSampling2D",
  settings: Bilinear,
  outputShape: (shapes, settings) =>
    only(shapes).map((size, axis) => resized(size, (whole) => whole * (settings.size[axis - 1] ?? 1))),
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    const [height, width] = [1, 2].map((axis) => (x.shape[axis] ?? 1) * (settings.size[axis - 1] ?? 1));
    return tf.image.resizeBilinear(x as Tensor4D, [height ?? 1, width ?? 1], false, true);
  },
};

export const upSamplings = [upSampling(1), upSampling(3), bilinear];
