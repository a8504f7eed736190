/** Specs in which, together, every field of every CRD is set; and changes of fields that do not stand alone. */
import { digest } from "./objects.ts";

type Spec = Record<string, unknown>;

const csv = (name: string) => ({ format: "Csv", uri: `pvc://data/${name}.csv`, label: "digit", columns: ["a", "b"] });
const idx = (name: string) => ({
  format: "Idx",
  features: `pvc://data/${name}-images.idx`,
  labels: `pvc://data/${name}-labels.idx`,
});

const POD = {
  labels: { team: "vision" },
  annotations: { note: "one" },
  nodeSelector: { zone: "a" },
  tolerations: [
    { key: "reserved", operator: "Equal", value: "ml", effect: "NoSchedule" },
    { key: "spot", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 },
  ],
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }] }],
      },
    },
  },
  priorityClassName: "batch",
  serviceAccountName: "trainer",
  runtimeClassName: "nvidia",
  schedulerName: "other-scheduler",
  imagePullSecrets: [{ name: "registry" }],
  env: [{ name: "TZ", value: "UTC" }],
};

const PLATFORM = {
  runtime: { image: "registry.example/runtime:7", engine: "TensorFlow" },
  gpu: { count: 1, resourceName: "nvidia.com/gpu", products: ["NVIDIA-H200"], onMissing: "Fail" },
  resources: { requests: { cpu: "2", memory: "1Gi" }, limits: { cpu: "4", memory: "2Gi" } },
  pod: POD,
  suspend: false,
};
const CLAIMED = { gpu: { resourceClaimTemplateName: "one-gpu", onMissing: "Fail" } };
const LIMITS = { activeDeadlineSeconds: 600, backoffLimit: 2, ttlSecondsAfterFinished: 60 };

const TRAINING: Spec = {
  dataset: { train: csv("train"), validation: { split: 0.1 }, test: csv("test") },
  preprocessing: [
    { rescale: { scale: 0.5, offset: 1 } },
    { reshape: { shape: [8, 8, 1] } },
    { oneHot: { classes: 10 } },
  ],
  model: {
    layers: [
      {
        conv2d: { filters: 4, kernelSize: [3, 3], strides: [1, 1], padding: "same", activation: "relu", useBias: true },
      },
      { maxPooling2d: { poolSize: [2, 2], strides: [2, 2], padding: "valid" } },
      { flatten: {} },
      { dropout: { rate: 0.25 } },
      { dense: { units: 10, activation: "softmax", useBias: true } },
    ],
  },
  loss: "categoricalCrossentropy",
  optimizer: { adam: { learningRate: 0.01, beta1: 0.8, beta2: 0.9, epsilon: 1e-6 } },
  metrics: ["accuracy"],
  epochs: 3,
  batchSize: 16,
  seed: 1,
  output: { uri: "pvc://models/digits", licence: "Apache-2.0" },
  checkpoint: { everyEpochs: 2, keep: 3 },
  ...PLATFORM,
  ...LIMITS,
};

const OPTIMIZATION: Spec = {
  model: { uri: "pvc://models/digits/one", digest: digest("1") },
  dataset: { train: csv("train"), test: csv("test") },
  methods: [
    { prune: { structured: { sparsity: 0.5 }, fineTune: { epochs: 2, batchSize: 16, learningRate: 0.01 } } },
    { quantize: { weights: "Uint8" } },
  ],
  goals: { maxAccuracyDrop: 0.02, minSizeRatio: 2, minSpeedup: 1.5, onMiss: "Fail" },
  seed: 1,
  output: { uri: "pvc://models/small", licence: "Apache-2.0" },
  ...PLATFORM,
  ...LIMITS,
};

const DEPLOYMENT: Spec = {
  model: { uri: "pvc://models/digits/one", digest: digest("1") },
  ...PLATFORM,
  scaling: { mode: "Manual", replicas: 2 },
  rollout: { progressDeadline: "5m", revisionHistoryLimit: 3 },
};

const AUTOMATIC = { mode: "Automatic", minReplicas: 2, maxReplicas: 4 };
const BY_CLUSTER = {
  ...AUTOMATIC,
  metric: "Cpu",
  target: 60,
  stableWindow: "90s",
  maxScaleUpRate: 4,
  maxScaleDownRate: 3,
};

const FROM = { from: { kind: "TrainingJob", name: "source" } };

/** By plural; later ones set what earlier ones cannot. */
export const SPECS: Record<string, Spec[]> = {
  trainingjobs: [
    TRAINING,
    {
      ...TRAINING,
      ...CLAIMED,
      dataset: { train: idx("train"), validation: csv("check"), test: idx("test") },
      optimizer: { sgd: { learningRate: 0.01, momentum: 0.5, nesterov: true } },
      checkpoint: { everySteps: 50, keep: 3 },
    },
    { ...TRAINING, dataset: { train: idx("train"), validation: idx("check"), test: idx("test") } },
  ],
  optimizationjobs: [
    OPTIMIZATION,
    { ...OPTIMIZATION, ...CLAIMED, model: FROM, dataset: { train: idx("train"), test: idx("test") } },
  ],
  modeldeployments: [
    DEPLOYMENT,
    { ...DEPLOYMENT, ...CLAIMED, model: FROM },
    { ...DEPLOYMENT, scaling: BY_CLUSTER },
    { ...DEPLOYMENT, scaling: { ...AUTOMATIC, minReplicas: 0, panicWindow: "6s", scaleToZeroAfter: "2m" } },
  ],
};

/** Fields whose change takes another field with it: the whole of what is replaced. */
export const CHANGES: Record<string, (spec: Spec) => void> = {
  loss: (spec) => Object.assign(spec, { loss: "meanSquaredError" }),
  "pod.tolerations[].operator": (spec) => setPod(spec, { tolerations: [{ key: "reserved", operator: "Exists" }] }),
  "pod.affinity": (spec) => setPod(spec, { affinity: { podAntiAffinity: {} } }),
  "scaling.mode": (spec) => Object.assign(spec, { scaling: { ...AUTOMATIC, minReplicas: 1 } }),
  "model.layers[].flatten": (spec) => {
    const { layers } = spec["model"] as { layers: unknown[] };
    layers.splice(2, 1);
  },
  "dataset.train.format": (spec) => setDataset(spec, { train: idx("train") }),
  "dataset.test.format": (spec) => setDataset(spec, { test: idx("test") }),
  "dataset.validation.format": (spec) => setDataset(spec, { validation: idx("check") }),
};

function setPod(spec: Spec, changes: Spec): void {
  spec["pod"] = { ...(spec["pod"] as Spec), ...changes };
}

function setDataset(spec: Spec, changes: Spec): void {
  spec["dataset"] = { ...(spec["dataset"] as Spec), ...changes };
}
