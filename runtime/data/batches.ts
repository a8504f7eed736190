/** Parts of a dataset that are computed at once. */
import { type Examples, sizeOf } from "./dataset.ts";

export interface Batch {
  features: Float32Array;
  labels: Float32Array;
  /** What each example counts for in the loss; absent: all count the same. */
  weights?: Float32Array;
  exampleShape: number[];
  count: number;
}

/** The examples with the numbers that `indexAt` gives. */
function gather(examples: Examples, count: number, indexAt: (position: number) => number): Batch {
  const { features: source, exampleShape, labelShape = [] } = examples;
  const [width, labelWidth] = [sizeOf(exampleShape), sizeOf(labelShape)];
  const features = new Float32Array(count * width);
  const labels = new Float32Array(count * labelWidth);
  const weights = examples.weights === undefined ? undefined : new Float32Array(count);
  for (let i = 0; i < count; i += 1) {
    const index = indexAt(i);
    if (source instanceof Float32Array) features.set(source.subarray(index * width, (index + 1) * width), i * width);
    else source.read(index, features, i * width);
    labels.set(examples.labels.subarray(index * labelWidth, (index + 1) * labelWidth), i * labelWidth);
    if (weights !== undefined) weights[i] = examples.weights?.[index] ?? 1;
  }
  return { features, labels, exampleShape, count, ...(weights === undefined ? {} : { weights }) };
}

/** Batches of `size` examples in the given order, from the batch `first` on; the last may be smaller. */
export function* batchesOf(examples: Examples, size: number, order?: Uint32Array, first = 0): Generator<Batch> {
  for (let start = first * size; start < examples.count; start += size) {
    const count = Math.min(size, examples.count - start);
    yield gather(examples, count, (i) => order?.[start + i] ?? start + i);
  }
}

/** The examples with these numbers. */
export function batchOf(examples: Examples, indices: Uint32Array): Batch {
  return gather(examples, indices.length, (position) => indices[position] ?? 0);
}

/** The examples from `start` to before `end`, which share the batch's memory. */
export function partOfBatch(
  { features, labels, weights, exampleShape, count }: Batch,
  start: number,
  end: number,
): Batch {
  const rows = (values: Float32Array) => {
    const width = values.length / count;
    return values.subarray(start * width, end * width);
  };
  return {
    features: rows(features),
    labels: rows(labels),
    exampleShape,
    count: end - start,
    ...(weights === undefined ? {} : { weights: rows(weights) }),
  };
}

/** Number of batches. */
export function batchCount(examples: Examples, size: number): number {
  return Math.ceil(examples.count / size);
}
