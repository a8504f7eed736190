/** Division by the root of the mean square. */
import { z } from "zod";
import { type Definition, known, only } from "./definition.ts";

const Settings = z.object({
  axis: z.union([z.literal(-1), z.array(z.literal(-1)).length(1)]).default(-1),
  epsilon: z.number().default(1e-6),
});

export const rmsNormalization: Definition<z.output<typeof Settings>> = {
  className: "RMSNormalization",
  settings: Settings,
  weights: (shapes) => [{ name: "scale", shape: [known(only(shapes).at(-1), "the size that is normalized")] }],
  outputShape: only,
  compute: ({ tf, settings, inputs, weight }) => {
    const x = only(inputs);
    const mean = tf.mean(tf.square(x), -1, true);
    return tf.mul(tf.mul(x, tf.rsqrt(tf.add(mean, settings.epsilon))), weight("scale"));
  },
  passesMask: true,
};
