/** Parts of a dataset that are computed at once. */
import { type Dataset, sizeOf } from "./dataset.ts";

export interface Batch {
  features: Float32Array;
  labels: Float32Array;
  exampleShape: number[];
  count: number;
}

/** Batches of `size` examples in the given order, from the batch `first` on; the last may be smaller. */
export function* batchesOf(dataset: Dataset, size: number, order?: Uint32Array, first = 0): Generator<Batch> {
  const width = sizeOf(dataset.exampleShape);
  for (let start = first * size; start < dataset.count; start += size) {
    const count = Math.min(size, dataset.count - start);
    const features = new Float32Array(count * width);
    const labels = new Float32Array(count);
    for (let i = 0; i < count; i += 1) {
      const index = order?.[start + i] ?? start + i;
      features.set(dataset.features.subarray(index * width, (index + 1) * width), i * width);
      labels[i] = dataset.labels[index] ?? 0;
    }
    yield { features, labels, exampleShape: dataset.exampleShape, count };
  }
}

/** Number of batches. */
export function batchCount(dataset: Dataset, size: number): number {
  return Math.ceil(dataset.count / size);
}
