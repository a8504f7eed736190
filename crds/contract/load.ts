/** What GET /load on a management port answers: of a pod that serves, and of the activator. */
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

/** Of the activator, by port: each is a ModelDeployment's own. */
export const ActivatorLoad = z.object({
  /** Grows with every change that the operator should know of at once; begins anew with the process. */
  version: z.int().min(0),
  /** Name of the process, so that a new one is told from the old. */
  instance: z.string().max(64),
  ports: z
    .array(
      z.object({
        port: z.int().min(1).max(65_535),
        /** Requests that are held. */
        waiting: z.int().min(0).max(1_000_000),
        /** Requests held since the start. */
        received: Amount,
      }),
    )
    .max(4096),
});

export type Load = z.output<typeof Load>;
export type ActivatorLoad = z.output<typeof ActivatorLoad>;
