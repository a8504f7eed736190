/** How the workers of a training share a step: each computes a part of the batch, and all get the mean. */
import { partOf } from "../distributed/all-reduce.ts";
import type { Group } from "../distributed/group.ts";
import { type Batch, partOfBatch } from "../data/batches.ts";

export interface Exchange {
  /** This worker's part, and the number of examples in it that count. */
  partOf(batch: Batch): { part: Batch; count: number };
  /** Replaces means over this worker's `count` examples by means over all workers' examples. Throws PeerLost. */
  mean(values: Float32Array, count: number): Promise<void>;
}

/** Means are weighted by examples, so parts of different sizes give the mean of the whole batch. */
export function exchangeOf(group: Pick<Group, "rank" | "size" | "sum">): Exchange {
  const { rank, size } = group;
  // Used again by each step: so much memory, allocated anew, would keep the garbage collector busy.
  let sums = new Float32Array();
  return {
    partOf(batch) {
      const [start, end] = partOf(batch.count, size, rank);
      // Somebody without an example computes one that does not count, so that all have the same things to add.
      const part = partOfBatch(batch, start === end ? 0 : start, start === end ? 1 : end);
      return { part, count: end - start };
    },
    async mean(values, count) {
      if (sums.length !== values.length + 1) sums = new Float32Array(values.length + 1);
      for (let index = 0; index < values.length; index += 1)
        sums[index] = count === 0 ? 0 : (values[index] ?? 0) * count;
      sums[values.length] = count;
      await group.sum(sums);
      const total = sums[values.length] ?? 1;
      for (let index = 0; index < values.length; index += 1) values[index] = (sums[index] ?? 0) / total;
    },
  };
}
