/** Metrics of a batch: means over its examples. */
import type { Scalar, Tensor2D } from "@tensorflow/tfjs";
import type { Metric } from "../../crds/model.ts";
import type { Tf } from "../engine/backend.ts";
import { lossFunction } from "./losses.ts";

/** Share of examples whose most probable class is the right one; with one output, 0.5 parts the classes. */
function accuracy(tf: Tf, targets: Tensor2D, predictions: Tensor2D): Scalar {
  const right =
    predictions.shape[1] === 1
      ? tf.equal(tf.cast(tf.greater(predictions, 0.5), "float32"), targets)
      : tf.equal(tf.argMax(predictions, 1), tf.argMax(targets, 1));
  return tf.mean(tf.cast(right, "float32"));
}

export function metricOf(tf: Tf, metric: Metric, targets: Tensor2D, predictions: Tensor2D): Scalar {
  return metric === "accuracy" ? accuracy(tf, targets, predictions) : lossFunction(metric)(tf, targets, predictions);
}
