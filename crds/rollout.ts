/** How a new version replaces the old one. */
import { z } from "zod";
import { Duration, durationSeconds, ObjectName, withRule } from "./schema.ts";

export const STRATEGIES = ["BlueGreen", "Canary", "Rolling", "Recreate"] as const;

/** How long the old version stays up after a switch, where spec does not say. */
export const KEEP_PREVIOUS = "30s";
/** How long a GPU is waited for before `Swap` and `Fail`, where spec does not say. */
export const GPU_WAIT = "5m";

const Step = z
  .strictObject({
    weight: z.int().min(0).max(100).meta({ description: "Percent of the requests that the new version answers" }),
    duration: Duration("How long at least"),
  })
  .meta({ description: "A step" });

const Latency = z
  .string()
  .regex(/^[0-9]{1,6}(ms|s)$/)
  .max(20);

const share = (description: string) => z.number().min(0).max(1).meta({ description });

const Analysis = z
  .strictObject({
    maxErrorRate: share("Share of the new version's requests that may fail; 0.01 is 1 %").default(0.01),
    maxLatencyP99: Latency.optional().meta({
      description: "99 % of its requests must take no longer (such as 100ms, 2s)",
    }),
    maxLatencyRatio: z
      .number()
      .min(1)
      .max(1000)
      .optional()
      .meta({ description: "Its p99 latency may be so many times that of the version that serves" }),
    maxPredictionDrift: share("Share of the copied requests whose answers may differ; needs shadow").optional(),
    minRequests: z
      .int()
      .min(0)
      .max(1_000_000)
      .default(0)
      .meta({ description: "A step does not end before so many requests were seen" }),
  })
  .meta({ description: "What a new version must keep to; without it the default error rate holds" });

const Shadow = z
  .strictObject({
    percent: z
      .number()
      .min(0.1)
      .max(100)
      .meta({ description: "Percent of the requests of the version that serves, copied to the new one" }),
    tolerance: z
      .number()
      .min(0)
      .max(1000)
      .default(0.001)
      .meta({ description: "By how much numbers may differ: absolutely below 1, relatively above" }),
  })
  .meta({ description: "Copies requests to the new version and compares the answers; clients never see its answers" });

const Action = z
  .strictObject({
    type: z.enum(["Promote", "Abort", "Undo"]).meta({
      description:
        "Promote: skip the remaining steps; Abort: give the update up; Undo: go back to what served before it",
    }),
    revision: ObjectName.meta({ description: "The revision that is promoted, given up or undone" }),
  })
  .meta({ description: "Done once, for this revision only" });

const Fields = z.strictObject({
  strategy: z.enum(STRATEGIES).default("BlueGreen").meta({
    description:
      "BlueGreen: all new pods first, then one switch. Canary: by steps. Rolling: pod by pod. Recreate: the old pods go first, with a gap",
  }),
  steps: z.array(Step).min(1).max(20).optional().meta({ description: "Canary: its steps, with growing weights" }),
  analysis: Analysis.optional(),
  shadow: Shadow.optional(),
  autoRollback: z
    .boolean()
    .default(true)
    .meta({ description: "Go back when the analysis fails; false: stop where it is and say so" }),
  paused: z.boolean().default(false).meta({ description: "Begin no update, and take no further step of one" }),
  pinRevision: ObjectName.optional().meta({ description: "Serve this revision, whatever spec.model says" }),
  action: Action.optional(),
  progressDeadline: Duration(
    "How long a new version may take to become ready, or a step longer than its duration",
  ).default("10m"),
  keepPrevious: Duration(
    `BlueGreen: how long the old pods stay after the switch, for an instant way back; default ${KEEP_PREVIOUS}`,
  ).optional(),
  onNoSpareGpu: z.enum(["Wait", "Swap", "Fail"]).default("Wait").meta({
    description:
      "When the new version finds no GPU. Swap: stop the old one first, and start it again should the new one fail",
  }),
  gpuWaitTimeout: Duration(`How long a GPU is waited for before Swap or Fail; default ${GPU_WAIT}`).optional(),
  revisionHistoryLimit: z.int().min(0).max(50).default(5).meta({ description: "Old revisions whose records are kept" }),
});

type Fields = z.output<typeof Fields>;

const RULES: readonly { rule: string; message: string; fieldPath?: string; holds: (rollout: Fields) => boolean }[] = [
  {
    rule: "(self.strategy == 'Canary') == has(self.steps)",
    message: "steps and strategy: Canary belong together; add steps, or choose another strategy and remove them",
    fieldPath: ".steps",
    holds: ({ strategy, steps }) => (strategy === "Canary") === (steps !== undefined),
  },
  {
    rule: "!has(self.steps) || self.steps.map(step, step.weight).isSorted()",
    message: "the weights of steps must not fall; put them in order",
    fieldPath: ".steps",
    holds: ({ steps = [] }) => steps.every(({ weight }, index) => weight >= (steps[index - 1]?.weight ?? 0)),
  },
  {
    rule: "!has(self.steps) || has(self.shadow) || self.steps.all(step, step.weight > 0)",
    message: "a step with weight 0 needs shadow, or nothing happens in it",
    fieldPath: ".steps",
    holds: ({ steps = [], shadow }) => shadow !== undefined || steps.every(({ weight }) => weight > 0),
  },
  {
    rule: "!has(self.shadow) || self.strategy == 'Canary'",
    message: "shadow needs strategy: Canary; the others never run both versions beside each other for long",
    fieldPath: ".shadow",
    holds: ({ strategy, shadow }) => shadow === undefined || strategy === "Canary",
  },
  {
    rule: "!has(self.analysis) || !has(self.analysis.maxPredictionDrift) || has(self.shadow)",
    message: "analysis.maxPredictionDrift needs shadow: answers are compared on copied requests",
    fieldPath: ".analysis",
    holds: ({ analysis, shadow }) => analysis?.maxPredictionDrift === undefined || shadow !== undefined,
  },
  {
    rule: "!has(self.analysis) || !has(self.analysis.maxLatencyRatio) || self.strategy in ['Canary', 'Rolling']",
    message: "analysis.maxLatencyRatio needs strategy: Canary or Rolling, in which both versions answer",
    fieldPath: ".analysis",
    holds: ({ analysis, strategy }) =>
      analysis?.maxLatencyRatio === undefined || strategy === "Canary" || strategy === "Rolling",
  },
  {
    rule: "!has(self.analysis) || self.strategy != 'Recreate'",
    message: "analysis does not go with strategy: Recreate, in which there is nothing to go back to; remove it",
    fieldPath: ".analysis",
    holds: ({ analysis, strategy }) => analysis === undefined || strategy !== "Recreate",
  },
  {
    rule: "!has(self.analysis) || self.strategy != 'BlueGreen' || !has(self.keepPrevious) || duration(self.keepPrevious) > duration('0s')",
    message: "with strategy: BlueGreen the analysis takes place while the old pods are kept; raise keepPrevious",
    fieldPath: ".keepPrevious",
    holds: ({ analysis, strategy, keepPrevious = KEEP_PREVIOUS }) =>
      analysis === undefined || strategy !== "BlueGreen" || durationSeconds(keepPrevious) > 0,
  },
  {
    rule: "!has(self.keepPrevious) || self.strategy == 'BlueGreen'",
    message: "keepPrevious belongs to strategy: BlueGreen; remove it",
    fieldPath: ".keepPrevious",
    holds: ({ keepPrevious, strategy }) => keepPrevious === undefined || strategy === "BlueGreen",
  },
  {
    rule: "!has(self.gpuWaitTimeout) || self.onNoSpareGpu != 'Wait'",
    message: "gpuWaitTimeout precedes onNoSpareGpu: Swap or Fail; set one of them, or remove it",
    fieldPath: ".gpuWaitTimeout",
    holds: ({ gpuWaitTimeout, onNoSpareGpu }) => gpuWaitTimeout === undefined || onNoSpareGpu !== "Wait",
  },
  {
    rule: "self.onNoSpareGpu == 'Wait' || self.strategy != 'Recreate'",
    message: "onNoSpareGpu does not go with strategy: Recreate, which stops the old pods first anyway; remove it",
    fieldPath: ".onNoSpareGpu",
    holds: ({ onNoSpareGpu, strategy }) => onNoSpareGpu === "Wait" || strategy !== "Recreate",
  },
];

export const Rollout = RULES.reduce<typeof Fields>((schema, rule) => withRule(schema, rule), Fields)
  // The API server checks the rules on this default as it stands: it fills in nothing.
  .prefault({
    strategy: "BlueGreen",
    autoRollback: true,
    paused: false,
    progressDeadline: "10m",
    onNoSpareGpu: "Wait",
    revisionHistoryLimit: 5,
  })
  .meta({ description: "How a new version replaces the old one" });

export type Rollout = Fields;
export type Analysis = z.output<typeof Analysis>;

/** What holds where spec says nothing. */
export const DEFAULT_ANALYSIS: Analysis = Analysis.parse({});

/** Seconds of a latency such as `100ms`. */
export function latencySeconds(text: string): number {
  return text.endsWith("ms") ? Number(text.slice(0, -2)) / 1000 : Number(text.slice(0, -1));
}
