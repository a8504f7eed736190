/** OptimizationJob: makes a model smaller and faster within an accuracy budget, and reports what it measured. */
import { z } from "zod";
import { ModelReference } from "./common.ts";
import { DataSource } from "./dataset.ts";
import type { Crd, Resource } from "./kind.ts";
import { oneOf, withRule } from "./schema.ts";
import { jobShape, jobStatusShape, Output } from "./training-job.ts";

const FineTune = z
  .strictObject({
    epochs: z.int().min(1).max(1000).meta({ description: "How often fine-tuning sees dataset.train" }),
    batchSize: z.int().min(1).max(65536).default(32).meta({ description: "Examples in a step" }),
    learningRate: z.number().gt(0).lte(1).default(0.001).meta({ description: "Step size (Adam)" }),
  })
  .meta({ description: "Training after pruning, with the loss that the model was trained with" });

export const Method = oneOf(
  {
    prune: z
      .strictObject({
        structured: z
          .strictObject({
            sparsity: z.number().gt(0).lt(1).meta({
              description: "Share of units and filters removed from each layer but those that give the answer",
            }),
            criterion: z.enum(["L1Norm", "L2Norm", "BatchNormScale"]).default("L2Norm").meta({
              description:
                "What tells how much a unit or filter matters: the norm of its kernel, or the scale of the batch normalization behind it (the L2 norm where there is none)",
            }),
          })
          .meta({ description: "Removes whole units and filters, so that the model really computes less" }),
        fineTune: FineTune.optional(),
      })
      .meta({ description: "Pruning" }),
    quantize: z
      .strictObject({
        weights: z.enum(["Uint8", "Uint16", "Float16"]).meta({
          description:
            "Type that weights are stored in, in the tfjs format: files four times (Uint8) or twice smaller. Loaded weights are float32 again",
        }),
      })
      .meta({ description: "Quantization; the last method, as any other would undo it" }),
  },
  "One method; methods are applied in order",
);

/** What a run depends on, besides the digest of the model. */
export const optimizationShape = {
  dataset: z
    .strictObject({
      train: DataSource.optional().meta({ description: "Examples for fine-tuning" }),
      test: DataSource.meta({ description: "Held-out examples that accuracy is measured on" }),
    })
    .meta({ description: "Where the examples are" }),
  methods: z.array(Method).min(1).max(8).meta({ description: "What is done to the model, in order" }),
  goals: z
    .strictObject({
      maxAccuracyDrop: z
        .number()
        .min(0)
        .max(1)
        .optional()
        .meta({ description: "How much accuracy on dataset.test may fall, such as 0.01 for one point" }),
      minSizeRatio: z.number().gt(0).optional().meta({ description: "How many times smaller the artefact must be" }),
      minSpeedup: z.number().gt(0).optional().meta({ description: "How many times faster one prediction must be" }),
      onMiss: z.enum(["KeepBest", "Fail"]).default("Fail").meta({
        description:
          "KeepBest: succeed with the result and say what was missed. Fail: fail, the result is written all the same",
      }),
    })
    .default({ onMiss: "Fail" })
    .meta({ description: "What the result must reach" }),
  seed: z.int().min(0).max(2147483647).default(0).meta({ description: "Seed of the order in fine-tuning" }),
};

const FineTuned = withRule(
  z
    .strictObject({ model: ModelReference, ...optimizationShape, output: Output, ...jobShape })
    .meta({ description: "The optimization" }),
  {
    rule: "has(self.dataset.train) || self.methods.all(method, !has(method.prune) || !has(method.prune.fineTune))",
    message: "fineTune needs dataset.train; set it, or remove fineTune",
    fieldPath: ".dataset",
    holds: (spec) =>
      spec.dataset.train !== undefined ||
      spec.methods.every((method) => method.prune === undefined || method.prune.fineTune === undefined),
  },
);

const Spec = withRule(FineTuned, {
  rule: "self.methods.filter(method, has(method.quantize)).size() == (has(self.methods[self.methods.size() - 1].quantize) ? 1 : 0)",
  message: "quantize must be the last method, and there once; move it to the end",
  fieldPath: ".methods",
  holds: ({ methods }) => methods.slice(0, -1).every((method) => method.quantize === undefined),
});

/** What was measured of one model; latency is of one prediction of one example. */
export const Measurement = z.strictObject({
  bytes: z.int().min(0),
  parameters: z.int().min(0),
  accuracy: z.number().optional(),
  loss: z.number().optional(),
  latencyP50Milliseconds: z.number().min(0),
  throughputPerSecond: z.number().min(0),
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
    { name: "Engine", type: "string", jsonPath: ".status.engine", priority: 1 },
    { name: "Run", type: "string", jsonPath: ".status.run", priority: 1 },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ],
};

export type OptimizationJobSpec = z.output<typeof Spec>;
export type OptimizationJobStatus = z.output<typeof Status>;
export type OptimizationJob = Resource<"OptimizationJob", OptimizationJobSpec, OptimizationJobStatus>;
export type Measurement = z.output<typeof Measurement>;
export type Method = z.output<typeof Method>;
