/** Labelled examples in memory. */
import { Failure } from "../failure.ts";
import { Random } from "./random.ts";

export interface Dataset {
  /** `count` examples one after the other, each of `exampleShape`. */
  features: Float32Array;
  /** One number for each example. */
  labels: Float32Array;
  exampleShape: number[];
  count: number;
  /** Where it came from, for messages. */
  source: string;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The examples with these numbers, in this order. */
export function take(dataset: Dataset, indices: Uint32Array): Dataset {
  const size = sizeOf(dataset.exampleShape);
  const features = new Float32Array(indices.length * size);
  const labels = new Float32Array(indices.length);
  indices.forEach((index, position) => {
    features.set(dataset.features.subarray(index * size, (index + 1) * size), position * size);
    labels[position] = dataset.labels[index] ?? 0;
  });
  return { ...dataset, features, labels, count: indices.length };
}

export interface Split {
  train: Dataset;
  validation: Dataset;
}

/** Holds a share of the examples out, drawn by the seed. Throws Failure DataRejected when either part would be empty. */
export function split(dataset: Dataset, share: number, seed: number): Split {
  const heldOut = Math.round(dataset.count * share);
  if (heldOut === 0 || heldOut === dataset.count) {
    throw new Failure(
      "DataRejected",
      `${dataset.source} has ${dataset.count} examples; a split of ${share} leaves one part empty; change spec.dataset.validation.split`,
    );
  }
  const order = new Random(seed, "split").permutation(dataset.count);
  return { validation: take(dataset, order.subarray(0, heldOut)), train: take(dataset, order.subarray(heldOut)) };
}
