/** What each epoch gave, kept to a bounded number of epochs: of a long training every second, fourth, … one, and the last. */
import { z } from "zod";

export const HistoryEntry = z.strictObject({
  /** From 1. */
  epoch: z.int().min(1),
  /** Finished steps of all epochs. */
  step: z.int().min(0),
  learningRate: z.number().min(0),
  /** Loss and metrics. */
  values: z.record(z.string(), z.number()),
  /** Milliseconds since 1970. */
  time: z.number(),
});

export type HistoryEntry = z.output<typeof HistoryEntry>;

/** `history` and `entry`, at most `limit` entries. The last epoch is always there. */
export function remember(history: readonly HistoryEntry[], entry: HistoryEntry, limit: number): HistoryEntry[] {
  return thinned([...history, entry], limit);
}

/** At most `limit` of the entries: those whose epoch is a multiple of a power of two, and the last. */
export function thinned(history: readonly HistoryEntry[], limit: number): HistoryEntry[] {
  const last = history.length - 1;
  let kept = [...history];
  for (let stride = 2; kept.length > limit; stride *= 2) {
    kept = history.filter(({ epoch }, index) => epoch % stride === 0 || index === last);
  }
  return kept;
}
