/** OptimizationJob: makes a model smaller and faster within an accuracy budget, and reports what it measured. */
import { z } from "zod";
import { ModelReference, Time } from "./common.ts";
import { DataSource } from "./dataset.ts";
import type { Crd, Resource } from "./kind.ts";
import { Method } from "./optimization-methods.ts";
import { Duration, Quantity, withRule } from "./schema.ts";
import { jobShape, jobStatusShape, Output } from "./job.ts";

const goal = (description: string) => z.number().gt(0).optional().meta({ description });

const Goals = z
  .strictObject({
    maxAccuracyDrop: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .meta({ description: "How much accuracy on dataset.test may fall, such as 0.01 for one point" }),
    minAccuracy: z.number().gt(0).lte(1).optional().meta({ description: "Accuracy on dataset.test that must be left" }),
    maxLossIncrease: z.number().min(0).optional().meta({
      description: "How much the loss on dataset.test may rise: the guard of models without classes",
    }),
    minSizeRatio: goal("How many times smaller the model's files must be"),
    maxBytes: Quantity.optional().meta({ description: "What the model's files may have, such as 100Ki" }),
    minSpeedup: goal("How many times faster one prediction must be"),
    maxLatencyMilliseconds: goal("What the median prediction of one example may take"),
    minThroughputPerSecond: goal("Predictions a second, in batches of 32"),
    onMiss: z.enum(["KeepBest", "Fail"]).default("Fail").meta({
      description:
        "KeepBest: succeed with the best candidate and say what was missed. Fail: fail, the best candidate is written all the same",
    }),
  })
  .default({ onMiss: "Fail" })
  .meta({ description: "What the result must reach" });

/** What a run depends on, besides the digest of the model. */
export const optimizationShape = {
  dataset: z
    .strictObject({
      train: DataSource.optional().meta({ description: "Examples for fine-tuning and distillation" }),
      calibration: DataSource.optional().meta({
        description: "Examples by which ranges of activations are found (quantize.activations: Static); default: train",
      }),
      test: DataSource.meta({ description: "Held-out examples that accuracy is measured on" }),
    })
    .meta({ description: "Where the examples are" }),
  methods: z.array(Method).min(1).max(8).meta({
    description: "What is done to the model, in order; with search, what is tried",
  }),
  search: z
    .strictObject({
      timeBudget: Duration("How long new combinations are begun"),
    })
    .optional()
    .meta({
      description:
        "Tries selections of methods, in their order, with one of each kind at most, instead of all of them; keeps the one that reaches the goals with most gain",
    }),
  goals: Goals,
  seed: z.int().min(0).max(2147483647).default(0).meta({
    description: "Seed of a student's weights and of the order in training",
  }),
};

const Base = z
  .strictObject({ model: ModelReference, ...optimizationShape, output: Output, ...jobShape })
  .meta({ description: "The optimization" });

type Base = z.output<typeof Base>;

const isCalibrated = ({ quantize }: Method) => quantize?.activations === "Static";

/** The same in CEL. */
const CALIBRATED =
  "self.methods.exists(method, has(method.quantize) && has(method.quantize.activations) && method.quantize.activations == 'Static')";

const trains = ({ distil, prune }: Method) => distil !== undefined || prune?.fineTune !== undefined;

const RULES = [
  {
    rule: "has(self.dataset.train) || self.methods.all(method, !has(method.distil) && (!has(method.prune) || !has(method.prune.fineTune)))",
    message: "fineTune and distil need dataset.train; set it, or remove them",
    fieldPath: ".dataset",
    holds: ({ dataset, methods }: Base) => dataset.train !== undefined || !methods.some(trains),
  },
  {
    rule: `has(self.dataset.train) || has(self.dataset.calibration) || !${CALIBRATED}`,
    message: "quantize with activations Static needs dataset.calibration or dataset.train; set one of them",
    fieldPath: ".dataset",
    holds: ({ dataset: { train, calibration }, methods }: Base) =>
      train !== undefined || calibration !== undefined || !methods.some(isCalibrated),
  },
  {
    rule: `!has(self.dataset.calibration) || ${CALIBRATED}`,
    message: "nothing is calibrated; remove dataset.calibration, or set quantize.activations to Static",
    fieldPath: ".dataset.calibration",
    holds: ({ dataset: { calibration }, methods }: Base) => calibration === undefined || methods.some(isCalibrated),
  },
  {
    rule: "self.methods.map(method, has(method.quantize)).isSorted()",
    message: "what comes after quantize would undo it; move quantize to the end",
    fieldPath: ".methods",
    holds: ({ methods }: Base) => {
      const first = methods.findIndex((method) => method.quantize !== undefined);
      return first === -1 || methods.slice(first).every((method) => method.quantize !== undefined);
    },
  },
  {
    rule: "has(self.search) || self.methods.filter(method, has(method.quantize)).size() <= 1",
    message: "a model is quantized once; remove a quantize, or add search to try each of them",
    fieldPath: ".methods",
    holds: ({ search, methods }: Base) =>
      search !== undefined || methods.filter((method) => method.quantize !== undefined).length <= 1,
  },
] as const;

const Spec = RULES.reduce((spec, rule) => withRule(spec, rule), Base);

/** What was measured of one model; latency is of one prediction of one example. */
export const Measurement = z.strictObject({
  bytes: z.int().min(0),
  compressedBytes: z.int().min(0).optional().meta({ description: "The files compressed by gzip" }),
  parameters: z.int().min(0),
  accuracy: z.number().optional(),
  loss: z.number().optional(),
  latencyP50Milliseconds: z.number().min(0),
  throughputPerSecond: z.number().min(0).meta({ description: "In batches of 32" }),
  engine: z.string().max(32).optional().meta({ description: "What computed, as it would in serving" }),
});

export const CANDIDATES_LIMIT = 32;

/** A model that was made on the way. */
export const Candidate = z.strictObject({
  methods: z.string().max(256).meta({ description: "What was done, in order" }),
  bytes: z.int().min(0).optional(),
  compressedBytes: z.int().min(0).optional(),
  parameters: z.int().min(0).optional(),
  accuracy: z.number().optional(),
  latencyP50Milliseconds: z.number().min(0).optional(),
  sizeRatio: z.number().optional(),
  speedup: z.number().optional(),
  onFront: z.boolean().optional().meta({
    description: "No other is at least as good in accuracy, bytes and latency, and better in one",
  }),
  chosen: z.boolean().optional(),
  why: z.string().max(256).meta({ description: "Why it was chosen or not" }),
});

/** How far a run had come. */
export const Saved = z.strictObject({
  candidates: z.int().min(0).meta({ description: "Candidates that were finished" }),
  step: z.int().min(0).meta({ description: "Steps of training for the next one" }),
  time: Time,
});

const Status = z
  .strictObject({
    ...jobStatusShape,
    model: z
      .strictObject({ uri: z.string().max(1024), digest: z.string().max(80).optional() })
      .optional()
      .meta({ description: "The model that is optimized; its digest once it is known" }),
    step: z.string().max(63).optional().meta({ description: "The method at work" }),
    before: Measurement.optional(),
    after: Measurement.optional(),
    sizeRatio: z.number().optional().meta({ description: "bytes before / bytes after" }),
    speedup: z.number().optional().meta({ description: "latency before / latency after; below 1 is slower" }),
    accuracyDrop: z.number().optional().meta({ description: "accuracy before - accuracy after" }),
    missedGoals: z.array(z.string().max(256)).max(8).optional().meta({ "x-kubernetes-list-type": "atomic" }),
    worse: z
      .array(z.string().max(256))
      .max(8)
      .optional()
      .meta({ description: "What got worse, such as a slower prediction", "x-kubernetes-list-type": "atomic" }),
    candidates: z
      .array(Candidate)
      .max(CANDIDATES_LIMIT)
      .optional()
      .meta({ description: "All models that were made", "x-kubernetes-list-type": "atomic" }),
    checkpoint: Saved.optional().meta({ description: "The newest saved state" }),
    resumed: Saved.optional().meta({ description: "The saved state from which the last pod continued, and when" }),
  })
  .meta({ description: "What was measured" });

export const OptimizationJob: Crd = {
  kind: "OptimizationJob",
  plural: "optimizationjobs",
  singular: "optimizationjob",
  shortNames: ["ojob"],
  description: "OptimizationJob makes a model smaller and faster within an accuracy budget.",
  spec: Spec,
  status: Status,
  columns: [
    { name: "State", type: "string", jsonPath: ".status.state" },
    { name: "Size", type: "number", jsonPath: ".status.sizeRatio", description: "how many times smaller" },
    { name: "Speedup", type: "number", jsonPath: ".status.speedup", description: "how many times faster" },
    { name: "Accuracy", type: "number", jsonPath: ".status.after.accuracy" },
    { name: "Drop", type: "number", jsonPath: ".status.accuracyDrop" },
    { name: "ETA", type: "integer", jsonPath: ".status.etaSeconds", description: "in seconds" },
    { name: "Bytes", type: "integer", jsonPath: ".status.after.bytes", priority: 1 },
    { name: "Engine", type: "string", jsonPath: ".status.after.engine", description: "what serves it", priority: 1 },
    { name: "Run", type: "string", jsonPath: ".status.run", priority: 1 },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ],
};

export type OptimizationJobSpec = z.output<typeof Spec>;
export type OptimizationJobStatus = z.output<typeof Status>;
export type OptimizationJob = Resource<"OptimizationJob", OptimizationJobSpec, OptimizationJobStatus>;
export type Measurement = z.output<typeof Measurement>;
export type Candidate = z.output<typeof Candidate>;
