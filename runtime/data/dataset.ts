/** Labelled examples: labels in memory, features there too or in a file. */
import { Failure } from "../failure.ts";
import { Random } from "./random.ts";
import type { RowFile } from "./row-file.ts";

/** What all examples have, wherever their features are. */
export interface Examples {
  /** `count` examples one after the other, each of `exampleShape`; or a file of them, where memory is too small. */
  features: Float32Array | RowFile;
  /** The labels, each of `labelShape`. */
  labels: Float32Array;
  exampleShape: number[];
  /** Default: one number. */
  labelShape?: number[];
  /** What each example counts for in the loss; default: 1. */
  weights?: Float32Array;
  count: number;
  /** Names of the classes whose numbers are the labels. */
  classes?: string[];
  /** Where it came from, for messages. */
  source: string;
}

/** Examples in memory. */
export interface Dataset extends Examples {
  features: Float32Array;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The rows of `values` with these numbers, in this order. */
function gather(values: Float32Array, size: number, indices: Uint32Array): Float32Array {
  const rows = new Float32Array(indices.length * size);
  indices.forEach((index, position) => rows.set(values.subarray(index * size, (index + 1) * size), position * size));
  return rows;
}

/** The examples with these numbers, in this order. */
export function take<E extends Examples>(examples: E, indices: Uint32Array): E {
  const { features, labels, weights, exampleShape, labelShape = [] } = examples;
  return {
    ...examples,
    features:
      features instanceof Float32Array ? gather(features, sizeOf(exampleShape), indices) : features.take(indices),
    labels: gather(labels, sizeOf(labelShape), indices),
    ...(weights === undefined ? {} : { weights: gather(weights, 1, indices) }),
    count: indices.length,
  };
}

export interface Split<E extends Examples> {
  train: E;
  validation: E;
}

/** Holds a share of the examples out, drawn by the seed. Throws Failure DataRejected when either part would be empty. */
export function split<E extends Examples>(examples: E, share: number, seed: number): Split<E> {
  const heldOut = Math.round(examples.count * share);
  if (heldOut === 0 || heldOut === examples.count) {
    throw new Failure(
      "DataRejected",
      `${examples.source} has ${examples.count} examples; a split of ${share} leaves one part empty; change spec.dataset.validation.split`,
    );
  }
  const order = new Random(seed, "split").permutation(examples.count);
  return { validation: take(examples, order.subarray(0, heldOut)), train: take(examples, order.subarray(heldOut)) };
}
