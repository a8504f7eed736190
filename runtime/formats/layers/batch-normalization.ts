/** BatchNormalization along an axis that need not be the last, with the statistics that were learned. */
import type { Shape } from "@tensorflow/tfjs";
import { z } from "zod";
import { type Definition, known, only } from "./definition.ts";

const Settings = z.object({
  axis: z.union([
    z.int(),
    z
      .array(z.int())
      .length(1)
      .transform(([axis = -1]) => axis),
  ]),
  epsilon: z.number().default(1e-3),
  center: z.boolean().default(true),
  scale: z.boolean().default(true),
});

type Settings = z.output<typeof Settings>;

const axisOf = ({ axis }: Settings, rank: number) => (axis < 0 ? axis + rank : axis);

function sizeOf(shapes: Shape[], settings: Settings): number {
  const shape = only(shapes);
  return known(shape[axisOf(settings, shape.length)], "the size that BatchNormalization keeps");
}

export const axisBatchNormalization: Definition<Settings> = {
  className: "AxisBatchNormalization",
  settings: Settings,
  weights: (shapes, settings) => {
    const shape = [sizeOf(shapes, settings)];
    return [
      ...(settings.scale ? [{ name: "gamma", shape }] : []),
      ...(settings.center ? [{ name: "beta", shape }] : []),
      { name: "moving_mean", shape, trainable: false },
      { name: "moving_variance", shape, trainable: false },
    ];
  },
  outputShape: only,
  compute: ({ tf, settings, inputs, weight }) => {
    const x = only(inputs);
    const kept = axisOf(settings, x.rank);
    const spread = (name: string) =>
      tf.reshape(
        weight(name),
        x.shape.map((size, axis) => (axis === kept ? size : 1)),
      );
    const even = tf.mul(
      tf.sub(x, spread("moving_mean")),
      tf.rsqrt(tf.add(spread("moving_variance"), settings.epsilon)),
    );
    const grown = settings.scale ? tf.mul(even, spread("gamma")) : even;
    return settings.center ? tf.add(grown, spread("beta")) : grown;
  },
  passesMask: true,
};
