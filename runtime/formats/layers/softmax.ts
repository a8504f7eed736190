/** Softmax along an axis that is not the last. */
import { z } from "zod";
import { type Definition, only } from "./definition.ts";

export const axisSoftmax: Definition<{ axis: number }> = {
  className: "AxisSoftmax",
  settings: z.object({ axis: z.int() }),
  outputShape: only,
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    const shifted = tf.exp(tf.sub(x, tf.max(x, settings.axis, true)));
    return tf.div(shifted, tf.sum(shifted, settings.axis, true));
  },
  passesMask: true,
};
