/** TrainingJob: builds a TensorFlow model from data, declared in one manifest. */
import { z } from "zod";
import { Energy, Privacy } from "./accounts.ts";
import { Digest, JobReference, Time } from "./common.ts";
import { DataSource, Validation } from "./dataset.ts";
import { jobShape, jobStatusShape, Output } from "./job.ts";
import { type Crd, type Resource } from "./kind.ts";
import { Layer, PreprocessingStep } from "./model.ts";
import { Loss, LossOptions, lossRules, Metric } from "./objective.ts";
import { Callbacks, updateRules, updateShape } from "./optimizer.ts";
import { accessRules, accessShape, Uri } from "./location.ts";
import { withRule, withRules } from "./schema.ts";

const CLASS = "^[0-9]{1,5}$";

const ClassWeights = withRule(
  z
    .record(z.string(), z.number().min(0))
    .meta({ description: "Weight of each class in the loss, by its number; 1 where absent", maxProperties: 100 }),
  {
    rule: `self.all(key, size(key) <= 5 && key.matches('${CLASS}'))`,
    message: 'classes are named by their numbers, such as "3"',
    holds: (weights) => Object.keys(weights).every((key) => new RegExp(CLASS).test(key)),
  },
);

const DifferentialPrivacy = z
  .strictObject({
    noiseMultiplier: z
      .number()
      .gt(0)
      .max(100)
      .meta({ description: "Standard deviation of the noise, divided by l2NormClip; more noise, more privacy" }),
    l2NormClip: z
      .number()
      .gt(0)
      .max(1e6)
      .default(1)
      .meta({ description: "Norm to which the gradient of each example is clipped" }),
    delta: z
      .number()
      .gt(0)
      .lt(1)
      .default(1e-5)
      .meta({ description: "Probability with which the guarantee may fail; below 1 / number of examples" }),
    maxEpsilon: z
      .number()
      .gt(0)
      .max(1000)
      .optional()
      .meta({ description: "The training ends before it would spend more" }),
  })
  .meta({
    description:
      "DP-SGD: gradients of single examples are clipped and noise is added, so that the weights tell almost nothing of any one example. Batches are drawn by Poisson sampling; batchSize is the number that is expected. Layers with weights must be dense or conv2d. Reported training losses are not covered, and noise is never repeated: the same seed gives another model",
  });

/** Characters of a topology: job.json, which carries it, has at most 1 MiB. */
const TOPOLOGY_LIMIT = 262_144;

const LayerName = z.string().min(1).max(256);

const Base = withRules(
  z
    .strictObject({
      uri: Uri.optional(),
      ...accessShape,
      from: JobReference.optional(),
      digest: Digest.optional().meta({
        description: "The digest that the model must have; anything else is refused before it is used",
      }),
      upTo: LayerName.optional().meta({ description: "Name of the last layer that is kept; default: all are" }),
      freeze: z.array(LayerName).max(1024).default([]).meta({ description: "Names of the layers that do not learn" }),
    })
    .meta({
      description:
        "A Keras or tfjs model whose layers and weights the training begins with: exactly one of uri and from",
    }),
  [
    ...accessRules(["uri"]),
    {
      rule: "has(self.uri) != has(self.from)",
      message: "exactly one of uri and from must be set; remove the other",
      holds: ({ uri, from }) => (uri === undefined) !== (from === undefined),
    },
  ],
);

/** What a run depends on: a change of any of it makes another artefact. */
export const trainingShape = {
  dataset: z
    .strictObject({
      train: DataSource,
      validation: Validation.optional(),
      test: DataSource.optional().meta({ description: "Held-out examples that the finished model is evaluated on" }),
    })
    .meta({ description: "Where the examples are" }),
  preprocessing: z
    .array(PreprocessingStep)
    .max(16)
    .default([])
    .meta({ description: "Steps before the model, in order" }),
  model: withRules(
    z
      .strictObject({
        layers: z.array(Layer).min(1).max(256).optional().meta({
          description: "The layers, in order; with base: those that come after its own",
        }),
        topology: z.string().min(2).max(TOPOLOGY_LIMIT).optional().meta({
          description: "A Sequential or Functional model as Keras writes it with model.to_json()",
        }),
        base: Base.optional(),
      })
      .meta({ description: "The model: layers, a topology, or a model that learns on" }),
    [
      {
        rule: "has(self.layers) || has(self.base) || has(self.topology)",
        message: "layers, topology or base must be set; declare the model's layers, or name a model that learns on",
        holds: ({ layers, base, topology }) => layers !== undefined || base !== undefined || topology !== undefined,
      },
      {
        rule: "!has(self.topology) || (!has(self.layers) && !has(self.base))",
        message: "topology is the whole model; remove layers and base, or topology",
        fieldPath: ".topology",
        holds: ({ layers, base, topology }) => topology === undefined || (layers === undefined && base === undefined),
      },
    ],
  ),
  loss: Loss.meta({ description: "What training minimizes" }),
  lossOptions: LossOptions.optional(),
  ...updateShape,
  classWeights: ClassWeights.optional(),
  callbacks: Callbacks.prefault({}),
  metrics: z.array(Metric).max(8).default([]).meta({ description: "What is reported besides the loss" }),
  epochs: z.int().min(1).max(100000).meta({ description: "How often training sees all examples" }),
  batchSize: z.int().min(1).max(65536).default(32).meta({ description: "Examples in a step" }),
  seed: z
    .int()
    .min(0)
    .max(2147483647)
    .default(0)
    .meta({ description: "Seed of weights, order, split and dropout: the same seed gives the same model" }),
  privacy: z
    .strictObject({ differentialPrivacy: DifferentialPrivacy })
    .optional()
    .meta({ description: "What the model may tell of its examples" }),
  workers: z.int().min(2).max(64).optional().meta({
    description:
      "Pods that train together, each on its part of every batch (synchronous data parallel); batchSize is that of all together. Unset: one",
  }),
};

/** When a training's state is saved; no part of the result. */
export const Checkpoint = withRule(
  z
    .strictObject({
      everyEpochs: z.int().min(1).max(100000).optional().meta({
        description: "Saves after this many epochs; 1 where everySteps is not set either",
      }),
      everySteps: z.int().min(1).max(1000000000).optional().meta({ description: "Saves after this many steps" }),
      keep: z.int().min(1).max(10).default(2).meta({
        description: "How many are kept; when the newest is damaged, the one before it is taken",
      }),
    })
    .meta({
      description:
        "When the training's state is saved beside the artefact. A pod that takes over continues from the newest one; when a pod is told to stop, it saves its state besides",
    }),
  {
    rule: "!has(self.everyEpochs) || !has(self.everySteps)",
    message: "only one of everyEpochs and everySteps may be set; remove the other",
    holds: ({ everyEpochs, everySteps }) => everyEpochs === undefined || everySteps === undefined,
  },
);

const Declared = z
  .strictObject({ ...trainingShape, output: Output, checkpoint: Checkpoint.prefault({}), ...jobShape })
  .meta({ description: "The training" });

const Checked = withRules(Declared, [...lossRules, ...updateRules]);

const TOGETHER = {
  rule: "!has(self.privacy) || !has(self.workers)",
  message: "privacy is for a training with one worker; remove workers, or privacy",
  fieldPath: ".workers",
  holds: ({ privacy, workers }: { privacy?: object | undefined; workers?: number | undefined }) =>
    privacy === undefined || workers === undefined,
};

const UNLEARNED = {
  rule: "!has(self.privacy) || !has(self.preprocessing) || !self.preprocessing.exists(step, has(step.standardize) || has(step.minMax))",
  message:
    "standardize and minMax learn from the examples, which privacy does not account for; use rescale, or remove privacy",
  fieldPath: ".preprocessing",
  holds: ({ privacy, preprocessing }: { privacy?: object | undefined; preprocessing: readonly object[] }) =>
    privacy === undefined || !preprocessing.some((step) => "standardize" in step || "minMax" in step),
};

const AS_TRAINED = {
  rule: "!has(self.model.base) || !has(self.preprocessing) || self.preprocessing.all(step, has(step.oneHot))",
  message: "a base takes the features that it was trained on, and prepares them itself; remove all steps but oneHot",
  fieldPath: ".preprocessing",
  holds: ({ model, preprocessing }: { model: { base?: object | undefined }; preprocessing: readonly object[] }) =>
    model.base === undefined || preprocessing.every((step) => "oneHot" in step),
};

const Spec = withRule(withRules(Checked, [TOGETHER, UNLEARNED, AS_TRAINED]), {
  rule: "self.loss != 'categoricalCrossentropy' || !(self.dataset.train.format in ['Csv', 'ImageFolder']) || (has(self.preprocessing) && self.preprocessing.exists(step, has(step.oneHot)))",
  message:
    "loss categoricalCrossentropy needs one-hot labels: add {oneHot: {classes: …}} to preprocessing, or use sparseCategoricalCrossentropy",
  fieldPath: ".loss",
  holds: ({ loss, dataset, preprocessing }) =>
    loss !== "categoricalCrossentropy" ||
    !["Csv", "ImageFolder"].includes(dataset.train.format) ||
    preprocessing.some((step) => "oneHot" in step),
});

const position = (description: string) =>
  z
    .strictObject({
      epoch: z.int().min(0).meta({ description: "Finished epochs" }),
      step: z.int().min(0).meta({ description: "Finished steps of all epochs" }),
      time: Time,
    })
    .meta({ description });

const metricValues = z.record(z.string(), z.number()).meta({ maxProperties: 16 });

/** Epochs that status keeps; the artefact has up to 1024. */
export const HISTORY_LIMIT = 16;

export const TrainingEpoch = z
  .strictObject({
    epoch: z.int().min(1),
    learningRate: z.number().min(0),
    values: metricValues.meta({ description: "Loss and metrics; those of validation begin with val_" }),
  })
  .meta({ description: "What an epoch gave" });

export const EarlyStop = z
  .strictObject({
    epoch: z.int().min(1).meta({ description: "The last epoch" }),
    bestEpoch: z.int().min(0).meta({ description: "The epoch that was best by what earlyStopping watches" }),
  })
  .meta({ description: "Set when callbacks.earlyStopping has ended the training" });

/** Seconds by the state that they were spent in. */
export const PhaseSeconds = z
  .record(z.string(), z.number().min(0))
  .meta({ description: "Seconds that the last pod has spent in each state", maxProperties: 8 });

const Status = z
  .strictObject({
    ...jobStatusShape,
    epoch: z.int().min(0).optional(),
    epochs: z.int().min(1).optional(),
    step: z.int().min(0).optional(),
    loss: z.number().optional(),
    metrics: metricValues
      .optional()
      .meta({ description: "Metrics of the last epoch; validation ones begin with val_" }),
    evaluation: metricValues.optional().meta({ description: "Loss and metrics on dataset.test" }),
    accuracy: z.number().optional().meta({
      description: "The accuracy that counts most so far: on dataset.test, else on validation, else of the last epoch",
    }),
    history: z.array(TrainingEpoch).max(HISTORY_LIMIT).optional().meta({
      description: "What epochs gave: of a long training every second, fourth, … one, and the last",
    }),
    stopped: EarlyStop.optional(),
    examplesPerSecond: z.number().optional().meta({ description: "Pace of the training in the last pod" }),
    phaseSeconds: PhaseSeconds.optional(),
    privacy: Privacy.optional(),
    energy: Energy.optional(),
    workers: z
      .strictObject({ total: z.int().min(2), running: z.int().min(0) })
      .optional()
      .meta({ description: "Pods that train together" }),
    compiled: z.boolean().optional().meta({
      description: "Whether a training step is one graph of TensorFlow, which is several times faster",
    }),
    notCompiled: z.string().max(512).optional().meta({
      description:
        "Why the training runs operation by operation instead: the engine, or the layer that the compiler lacks",
    }),
    checkpoint: position("The newest saved state").optional(),
    resumed: position("The saved state from which the last pod continued, and when").optional(),
  })
  .meta({ description: "What is known of the training" });

export const TrainingJob: Crd = {
  kind: "TrainingJob",
  plural: "trainingjobs",
  singular: "trainingjob",
  shortNames: ["tjob"],
  description: "TrainingJob builds a TensorFlow model from data, declared in one manifest.",
  spec: Spec,
  status: Status,
  columns: [
    { name: "State", type: "string", jsonPath: ".status.state" },
    { name: "Epoch", type: "integer", jsonPath: ".status.epoch" },
    { name: "Progress", type: "integer", jsonPath: ".status.progressPercent", description: "in percent" },
    { name: "Loss", type: "number", jsonPath: ".status.loss" },
    { name: "Accuracy", type: "number", jsonPath: ".status.accuracy" },
    { name: "ETA", type: "integer", jsonPath: ".status.etaSeconds", description: "in seconds" },
    { name: "Engine", type: "string", jsonPath: ".status.engine", priority: 1 },
    { name: "Epsilon", type: "number", jsonPath: ".status.privacy.epsilon", priority: 1 },
    { name: "kWh", type: "number", jsonPath: ".status.energy.kWh", priority: 1 },
    { name: "Run", type: "string", jsonPath: ".status.run", priority: 1 },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ],
};

export type TrainingJobSpec = z.output<typeof Spec>;
export type TrainingJobStatus = z.output<typeof Status>;
export type TrainingJob = Resource<"TrainingJob", TrainingJobSpec, TrainingJobStatus>;
export type DifferentialPrivacy = z.output<typeof DifferentialPrivacy>;
export type Checkpoint = z.output<typeof Checkpoint>;
