/** The mean or maximum over all places. In one dimension, steps that are masked do not count for the mean. */
import type { Shape } from "@tensorflow/tfjs";
import { z } from "zod";
import { type Definition, only } from "./definition.ts";
import { ChannelsLast } from "./settings.ts";

const Settings = z.object({ dataFormat: ChannelsLast, keepdims: z.boolean().nullish() });

function pooled(shapes: Shape[], keep: boolean): Shape {
  const shape = only(shapes);
  const ends = [shape[0] ?? null, shape.at(-1) ?? null];
  return keep ? [ends[0] ?? null, ...shape.slice(1, -1).map(() => 1), ends[1] ?? null] : ends;
}

const globalPooling = (kind: "Average" | "Max", rank: number): Definition<z.output<typeof Settings>> => ({
  className: `Global${kind}Pool${rank}D`,
  settings: Settings,
  outputShape: (shapes, { keepdims }) => pooled(shapes, keepdims === true),
  compute: ({ tf, settings, inputs, mask }) => {
    const x = only(inputs);
    const keep = settings.keepdims === true;
    const [batch = 1, ...places] = x.shape.slice(0, -1);
    const channels = x.shape.at(-1) ?? 1;
    const flat = tf.reshape(x, [batch, places.reduce((product, size) => product * size, 1), channels]);
    const shape = keep ? [batch, ...places.map(() => 1), channels] : [batch, channels];
    if (kind === "Max") return tf.reshape(tf.max(flat, 1), shape);
    if (mask === undefined || rank > 1) return tf.reshape(tf.mean(flat, 1), shape);
    const counted = tf.expandDims(tf.cast(mask, "float32"), 2);
    return tf.reshape(tf.div(tf.sum(tf.mul(flat, counted), 1), tf.sum(counted, 1)), shape);
  },
});

export const globalPoolings = [1, 2, 3].flatMap((rank) => [globalPooling("Average", rank), globalPooling("Max", rank)]);
