/** One step of training. The loop knows only this interface, so that a compiled step can take the place of an interpreted one. */
import type { Batch } from "../data/batches.ts";

/** Means over the examples of a batch: `loss`, and the statistics that metrics are made of. */
export type BatchValues = Record<string, number>;

/** Several steps in one call, over examples that the engine holds. */
export interface SeveralSteps {
  /** Steps of a call; all but the last of an epoch are of whole batches. */
  count: number;
  /** `rows`: the numbers of the examples of each batch, one batch or `count`. */
  run(rows: readonly Uint32Array[], step: number, rateFactor?: number): BatchValues[];
}

export interface TrainStep {
  /** Present where it is faster than `run`. */
  several?: SeveralSteps;
  /**
   * Changes the weights by one batch. `step` counts from 0 over all epochs; `rateFactor` is what a callback made of the
   * learning rate.
   */
  run(batch: Batch, step: number, rateFactor?: number): BatchValues | Promise<BatchValues>;
  /** The scheduled learning rate of the step with this number. */
  learningRate(step: number): number;
  /** Gives the model the weights that it answers with: those trained so far, or their moving averages. */
  publish(): void;
  /** Undoes what `publish` changed for training. */
  withdraw(): void;
  /** All that the next step depends on besides its batch and its number, in an order of its own. */
  read(): Float32Array[];
  /** Puts back what `read` gave. Throws RangeError when it was another model's. */
  write(values: readonly Float32Array[]): void;
  dispose(): void;
}

/** A step that one process computes by itself. */
export interface LocalStep extends TrainStep {
  run(batch: Batch, step: number, rateFactor?: number): BatchValues;
}
