import { z } from "zod";
import { type Definition, only } from "./definition.ts";

const Settings = z.object({
  axis: z.union([z.int().transform((one) => [one]), z.array(z.int()).max(8)]).default([-1]),
});

export const unitNormalization: Definition<z.output<typeof Settings>> = {
  className: "UnitNormalization",
  settings: Settings,
  outputShape: only,
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    const length = tf.sum(tf.square(x), settings.axis, true);
    return tf.mul(x, tf.rsqrt(tf.maximum(length, 1e-12)));
  },
  passesMask: true,
};
