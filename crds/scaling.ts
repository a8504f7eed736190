/** How many pods of a ModelDeployment serve, and who says so. */
import { z } from "zod";
import { durationSeconds, Duration, withRule } from "./schema.ts";

const MOST_REPLICAS = 1000;

export const ScalingMetric = z.enum(["Concurrency", "RequestsPerSecond", "QueueTime", "Gpu", "Cpu", "Memory"]);

const Fields = z
  .strictObject({
    mode: z.enum(["Automatic", "Manual", "External"]).default("Manual").meta({
      description:
        "Who decides. Automatic: the operator, from the metric; Manual: whoever writes replicas; External: another autoscaler, through the scale subresource",
    }),
    replicas: z.int().min(0).max(MOST_REPLICAS).default(1).meta({
      description:
        "Pods of the version that serves; kubectl scale and external autoscalers write it. Automatic: how many it starts with",
    }),
    minReplicas: z.int().min(0).max(MOST_REPLICAS).optional().meta({
      description:
        "Automatic: fewest pods, default 1; with 0 the last pod goes when nobody asks, and requests wait for the next",
    }),
    maxReplicas: z.int().min(1).max(MOST_REPLICAS).optional().meta({ description: "Automatic: most pods" }),
    metric: ScalingMetric.optional().meta({
      description:
        "Automatic: what is measured, default Concurrency (requests in flight). Cpu and Memory are measured by the cluster's HorizontalPodAutoscaler",
    }),
    target: z.number().gt(0).max(1_000_000).optional().meta({
      description:
        "Automatic: what each pod should have of the metric: requests in flight (default 8), requests per second (100), milliseconds in the queue (20), percent of the time that a GPU computes (70), percent of the requested cpu (70) or memory (80)",
    }),
    stableWindow: Duration("Automatic: the time over which the metric is averaged, default 60s").optional(),
    panicWindow: Duration("Automatic: the short time in which a doubled load is noticed, default 6s").optional(),
    scaleToZeroAfter: Duration(
      "Automatic: how long nobody must have asked before the last pod goes, default 5m",
    ).optional(),
    maxScaleUpRate: z.number().min(1.1).max(MOST_REPLICAS).optional().meta({
      description: "Automatic: at one time pods become at most this many times as many, default 10",
    }),
    maxScaleDownRate: z.number().min(1.1).max(MOST_REPLICAS).optional().meta({
      description: "Automatic: at one time pods become at most this many times fewer, default 2",
    }),
  })
  .meta({ description: "How many pods serve" });

type Fields = z.output<typeof Fields>;

const AUTOMATIC_ONLY = [
  "minReplicas",
  "maxReplicas",
  "metric",
  "target",
  "stableWindow",
  "panicWindow",
  "scaleToZeroAfter",
  "maxScaleUpRate",
  "maxScaleDownRate",
] as const;

const measuredByCluster = ({ metric }: Fields) => metric === "Cpu" || metric === "Memory";
const BY_CLUSTER = "has(self.metric) && (self.metric == 'Cpu' || self.metric == 'Memory')";
const seconds = (duration: string | undefined, otherwise: number) =>
  duration === undefined ? otherwise : durationSeconds(duration);
const celSeconds = (field: string, otherwise: string) =>
  `(has(self.${field}) ? duration(self.${field}) : duration('${otherwise}'))`;

const RULES = [
  {
    rule: `self.mode == 'Automatic' || !(${AUTOMATIC_ONLY.map((field) => `has(self.${field})`).join(" || ")})`,
    message: `${AUTOMATIC_ONLY.join(", ")} belong to mode Automatic; remove them, or set mode: Automatic`,
    holds: (scaling: Fields) =>
      scaling.mode === "Automatic" || AUTOMATIC_ONLY.every((field) => scaling[field] === undefined),
  },
  {
    rule: "self.mode != 'Automatic' || has(self.maxReplicas)",
    message: "mode Automatic needs maxReplicas: say how many pods there may be at most",
    holds: ({ mode, maxReplicas }: Fields) => mode !== "Automatic" || maxReplicas !== undefined,
  },
  {
    rule: "!has(self.maxReplicas) || (has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
    message: "minReplicas is above maxReplicas; raise maxReplicas or lower minReplicas",
    holds: ({ minReplicas = 1, maxReplicas }: Fields) => maxReplicas === undefined || minReplicas <= maxReplicas,
  },
  {
    rule: `!(${BY_CLUSTER}) || !has(self.minReplicas) || self.minReplicas >= 1`,
    message:
      "metric Cpu and Memory cannot bring pods back from zero; set minReplicas to 1 or more, or choose metric Concurrency",
    holds: (scaling: Fields) => !measuredByCluster(scaling) || (scaling.minReplicas ?? 1) >= 1,
  },
  {
    rule: `!(${BY_CLUSTER}) || !(has(self.panicWindow) || has(self.scaleToZeroAfter))`,
    message: "panicWindow and scaleToZeroAfter do not apply to metric Cpu and Memory; remove them",
    holds: (scaling: Fields) =>
      !measuredByCluster(scaling) || (scaling.panicWindow === undefined && scaling.scaleToZeroAfter === undefined),
  },
  {
    rule: `!has(self.target) || !(${BY_CLUSTER}) || self.target == double(int(self.target))`,
    message: "target of metric Cpu and Memory is a whole percentage; remove the fraction",
    holds: (scaling: Fields) => !measuredByCluster(scaling) || Number.isInteger(scaling.target ?? 1),
  },
  {
    rule: "!has(self.target) || !has(self.metric) || self.metric != 'Gpu' || self.target <= 100.0",
    message: "target of metric Gpu is a percentage of the time; give at most 100",
    holds: ({ metric, target = 0 }: Fields) => metric !== "Gpu" || target <= 100,
  },
  {
    rule: "!has(self.scaleToZeroAfter) || (has(self.minReplicas) && self.minReplicas == 0)",
    message: "scaleToZeroAfter needs minReplicas: 0",
    holds: ({ scaleToZeroAfter, minReplicas }: Fields) => scaleToZeroAfter === undefined || minReplicas === 0,
  },
  {
    rule: `${celSeconds("stableWindow", "60s")} >= duration('6s') && ${celSeconds("stableWindow", "60s")} <= duration('1h')`,
    message: "stableWindow must be from 6s to 1h",
    holds: ({ stableWindow }: Fields) => seconds(stableWindow, 60) >= 6 && seconds(stableWindow, 60) <= 3600,
  },
  {
    rule: `!has(self.panicWindow) || (duration(self.panicWindow) >= duration('2s') && duration(self.panicWindow) <= ${celSeconds("stableWindow", "60s")})`,
    message: "panicWindow must be from 2s to the length of stableWindow (60s if unset)",
    holds: ({ panicWindow, stableWindow }: Fields) =>
      panicWindow === undefined ||
      (seconds(panicWindow, 6) >= 2 && seconds(panicWindow, 6) <= seconds(stableWindow, 60)),
  },
  {
    rule: `self.mode != 'Automatic' || oldSelf.mode != 'Automatic' || (${BY_CLUSTER}) || self.replicas == oldSelf.replicas`,
    message:
      "the operator decides the number of pods in mode Automatic; change minReplicas and maxReplicas instead, or set mode: Manual",
    fieldPath: ".replicas",
    // About a change: one manifest alone cannot break it.
    holds: () => true,
  },
];

export const Scaling = RULES.reduce((schema, rule) => withRule(schema, rule), Fields)
  // Rules are evaluated on the default as it stands here.
  .prefault({ mode: "Manual", replicas: 1 });

export type Scaling = z.output<typeof Scaling>;
export type ScalingMetric = z.output<typeof ScalingMetric>;
