/** Loss and metrics of a model on a dataset. */
import type { LayersModel, Scalar, Tensor2D } from "@tensorflow/tfjs";
import { batchesOf } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Averages } from "./averages.ts";
import { lossFunction } from "./losses.ts";
import { metricOf } from "./metrics.ts";
import { type Objective, targetsOf } from "./objective.ts";
import { breathe } from "./breathe.ts";

const BATCH = 256;

const numberOf = (scalar: Scalar) => scalar.dataSync()[0] ?? NaN;

/** Means over all examples: `loss` and each metric. Throws the signal's reason once it is aborted. */
export async function evaluate(
  tf: Tf,
  model: LayersModel,
  objective: Objective,
  dataset: Dataset,
  signal?: AbortSignal,
): Promise<Record<string, number>> {
  const averages = new Averages();
  for (const batch of batchesOf(dataset, BATCH)) {
    const values = tf.tidy(() => {
      const features = tf.tensor(batch.features, [batch.count, ...batch.exampleShape]);
      const predictions = model.predict(features, { batchSize: BATCH }) as Tensor2D;
      const targets = targetsOf(tf, objective, predictions.shape[1], batch.labels);
      return {
        loss: numberOf(lossFunction(objective.loss)(tf, targets, predictions)),
        ...Object.fromEntries(
          objective.metrics.map((metric) => [metric, numberOf(metricOf(tf, metric, targets, predictions))]),
        ),
      };
    });
    averages.add(values, batch.count);
    await breathe();
    signal?.throwIfAborted();
  }
  return averages.values();
}
