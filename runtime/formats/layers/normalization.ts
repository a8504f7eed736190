/** Normalization with a mean and variance that were learned from data beforehand or given. */
import type { Shape } from "@tensorflow/tfjs";
import { z } from "zod";
import { type Definition, known, only } from "./definition.ts";

const Numbers = z.union([z.number().transform((one) => [one]), z.array(z.number()).max(65_536)]).nullish();
const Settings = z.object({
  axis: z.union([z.int().transform((one) => [one]), z.array(z.int()).max(8)]).nullish(),
  mean: Numbers,
  variance: Numbers,
  invert: z.boolean().nullish(),
});

type Settings = z.output<typeof Settings>;

const EPSILON = 1e-7;

function axes({ axis }: Settings, rank: number): number[] {
  return (axis ?? []).map((one) => (one < 0 ? one + rank : one)).sort((a, b) => a - b);
}

function keptShape(shape: Shape, settings: Settings): number[] {
  return axes(settings, shape.length).map((axis) => known(shape[axis], "the size that Normalization keeps"));
}

export const normalization: Definition<Settings> = {
  className: "Normalization",
  settings: Settings,
  weights: (shapes, settings) =>
    (settings.mean ?? undefined) === undefined
      ? ["mean", "variance"].map((name) => ({ name, shape: keptShape(only(shapes), settings), trainable: false }))
      : [],
  outputShape: only,
  compute: ({ tf, settings, inputs, weight }) => {
    const x = only(inputs);
    const kept = axes(settings, x.rank);
    const shape = x.shape.map((size, axis) => (kept.includes(axis) ? size : 1));
    const spread = (values: number[] | null | undefined, name: string) => {
      if (values === undefined || values === null) return tf.reshape(weight(name), shape);
      return values.length === 1 ? tf.scalar(values[0] ?? 0) : tf.reshape(tf.tensor1d(values), shape);
    };
    const mean = spread(settings.mean, "mean");
    const deviation = tf.maximum(tf.sqrt(spread(settings.variance, "variance")), EPSILON);
    return settings.invert === true ? tf.add(tf.mul(x, deviation), mean) : tf.div(tf.sub(x, mean), deviation);
  },
};
