/** What spec.scaling asks for, with its defaults filled in. */
import { durationSeconds } from "../../../crds/schema.ts";
import type { Scaling, ScalingMetric } from "../../../crds/scaling.ts";

/** Metrics that the operator measures itself. */
export type OwnMetric = Exclude<ScalingMetric, "Cpu" | "Memory">;

/** The operator decides. */
export interface OwnScaling {
  readonly by: "Operator";
  readonly min: number;
  readonly max: number;
  readonly metric: OwnMetric;
  /** Per pod: requests in flight, requests per second, milliseconds in the queue, or percent of the time computing. */
  readonly target: number;
  readonly stableMilliseconds: number;
  readonly panicMilliseconds: number;
  readonly zeroAfterMilliseconds: number;
  readonly upRate: number;
  readonly downRate: number;
}

/** A HorizontalPodAutoscaler of ours decides, through the scale subresource. */
export interface ClusterScaling {
  readonly by: "Cluster";
  readonly min: number;
  readonly max: number;
  readonly resource: "cpu" | "memory";
  /** Percent of what pods request. */
  readonly target: number;
  readonly stableSeconds: number;
  readonly upRate: number;
  readonly downRate: number;
}

/** Whoever writes spec.scaling.replicas decides. */
export interface GivenScaling {
  readonly by: "User" | "Other";
}

export type ScalingSettings = OwnScaling | ClusterScaling | GivenScaling;

const TARGETS: Readonly<Record<ScalingMetric, number>> = {
  Concurrency: 8,
  RequestsPerSecond: 100,
  QueueTime: 20,
  Gpu: 70,
  Cpu: 70,
  Memory: 80,
};

export function scalingSettings(scaling: Scaling): ScalingSettings {
  if (scaling.mode !== "Automatic") return { by: scaling.mode === "Manual" ? "User" : "Other" };
  const { metric = "Concurrency", minReplicas: min = 1, target = TARGETS[metric] } = scaling;
  const { stableWindow = "60s", maxScaleUpRate: upRate = 10, maxScaleDownRate: downRate = 2 } = scaling;
  const stableSeconds = durationSeconds(stableWindow);
  // Admission demands maxReplicas in this mode.
  const common = { min, max: scaling.maxReplicas ?? Math.max(1, min), target, upRate, downRate };
  if (metric === "Cpu" || metric === "Memory") {
    return { ...common, by: "Cluster", resource: metric === "Cpu" ? "cpu" : "memory", stableSeconds };
  }
  const { panicWindow, scaleToZeroAfter = "5m" } = scaling;
  const panicSeconds = panicWindow === undefined ? Math.min(6, stableSeconds) : durationSeconds(panicWindow);
  return {
    ...common,
    by: "Operator",
    metric,
    stableMilliseconds: stableSeconds * 1000,
    panicMilliseconds: panicSeconds * 1000,
    zeroAfterMilliseconds: durationSeconds(scaleToZeroAfter) * 1000,
  };
}
