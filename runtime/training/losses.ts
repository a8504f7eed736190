/** Losses as Keras defines them, on probabilities and values of shape [batch, size]. */
import type { Scalar, Tensor2D } from "@tensorflow/tfjs";
import type { Loss } from "../../crds/model.ts";
import type { Tf } from "../engine/backend.ts";

/** Keeps logarithms finite. */
const EPSILON = 1e-7;

export type LossFunction = (tf: Tf, targets: Tensor2D, predictions: Tensor2D) => Scalar;

/** -sum y log p, rows normalized first, mean over the batch. */
const categoricalCrossentropy: LossFunction = (tf, targets, predictions) => {
  const normalized = tf.div(predictions, tf.sum(predictions, 1, true));
  const logarithm = tf.log(tf.clipByValue(normalized, EPSILON, 1 - EPSILON));
  return tf.neg(tf.mean(tf.sum(tf.mul(targets, logarithm), 1)));
};

const binaryCrossentropy: LossFunction = (tf, targets, predictions) => {
  const clipped = tf.clipByValue(predictions, EPSILON, 1 - EPSILON);
  const ones = tf.mul(targets, tf.log(clipped));
  const zeros = tf.mul(tf.sub(1, targets), tf.log(tf.sub(1, clipped)));
  return tf.neg(tf.mean(tf.add(ones, zeros)));
};

const LOSSES: Record<Loss, LossFunction> = {
  categoricalCrossentropy,
  // Labels are made one-hot before they get here, which gives the same value.
  sparseCategoricalCrossentropy: categoricalCrossentropy,
  binaryCrossentropy,
  meanSquaredError: (tf, targets, predictions) => tf.mean(tf.square(tf.sub(targets, predictions))),
  meanAbsoluteError: (tf, targets, predictions) => tf.mean(tf.abs(tf.sub(targets, predictions))),
};

export function lossFunction(loss: Loss): LossFunction {
  return LOSSES[loss];
}
