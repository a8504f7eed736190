/** Checks that what was written answers as the layers that it was made from, on real examples. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { batchesOf } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { breathe } from "../training/breathe.ts";

const BATCH = 256;

/** What the layers answer, computed here. Throws the signal's reason once it is aborted. */
export async function referenceAnswers(
  tf: Tf,
  model: LayersModel,
  dataset: Dataset,
  signal: AbortSignal,
): Promise<Float32Array> {
  const width = (model.outputs[0]?.shape ?? []).slice(1).reduce<number>((size, next) => size * (next ?? 1), 1);
  const answers = new Float32Array(dataset.count * width);
  let offset = 0;
  for (const batch of batchesOf(dataset, BATCH)) {
    const values = tf.tidy(() => {
      const features = tf.tensor(batch.features, [batch.count, ...batch.exampleShape]);
      return (model.predictOnBatch(features) as Tensor).dataSync();
    });
    answers.set(values, offset);
    offset += values.length;
    await breathe();
    signal.throwIfAborted();
  }
  return answers;
}

function refuse(why: string): never {
  throw new Failure("ModelUnsupported", `The written model ${why}; it is not kept. Use another method for this model`);
}

/** Largest difference of float32 graphs that compute the same in another order; in relation to the answers' size. */
const EXACT = 1e-3;

/**
 * Throws Failure ModelUnsupported when the written model's answers are not the layers' (`exact`), or, where weights were
 * quantized, are further from them than their own spread.
 */
export function verifyAnswers(reference: Float32Array, found: Float32Array, exact: boolean): void {
  if (found.length !== reference.length)
    refuse(`gives ${found.length} numbers where its layers give ${reference.length}`);
  if (!found.every(Number.isFinite)) refuse("gives numbers that are not finite");
  const mean = reference.reduce((sum, value) => sum + value, 0) / reference.length;
  let [largest, size, error, spread] = [0, 0, 0, 0];
  reference.forEach((value, index) => {
    const difference = Math.abs(value - (found[index] ?? NaN));
    largest = Math.max(largest, difference);
    size = Math.max(size, Math.abs(value));
    error += difference * difference;
    spread += (value - mean) ** 2;
  });
  if (exact && largest > EXACT * Math.max(1, size)) refuse(`differs from its layers by ${largest.toPrecision(3)}`);
  if (!exact && error > Math.max(spread, 1e-12)) refuse("has little to do with what its layers answer");
}
