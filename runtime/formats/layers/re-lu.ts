/** ReLU with a slope below its threshold, which tfjs' lacks. */
import { z } from "zod";
import { type Definition, only } from "./definition.ts";

const Settings = z.object({
  maxValue: z.number().nullish(),
  negativeSlope: z.number().nullish(),
  threshold: z.number().nullish(),
});

export const sloped: Definition<z.output<typeof Settings>> = {
  className: "SlopedReLU",
  settings: Settings,
  outputShape: only,
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    const threshold = settings.threshold ?? 0;
    const above = tf.minimum(x, settings.maxValue ?? Infinity);
    const below = tf.mul(tf.sub(x, threshold), settings.negativeSlope ?? 0);
    return tf.where(tf.greaterEqual(x, threshold), above, below);
  },
  passesMask: true,
};
