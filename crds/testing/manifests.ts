/** Manifests for tests: one of each kind that is right, and many that are wrong in one way. */
import { API_VERSION } from "../common.ts";

type Spec = Record<string, unknown>;

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  spec: Spec;
}

const csv = { format: "Csv", uri: "pvc://data/train.csv", label: "digit" };
const DIGEST = `sha256:${"0".repeat(64)}`;

const of = (kind: string, base: Spec) => (spec: Spec, name: string) => ({
  apiVersion: API_VERSION,
  kind,
  metadata: { name },
  spec: { ...base, ...spec },
});

export const RIGHT: Record<string, (spec: Spec, name: string) => Manifest> = {
  TrainingJob: of("TrainingJob", {
    dataset: { train: csv },
    model: { layers: [{ dense: { units: 10 } }] },
    loss: "sparseCategoricalCrossentropy",
    optimizer: { adam: {} },
    epochs: 1,
    output: { uri: "pvc://models/digits" },
  }),
  OptimizationJob: of("OptimizationJob", {
    model: { from: { kind: "TrainingJob", name: "digits" } },
    dataset: { test: csv },
    methods: [{ quantize: { weights: "Uint8" } }],
    output: { uri: "pvc://models/small" },
  }),
  ModelDeployment: of("ModelDeployment", { model: { uri: "pvc://models/digits/one" } }),
};

export interface WrongManifest {
  /** What is wrong with it. */
  readonly what: string;
  readonly kind: string;
  readonly spec: Spec;
  readonly name?: string;
  /** The field that must be named. */
  readonly field: string;
  /** What must be said, offline and by the API server, where the message is ours. */
  readonly says?: string;
}

export const WRONG: readonly WrongManifest[] = [
  {
    what: "two periods of checkpoints",
    kind: "TrainingJob",
    spec: { checkpoint: { everyEpochs: 1, everySteps: 500 } },
    field: "spec.checkpoint",
    says: "only one of everyEpochs and everySteps may be set; remove the other",
  },
  {
    what: "two ways of clipping",
    kind: "TrainingJob",
    spec: { clipNorm: 1, globalClipNorm: 1 },
    field: "spec",
    says: "only one of clipNorm, clipValue and globalClipNorm may be set; remove the others",
  },
  {
    what: "two weight decays",
    kind: "TrainingJob",
    spec: { optimizer: { adamw: {} }, weightDecay: 0.1 },
    field: "spec.weightDecay",
    says: "adamw has a weightDecay of its own; set it there, and remove this one",
  },
  {
    what: "a schedule and a callback for the learning rate",
    kind: "TrainingJob",
    spec: {
      learningRateSchedule: { cosineDecay: { decaySteps: 10 } },
      callbacks: { reduceLearningRateOnPlateau: { monitor: "loss" } },
    },
    field: "spec.callbacks.reduceLearningRateOnPlateau",
    says: "reduceLearningRateOnPlateau changes a fixed rate; remove it, or learningRateSchedule",
  },
  {
    what: "two schedules",
    kind: "TrainingJob",
    spec: {
      learningRateSchedule: { cosineDecay: { decaySteps: 10 }, inverseTimeDecay: { decaySteps: 1, decayRate: 1 } },
    },
    field: "spec.learningRateSchedule",
  },
  {
    what: "rates that do not fit their boundaries",
    kind: "TrainingJob",
    spec: { learningRateSchedule: { piecewiseConstantDecay: { boundaries: [1, 2], values: [0.1] } } },
    field: "spec.learningRateSchedule.piecewiseConstantDecay.values",
    says: "values needs a rate for each of boundaries; the first rate is the optimizer's learningRate",
  },
  {
    what: "a callback that watches validation without any",
    kind: "TrainingJob",
    spec: { callbacks: { earlyStopping: {} } },
    field: "spec.callbacks",
    says: "a monitor that begins with val_ needs dataset.validation; set it, or watch loss or a metric",
  },
  {
    what: "logits for a loss of values",
    kind: "TrainingJob",
    spec: { loss: "meanSquaredError", lossOptions: { fromLogits: true } },
    field: "spec.lossOptions",
    says: "fromLogits belongs to crossentropies; remove it, or change loss",
  },
  {
    what: "smoothing of sparse labels",
    kind: "TrainingJob",
    spec: { lossOptions: { labelSmoothing: 0.1 } },
    field: "spec.lossOptions",
    says: "labelSmoothing belongs to categoricalCrossentropy and binaryCrossentropy; remove it, or change loss",
  },
  {
    what: "delta without huber",
    kind: "TrainingJob",
    spec: { lossOptions: { delta: 1 } },
    field: "spec.lossOptions",
    says: "delta belongs to huber; remove it, or change loss",
  },
  {
    what: "weights of a class that is no number",
    kind: "TrainingJob",
    spec: { classWeights: { seven: 2 } },
    field: "spec.classWeights",
    says: "classes are named by their numbers",
  },
  {
    what: "nesterov without momentum",
    kind: "TrainingJob",
    spec: { optimizer: { sgd: { nesterov: true } } },
    field: "spec.optimizer.sgd.nesterov",
    says: "nesterov needs momentum above 0; set it, or remove nesterov",
  },
  {
    what: "no checkpoint to keep",
    kind: "TrainingJob",
    spec: { checkpoint: { keep: 0 } },
    field: "spec.checkpoint.keep",
  },
  {
    what: "batches larger than every allowed size",
    kind: "ModelDeployment",
    spec: { batching: { maxBatchSize: 32, allowedSizes: [8, 16] } },
    field: "spec.batching.allowedSizes",
    says: "allowedSizes must hold a size of at least maxBatchSize; add one, or lower maxBatchSize",
  },
  {
    what: "a queue in which requests wait for longer than an hour",
    kind: "ModelDeployment",
    spec: { queue: { timeout: "2h" } },
    field: "spec.queue.timeout",
    says: "timeout must be from 1s to 1h",
  },
  {
    what: "labels from two places",
    kind: "ModelDeployment",
    spec: { processing: { output: [{ labels: { names: ["a"], file: "labels.txt" } }] } },
    field: "spec.processing.output[0].labels",
    says: "exactly one of names and file must be set; remove the other",
  },
  {
    what: "two steps in one",
    kind: "ModelDeployment",
    spec: { processing: { input: [{ rescale: { scale: 1 }, oneHot: { classes: 2 } }] } },
    field: "spec.processing.input[0]",
  },
  {
    what: "pictures of two channels",
    kind: "ModelDeployment",
    spec: { processing: { input: [{ image: { width: 8, height: 8, channels: 2 } }] } },
    field: "spec.processing.input[0].image.channels",
  },
  {
    what: "two sources of the model",
    kind: "ModelDeployment",
    spec: { model: { uri: "pvc://models/a", from: { kind: "TrainingJob", name: "digits" } } },
    field: "spec.model",
    says: "exactly one of uri and from must be set; remove the other",
  },
  {
    what: "no source of the model",
    kind: "ModelDeployment",
    spec: { model: { digest: DIGEST } },
    field: "spec.model",
    says: "exactly one of uri and from must be set",
  },
  {
    what: "a path that leaves the claim",
    kind: "ModelDeployment",
    spec: { model: { uri: "pvc://models/../other" } },
    field: "spec.model.uri",
  },
  {
    what: "a scheme that is not known",
    kind: "ModelDeployment",
    spec: { model: { uri: "file:///etc" } },
    field: "spec.model.uri",
  },
  {
    what: "a digest that is none",
    kind: "ModelDeployment",
    spec: { model: { uri: "pvc://a/b", digest: "sha256:1" } },
    field: "spec.model.digest",
  },
  {
    what: "fewer than no replicas",
    kind: "ModelDeployment",
    spec: { scaling: { replicas: -1 } },
    field: "spec.scaling.replicas",
  },
  {
    what: "a duration without unit",
    kind: "ModelDeployment",
    spec: { rollout: { progressDeadline: "10" } },
    field: "spec.rollout.progressDeadline",
  },
  {
    what: "an unknown engine",
    kind: "ModelDeployment",
    spec: { runtime: { engine: "Torch" } },
    field: "spec.runtime.engine",
  },
  {
    what: "a GPU twice",
    kind: "ModelDeployment",
    spec: { gpu: { count: 1, resourceClaimTemplateName: "gpu" } },
    field: "spec.gpu",
    says: "exactly one of count and resourceClaimTemplateName must be set; remove the other",
  },
  {
    what: "products of claimed devices",
    kind: "ModelDeployment",
    spec: { gpu: { resourceClaimTemplateName: "gpu", products: ["NVIDIA-H200"] } },
    field: "spec.gpu",
    says: "select devices in the template instead",
  },
  {
    what: "an own label",
    kind: "ModelDeployment",
    spec: { pod: { labels: { "modelwright.dev/revision": "other" } } },
    field: "spec.pod.labels",
    says: "are set by the operator; use another key",
  },
  {
    what: "an own environment variable",
    kind: "ModelDeployment",
    spec: { pod: { env: [{ name: "MODELWRIGHT_THREADS", value: "9" }] } },
    field: "spec.pod.env[0].name",
    says: "are set by the operator; use another name",
  },
  {
    what: "a quantity that is none",
    kind: "ModelDeployment",
    spec: { resources: { limits: { cpu: "many" } } },
    field: "spec.resources.limits.cpu",
  },
  {
    what: "a name that is too long for labels of children",
    kind: "ModelDeployment",
    spec: {},
    name: "a".repeat(41),
    field: "metadata.name",
    says: "at most 40 characters; choose another name",
  },
  {
    what: "a name that begins with a digit",
    kind: "ModelDeployment",
    spec: {},
    name: "1digit",
    field: "metadata.name",
    says: "must start with a letter",
  },
  {
    what: "Csv without a label",
    kind: "TrainingJob",
    spec: { dataset: { train: { format: "Csv", uri: "pvc://data/a.csv" } } },
    field: "spec.dataset.train",
    says: "format Csv needs uri and label",
  },
  {
    what: "Idx with a label column",
    kind: "TrainingJob",
    spec: { dataset: { train: { format: "Idx", features: "pvc://a/b", labels: "pvc://a/c", label: "digit" } } },
    field: "spec.dataset.train",
    says: "format Idx needs features and labels, and has none of uri, label, columns, weight and image",
  },
  {
    what: "validation data and a split",
    kind: "TrainingJob",
    spec: { dataset: { train: csv, validation: { split: 0.1, ...csv } } },
    field: "spec.dataset.validation",
    says: "set either split, or format with its source",
  },
  {
    what: "a loss that needs one-hot labels",
    kind: "TrainingJob",
    spec: { loss: "categoricalCrossentropy" },
    field: "spec.loss",
    says: "needs one-hot labels: add {oneHot: {classes: …}} to preprocessing",
  },
  {
    what: "two kinds of layer in one",
    kind: "TrainingJob",
    spec: { model: { layers: [{ dense: { units: 1 }, flatten: {} }] } },
    field: "spec.model.layers[0]",
  },
  { what: "no layer", kind: "TrainingJob", spec: { model: { layers: [] } }, field: "spec.model.layers" },
  {
    what: "a dropout of everything",
    kind: "TrainingJob",
    spec: { model: { layers: [{ dropout: { rate: 1 } }] } },
    field: "spec.model.layers[0].dropout.rate",
  },
  { what: "no epoch", kind: "TrainingJob", spec: { epochs: 0 }, field: "spec.epochs" },
  { what: "half an epoch", kind: "TrainingJob", spec: { epochs: 0.5 }, field: "spec.epochs" },
  { what: "an unknown optimizer", kind: "TrainingJob", spec: { optimizer: { lbfgs: {} } }, field: "spec.optimizer" },
  {
    what: "fine-tuning without data",
    kind: "OptimizationJob",
    spec: { methods: [{ prune: { structured: { sparsity: 0.5 }, fineTune: { epochs: 1 } } }] },
    field: "spec.dataset",
    says: "fineTune and distil need dataset.train; set it, or remove them",
  },
  { what: "no method", kind: "OptimizationJob", spec: { methods: [] }, field: "spec.methods" },
  {
    what: "a method after quantization",
    kind: "OptimizationJob",
    spec: { methods: [{ quantize: { weights: "Uint8" } }, { prune: { structured: { sparsity: 0.5 } } }] },
    field: "spec.methods",
    says: "what comes after quantize would undo it; move quantize to the end",
  },
  {
    what: "quantization of what is quantized",
    kind: "OptimizationJob",
    spec: { methods: [{ quantize: { weights: "Uint8" } }, { quantize: { weights: "Float16" } }] },
    field: "spec.methods",
    says: "a model is quantized once; remove a quantize, or add search to try each of them",
  },
  {
    what: "integers for activations only",
    kind: "OptimizationJob",
    spec: { methods: [{ quantize: { weights: "Uint8", activations: "Dynamic" } }] },
    field: "spec.methods[0].quantize.activations",
    says: "activations become integers with weights Int8 only; remove it, or set weights to Int8",
  },
  {
    what: "calibration of what is found as the model runs",
    kind: "OptimizationJob",
    spec: { methods: [{ quantize: { weights: "Int8", calibration: {} } }] },
    field: "spec.methods[0].quantize.calibration",
    says: "calibration belongs to activations Static; remove it, or change activations",
  },
  {
    what: "a percentile that is not used",
    kind: "OptimizationJob",
    spec: {
      dataset: { train: csv, test: csv },
      methods: [{ quantize: { weights: "Int8", activations: "Static", calibration: { percentile: 99 } } }],
    },
    field: "spec.methods[0].quantize.calibration.percentile",
    says: "percentile belongs to method Percentile; remove it, or change method",
  },
  {
    what: "calibration without data",
    kind: "OptimizationJob",
    spec: { methods: [{ quantize: { weights: "Int8", activations: "Static" } }] },
    field: "spec.dataset",
    says: "quantize with activations Static needs dataset.calibration or dataset.train; set one of them",
  },
  {
    what: "data for a calibration that there is not",
    kind: "OptimizationJob",
    spec: { dataset: { calibration: csv, test: csv } },
    field: "spec.dataset.calibration",
    says: "nothing is calibrated; remove dataset.calibration, or set quantize.activations to Static",
  },
  {
    what: "two ways of pruning at once",
    kind: "OptimizationJob",
    spec: { methods: [{ prune: { structured: { sparsity: 0.5 }, magnitude: { sparsity: 0.5 } } }] },
    field: "spec.methods[0].prune",
    says: "exactly one of structured, magnitude and pattern must be set; remove the others",
  },
  {
    what: "a pattern that keeps everything",
    kind: "OptimizationJob",
    spec: { methods: [{ prune: { pattern: { n: 4, m: 4 } } }] },
    field: "spec.methods[0].prune.pattern.n",
    says: "n must be below m; lower it",
  },
  {
    what: "weights that are sparser at first",
    kind: "OptimizationJob",
    spec: { methods: [{ prune: { magnitude: { sparsity: 0.5, initialSparsity: 0.6 } } }] },
    field: "spec.methods[0].prune.magnitude.initialSparsity",
    says: "initialSparsity must not be above sparsity; lower it",
  },
  {
    what: "a drop of accuracy above all",
    kind: "OptimizationJob",
    spec: { goals: { maxAccuracyDrop: 1.5 } },
    field: "spec.goals.maxAccuracyDrop",
  },
  {
    what: "an amount with a unit that is none",
    kind: "ModelDeployment",
    spec: { resources: { requests: { memory: "1GB" } } },
    field: "spec.resources.requests.memory",
  },
  {
    what: "a number of replicas as text",
    kind: "ModelDeployment",
    spec: { scaling: { replicas: "two" } },
    field: "spec.scaling.replicas",
  },
  {
    what: "a canary without steps",
    kind: "ModelDeployment",
    spec: { rollout: { strategy: "Canary" } },
    field: "spec.rollout.steps",
    says: "steps and strategy: Canary belong together",
  },
  {
    what: "steps that no strategy takes",
    kind: "ModelDeployment",
    spec: { rollout: { strategy: "Rolling", steps: [{ weight: 5, duration: "1m" }] } },
    field: "spec.rollout.steps",
    says: "steps and strategy: Canary belong together",
  },
  {
    what: "weights that fall",
    kind: "ModelDeployment",
    spec: { rollout: { strategy: "Canary", steps: [20, 10].map((weight) => ({ weight, duration: "1m" })) } },
    field: "spec.rollout.steps",
    says: "the weights of steps must not fall",
  },
  {
    what: "a step in which nothing happens",
    kind: "ModelDeployment",
    spec: { rollout: { strategy: "Canary", steps: [{ weight: 0, duration: "1m" }] } },
    field: "spec.rollout.steps",
    says: "a step with weight 0 needs shadow",
  },
  {
    what: "a shadow without a canary",
    kind: "ModelDeployment",
    spec: { rollout: { shadow: { percent: 10 } } },
    field: "spec.rollout.shadow",
    says: "shadow needs strategy: Canary",
  },
  {
    what: "drift of answers that nobody compares",
    kind: "ModelDeployment",
    spec: {
      rollout: {
        strategy: "Canary",
        steps: [{ weight: 5, duration: "1m" }],
        analysis: { maxPredictionDrift: 0.1 },
      },
    },
    field: "spec.rollout.analysis",
    says: "maxPredictionDrift needs shadow",
  },
  {
    what: "a ratio to a version that does not answer any more",
    kind: "ModelDeployment",
    spec: { rollout: { analysis: { maxLatencyRatio: 2 } } },
    field: "spec.rollout.analysis",
    says: "maxLatencyRatio needs strategy: Canary or Rolling",
  },
  {
    what: "an analysis with nothing to go back to",
    kind: "ModelDeployment",
    spec: { rollout: { strategy: "Recreate", analysis: {} } },
    field: "spec.rollout.analysis",
    says: "analysis does not go with strategy: Recreate",
  },
  {
    what: "an analysis without the time for it",
    kind: "ModelDeployment",
    spec: { rollout: { analysis: {}, keepPrevious: "0s" } },
    field: "spec.rollout.keepPrevious",
    says: "raise keepPrevious",
  },
  {
    what: "old pods kept by a strategy that keeps none",
    kind: "ModelDeployment",
    spec: { rollout: { strategy: "Rolling", keepPrevious: "1m" } },
    field: "spec.rollout.keepPrevious",
    says: "keepPrevious belongs to strategy: BlueGreen",
  },
  {
    what: "a timeout that nothing follows",
    kind: "ModelDeployment",
    spec: { gpu: { count: 1 }, rollout: { gpuWaitTimeout: "1m" } },
    field: "spec.rollout.gpuWaitTimeout",
    says: "gpuWaitTimeout precedes onNoSpareGpu",
  },
  {
    what: "room for GPUs that are not asked for",
    kind: "ModelDeployment",
    spec: { rollout: { onNoSpareGpu: "Swap" } },
    field: "spec.rollout.onNoSpareGpu",
    says: "rollout.onNoSpareGpu needs spec.gpu",
  },
  {
    what: "a swap where all is recreated anyway",
    kind: "ModelDeployment",
    spec: { gpu: { count: 1 }, rollout: { strategy: "Recreate", onNoSpareGpu: "Swap" } },
    field: "spec.rollout.onNoSpareGpu",
    says: "onNoSpareGpu does not go with strategy: Recreate",
  },
  {
    what: "no GPU at all",
    kind: "ModelDeployment",
    spec: { gpu: { count: 0 } },
    field: "spec.gpu.count",
  },
  {
    what: "an unknown effect of a taint",
    kind: "ModelDeployment",
    spec: { pod: { tolerations: [{ key: "gpu", effect: "NoStart" }] } },
    field: "spec.pod.tolerations[0].effect",
  },
  {
    what: "a ServiceAccount whose name cannot be",
    kind: "ModelDeployment",
    spec: { pod: { serviceAccountName: "My Robot" } },
    field: "spec.pod.serviceAccountName",
  },
  {
    what: "a model of a kind that makes none",
    kind: "ModelDeployment",
    spec: { model: { from: { kind: "Job", name: "digits" } } },
    field: "spec.model.from.kind",
  },
  { what: "an empty image", kind: "ModelDeployment", spec: { runtime: { image: "" } }, field: "spec.runtime.image" },
  { what: "no data", kind: "TrainingJob", spec: { dataset: {} }, field: "spec.dataset.train" },
  { what: "nowhere to write to", kind: "TrainingJob", spec: { output: {} }, field: "spec.output.uri" },
  { what: "an empty batch", kind: "TrainingJob", spec: { batchSize: 0 }, field: "spec.batchSize" },
  {
    what: "two optimizers",
    kind: "TrainingJob",
    spec: { optimizer: { adam: {}, sgd: {} } },
    field: "spec.optimizer",
  },
  {
    what: "an unknown activation",
    kind: "TrainingJob",
    spec: { model: { layers: [{ dense: { units: 1, activation: "step" } }] } },
    field: "spec.model.layers[0].dense.activation",
  },
  {
    what: "bounds of a number of pods that somebody else decides",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Manual", minReplicas: 1 } },
    field: "spec.scaling",
    says: "belong to mode Automatic; remove them, or set mode: Automatic",
  },
  {
    what: "scaling without an upper bound",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic" } },
    field: "spec.scaling",
    says: "mode Automatic needs maxReplicas: say how many pods there may be at most",
  },
  {
    what: "more pods at least than at most",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", minReplicas: 3, maxReplicas: 2 } },
    field: "spec.scaling",
    says: "minReplicas is above maxReplicas; raise maxReplicas or lower minReplicas",
  },
  {
    what: "zero pods whose cpu is measured",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", minReplicas: 0, maxReplicas: 2, metric: "Cpu" } },
    field: "spec.scaling",
    says: "metric Cpu and Memory cannot bring pods back from zero",
  },
  {
    what: "a panic window that the cluster's autoscaler lacks",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", maxReplicas: 2, metric: "Memory", panicWindow: "6s" } },
    field: "spec.scaling",
    says: "panicWindow and scaleToZeroAfter do not apply to metric Cpu and Memory; remove them",
  },
  {
    what: "half a percent of cpu",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", maxReplicas: 2, metric: "Cpu", target: 70.5 } },
    field: "spec.scaling",
    says: "target of metric Cpu and Memory is a whole percentage; remove the fraction",
  },
  {
    what: "a GPU that is busier than always",
    kind: "ModelDeployment",
    spec: { gpu: { count: 1 }, scaling: { mode: "Automatic", maxReplicas: 2, metric: "Gpu", target: 120 } },
    field: "spec.scaling",
    says: "target of metric Gpu is a percentage of the time; give at most 100",
  },
  {
    what: "the load of a GPU that pods lack",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", maxReplicas: 2, metric: "Gpu" } },
    field: "spec.scaling.metric",
    says: "scaling.metric Gpu needs spec.gpu; without a GPU choose Concurrency or QueueTime",
  },
  {
    what: "a time before zero where there is always a pod",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", maxReplicas: 2, scaleToZeroAfter: "1m" } },
    field: "spec.scaling",
    says: "scaleToZeroAfter needs minReplicas: 0",
  },
  {
    what: "a stable window of two hours",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", maxReplicas: 2, stableWindow: "2h" } },
    field: "spec.scaling",
    says: "stableWindow must be from 6s to 1h",
  },
  {
    what: "a panic window longer than the stable one",
    kind: "ModelDeployment",
    spec: { scaling: { mode: "Automatic", maxReplicas: 2, stableWindow: "10s", panicWindow: "20s" } },
    field: "spec.scaling",
    says: "panicWindow must be from 2s to the length of stableWindow (60s if unset)",
  },
  { what: "fewer tries than none", kind: "TrainingJob", spec: { backoffLimit: -1 }, field: "spec.backoffLimit" },
  {
    what: "two methods in one step",
    kind: "OptimizationJob",
    spec: { methods: [{ quantize: { weights: "Uint8" }, prune: { structured: { sparsity: 0.5 } } }] },
    field: "spec.methods[0]",
  },
  {
    what: "weights of a type that is not known",
    kind: "OptimizationJob",
    spec: { methods: [{ quantize: { weights: "Int3" } }] },
    field: "spec.methods[0].quantize.weights",
  },
  {
    what: "a network of zeros only",
    kind: "OptimizationJob",
    spec: { methods: [{ prune: { structured: { sparsity: 1 } } }] },
    field: "spec.methods[0].prune.structured.sparsity",
  },
];

export function wrongManifest({ kind, spec, name = "wrong" }: WrongManifest): Manifest {
  const make = RIGHT[kind];
  if (make === undefined) throw new Error(`${kind} is not a kind of ours`);
  return make(spec, name);
}
