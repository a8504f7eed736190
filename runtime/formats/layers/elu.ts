/** ELU with any alpha. */
import { z } from "zod";
import { type Definition, only } from "./definition.ts";

export const scaledElu: Definition<{ alpha: number }> = {
  className: "ScaledELU",
  settings: z.object({ alpha: z.number() }),
  outputShape: only,
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    return tf.add(tf.relu(x), tf.mul(tf.elu(tf.minimum(x, 0)), settings.alpha));
  },
  passesMask: true,
};
