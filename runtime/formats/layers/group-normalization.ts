import { z } from "zod";
import { type Definition, known, only } from "./definition.ts";

const Settings = z.object({
  /** -1: each channel is a group. */
  groups: z.int().min(-1).max(65_536).default(32),
  axis: z.literal(-1).default(-1),
  epsilon: z.number().default(1e-3),
  center: z.boolean().default(true),
  scale: z.boolean().default(true),
});

export const groupNormalization: Definition<z.output<typeof Settings>> = {
  className: "GroupNormalization",
  settings: Settings,
  weights: (shapes, { center, scale }) => {
    const shape = [known(only(shapes).at(-1), "the number of channels")];
    return [...(scale ? [{ name: "gamma", shape }] : []), ...(center ? [{ name: "beta", shape }] : [])];
  },
  outputShape: only,
  compute: ({ tf, settings, inputs, weight }) => {
    const x = only(inputs);
    const [batch = 1] = x.shape;
    const channels = x.shape.at(-1) ?? 1;
    const groups = settings.groups === -1 ? channels : settings.groups;
    const places = x.shape.slice(1, -1).reduce((product, size) => product * size, 1);
    const grouped = tf.reshape(x, [batch, places, groups, channels / groups]);
    const { mean, variance } = tf.moments(grouped, [1, 3], true);
    const even = tf.mul(tf.sub(grouped, mean), tf.rsqrt(tf.add(variance, settings.epsilon)));
    const scaled = tf.reshape(even, x.shape);
    const grown = settings.scale ? tf.mul(scaled, weight("gamma")) : scaled;
    return settings.center ? tf.add(grown, weight("beta")) : grown;
  },
};
