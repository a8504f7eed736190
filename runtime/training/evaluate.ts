/** Loss and metrics of a model on a dataset. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { type Batch, batchesOf } from "../data/batches.ts";
import type { Examples } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Averages } from "./averages.ts";
import { breathe } from "./breathe.ts";
import { lossFunction } from "./losses.ts";
import { metricValues, statisticValues } from "./metrics.ts";
import { type Objective, outputOf, targetsOf } from "./objective.ts";
import { penaltyOf } from "./penalty.ts";

const BATCH = 256;

/** Means over a batch: the loss, and the statistics of the metrics. */
function batchValues(tf: Tf, model: LayersModel, objective: Objective, batch: Batch): Record<string, number> {
  return tf.tidy(() => {
    const features = tf.tensor(batch.features, [batch.count, ...batch.exampleShape]);
    // Models with several outputs are refused when a training begins.
    const predictions = model.predict(features, { batchSize: BATCH }) as Tensor;
    const targets = targetsOf(tf, objective, predictions.shape, batch.labels);
    const weights = batch.weights === undefined ? undefined : tf.tensor1d(batch.weights);
    const loss = lossFunction(objective.loss, objective.lossOptions)(tf, targets, predictions, weights);
    const penalty = penaltyOf(tf, model)?.dataSync()[0] ?? 0;
    return {
      loss: (loss.dataSync()[0] ?? NaN) + penalty,
      ...statisticValues(tf, objective.metrics, targets, predictions, outputOf(model, objective)),
    };
  });
}

/** Means over all examples: `loss` and each metric. Throws the signal's reason once it is aborted. */
export async function evaluate(
  tf: Tf,
  model: LayersModel,
  objective: Objective,
  dataset: Examples,
  signal?: AbortSignal,
): Promise<Record<string, number>> {
  const averages = new Averages();
  for (const batch of batchesOf(dataset, BATCH)) {
    averages.add(batchValues(tf, model, objective, batch), batch.count);
    await breathe();
    signal?.throwIfAborted();
  }
  return metricValues(objective.metrics, averages.values(), outputOf(model, objective));
}
