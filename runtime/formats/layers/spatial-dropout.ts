/** SpatialDropout2D and 3D: drop whole channels while training. */
import { z } from "zod";
import { type Definition, only } from "./definition.ts";
import { ChannelsLast } from "./settings.ts";

const Settings = z.object({ rate: z.number().min(0).lt(1), dataFormat: ChannelsLast });

const spatialDropout = (rank: number): Definition<z.output<typeof Settings>> => ({
  className: `SpatialDropout${rank}D`,
  settings: Settings,
  outputShape: only,
  compute: ({ tf, settings, inputs, training, seed }) => {
    const x = only(inputs);
    if (!training || settings.rate === 0) return x;
    const channels = x.shape.map((size, axis) => (axis === 0 || axis === x.rank - 1 ? size : 1));
    return tf.mul(x, tf.dropout(tf.ones(channels), settings.rate, undefined, seed));
  },
  passesMask: true,
});

export const spatialDropouts = [spatialDropout(2), spatialDropout(3)];
