/** The steps of an epoch, one at a time or, where the step can, several in one call. */
import { type Batch, batchCount, batchesOf } from "../data/batches.ts";
import type { Examples } from "../data/dataset.ts";
import type { Position } from "./position.ts";
import type { BatchValues, SeveralSteps, TrainStep } from "./train-step.ts";

export interface EpochOptions {
  step: TrainStep;
  train: Examples;
  batchSize: number;
  /** Must the loop stand still here? Steps of one call do not pass such a place. */
  stopsAt?: ((position: Position) => boolean) | undefined;
  /** Batches of an epoch from one on, for a step that takes one at a time; default: all examples in the order given. */
  batches?: ((first: number) => Iterable<Batch>) | undefined;
  /** The training ends after so many steps of all epochs; default: as many as the epochs have. */
  mostSteps?: number | undefined;
}

/** What one step reported, of how many examples. */
export interface Stepped {
  values: BatchValues;
  count: number;
}

/** Does the steps of the epoch that `position` is in, in this order of examples. Yields those of each call. */
export async function* epochSteps(
  options: EpochOptions,
  order: Uint32Array,
  position: Position,
): AsyncGenerator<Stepped[]> {
  const { step, train, batchSize, mostSteps = Infinity } = options;
  const { rateFactor } = position.callbacks;
  if (step.several !== undefined && options.batches === undefined) {
    yield* inCalls(options, step.several, order, position);
    return;
  }
  const { batches = (first) => batchesOf(train, batchSize, order, first) } = options;
  let number = position.step;
  for (const batch of batches(position.batch)) {
    if (number >= mostSteps) return;
    yield [{ values: await step.run(batch, number, rateFactor), count: batch.count }];
    number += 1;
  }
}

function* inCalls(
  options: EpochOptions,
  several: SeveralSteps,
  order: Uint32Array,
  position: Position,
): Generator<Stepped[]> {
  const { train, batchSize } = options;
  const batches = batchCount(train, batchSize);
  for (let done = 0; position.batch + done < batches;) {
    const at = { ...position, batch: position.batch + done, step: position.step + done };
    const steps = fits(options, several.count, at) ? several.count : 1;
    const rows = Array.from({ length: steps }, (_, index) => {
      const start = (at.batch + index) * batchSize;
      return order.subarray(start, Math.min(start + batchSize, train.count));
    });
    const values = several.run(rows, at.step, position.callbacks.rateFactor);
    yield values.map((one, index) => ({ values: one, count: rows[index]?.length ?? 0 }));
    done += steps;
  }
}

/** Are there `count` whole batches from here on, without a place to stand still before the last? */
function fits({ train, batchSize, stopsAt }: EpochOptions, count: number, at: Position): boolean {
  if ((at.batch + count) * batchSize > train.count) return false;
  return !Array.from({ length: count - 1 }, (_, index) => index + 1).some((more) =>
    stopsAt?.({ ...at, batch: at.batch + more, step: at.step + more }),
  );
}
