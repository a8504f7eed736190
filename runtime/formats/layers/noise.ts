/** Layers that add or multiply noise while training, in Keras' form: tfjs' own draw without a seed, so no training could be repeated. */
import type { Tensor } from "@tensorflow/tfjs";
import { z } from "zod";
import { type Computation, type Definition, only } from "./definition.ts";

const Rate = z.object({ rate: z.number().min(0).lt(1) });
const Stddev = z.object({ stddev: z.number().min(0) });

function noise<S>(
  className: string,
  settings: z.ZodType<S>,
  disturb: (x: Tensor, computation: Computation<S>) => Tensor,
): Definition<S> {
  return {
    className,
    settings,
    outputShape: only,
    compute: (computation) =>
      computation.training ? disturb(only(computation.inputs), computation) : only(computation.inputs),
    passesMask: true,
  };
}

/** x + N(0, stddev). */
export const gaussianNoise = noise("GaussianNoise", Stddev, (x, { tf, settings, seed }) =>
  tf.add(x, tf.randomNormal(x.shape, 0, settings.stddev, "float32", seed)),
);

/** x * N(1, sqrt(rate / (1 - rate))) (Srivastava et al. 2014). */
export const gaussianDropout = noise("GaussianDropout", Rate, (x, { tf, settings: { rate }, seed }) =>
  tf.mul(x, tf.randomNormal(x.shape, 1, Math.sqrt(rate / (1 - rate)), "float32", seed)),
);

const ALPHA = 1.6732632423543772;
const SCALE = 1.0507009873554805;
/** What SELU gives for very negative inputs. */
const LOWEST = -ALPHA * SCALE;

/** Dropped units become SELU's lowest answer, and all are moved so that mean and variance stay (Klambauer et al. 2017). */
export const alphaDropout = noise("AlphaDropout", Rate, (x, { tf, settings: { rate }, seed }) => {
  const kept = tf.cast(tf.greaterEqual(tf.randomUniform(x.shape, 0, 1, "float32", seed), rate), "float32");
  const scale = 1 / Math.sqrt((1 - rate) * (1 + rate * LOWEST ** 2));
  const dropped = tf.mul(tf.sub(1, kept), LOWEST);
  return tf.add(tf.mul(tf.add(tf.mul(x, kept), dropped), scale), -scale * LOWEST * rate);
});
