/** What GET /load on a management port of a pod that serves answers. */
import { z } from "zod";

const Amount = z.number().min(0).max(Number.MAX_SAFE_INTEGER);

/** Of a pod that serves. The counters only grow while its container lives. */
export const Load = z.object({
  /** Inference requests that were received and not answered yet. */
  inFlight: Amount,
  /** Those of them that wait for the engine. */
  queued: Amount,
  /** Inference requests answered since the start, with whatever status. */
  finished: Amount,
  /** Seconds for which the engine has computed since the start. */
  busySeconds: Amount,
  /** The sum over all moments of the requests in flight: its growth per second is their average number. */
  inFlightSeconds: Amount,
  /** Seconds that requests have waited for the engine, all together. */
  waitedSeconds: Amount,
});

export type Load = z.output<typeof Load>;
