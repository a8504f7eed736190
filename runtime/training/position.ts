/** A moment between two steps of a training: with the weights and the optimizer's memory, all that it goes on from. */
import { z } from "zod";
import { CallbackState, NO_CALLBACKS } from "./callbacks.ts";
import { HistoryEntry } from "./history.ts";

const Numbers = z.record(z.string(), z.number());

export const Position = z.strictObject({
  /** Finished epochs. */
  epoch: z.int().min(0),
  /** Finished batches of the epoch that is under way; all of them before its validation. */
  batch: z.int().min(0),
  /** Finished steps of all epochs. */
  step: z.int().min(0),
  /** Of the epoch that is under way. */
  running: z.strictObject({ sums: Numbers, count: z.int().min(0) }),
  /** Of the last finished epoch. */
  finished: Numbers,
  callbacks: CallbackState,
  history: z.array(HistoryEntry),
});

export type Position = z.output<typeof Position>;

export const START: Position = {
  epoch: 0,
  batch: 0,
  step: 0,
  running: { sums: {}, count: 0 },
  finished: {},
  callbacks: NO_CALLBACKS,
  history: [],
};
