/**
 * What the operator tells the pods that serve about the version beside them, and what they report of it.
 * The directive is an annotation of the pod, seen in the pod as a file: no API token, no restart.
 */
import { z } from "zod";
import { Histogram } from "./histogram.ts";

/** The annotation of a pod that holds a `TrafficDirective` as JSON. */
export const TRAFFIC_ANNOTATION = "modelwright.dev/traffic";

const Port = z.int().min(1).max(65535);
const Percent = z.number().min(0).max(100);

/** Unknown members are left alone: a newer operator may say more. */
export const TrafficDirective = z.object({
  /** Names the stage of the rollout: with a new one the figures start anew. */
  id: z.string().min(1).max(128),
  /** The other version; absent: the pod only keeps figures of what it answers. */
  target: z
    .object({
      revision: z.string().max(63),
      /** IP address of its Service. */
      address: z.union([z.ipv4(), z.ipv6()]),
      ports: z.object({ http: Port, grpc: Port }),
    })
    .optional(),
  /** Percent of the requests that the other version answers. */
  weight: Percent,
  /** Of the requests that the pod answers itself, so many percent are copied to the other version and the answers compared. */
  shadow: z.object({ percent: Percent, tolerance: z.number().min(0) }).optional(),
  /** Milliseconds after which a diverted request is answered by this pod after all. */
  timeoutMilliseconds: z.number().positive().optional(),
});

const Count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

const Figures = z.strictObject({ requests: Count, failed: Count, latency: Histogram });

const Window = z.strictObject({
  /** Requests that were given to the other version, those that it failed, and how long it took by its own clock. */
  diverted: Figures,
  /** Requests that this pod answered itself. */
  local: Figures,
  /** Copied requests that both versions answered, and those whose answers differ by more than the tolerance. */
  shadow: z.strictObject({ compared: Count, drifted: Count }),
});

/** GET /traffic on the management port. */
export const TrafficReport = z.strictObject({
  kind: z.literal("TrafficReport"),
  revision: z.string().max(63),
  /** The directive that is followed; absent: none. */
  directive: z.string().max(128).optional(),
  weight: Percent,
  /** Since the directive came, or since the start. */
  stage: Window,
  /** The last ten to twenty seconds of the stage. */
  recent: Window,
});

/** A request with this header, or gRPC metadata, was diverted already: whoever gets it answers it. */
export const DIVERTED_HEADER = "modelwright-diverted";
/** In the answer to a diverted request, a header or gRPC trailer: seconds that it took, by the clock of who answered. */
export const SECONDS_HEADER = "modelwright-seconds";

export type TrafficDirective = z.output<typeof TrafficDirective>;
export type Figures = z.output<typeof Figures>;
export type Window = z.output<typeof Window>;
export type TrafficReport = z.output<typeof TrafficReport>;
