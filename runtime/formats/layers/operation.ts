/** `a + b`, `2 * x` and the like: what Keras puts into a model's graph when Python operators meet its tensors. */
import { z } from "zod";
import type { Definition } from "./definition.ts";
import { broadcast } from "./subtract.ts";

const Settings = z.object({
  operation: z.enum(["add", "subtract", "multiply", "divide"]),
  /** The number that stands for one of the two tensors. */
  constant: z.number().nullish(),
  constantFirst: z.boolean().default(false),
});

export const operation: Definition<z.output<typeof Settings>> = {
  className: "TensorOperation",
  settings: Settings,
  outputShape: (shapes) => broadcast(shapes),
  compute: ({ tf, settings, inputs }) => {
    const [a, b] = inputs;
    if (a === undefined) throw new RangeError("an operation has no input");
    const other = b ?? tf.scalar(settings.constant ?? 0);
    const [left, right] = settings.constantFirst ? [other, a] : [a, other];
    const compute = { add: tf.add, subtract: tf.sub, multiply: tf.mul, divide: tf.div }[settings.operation];
    return compute(left, right);
  },
};
