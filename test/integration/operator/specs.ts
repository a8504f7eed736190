/** Specs in which, together, every field of every CRD is set; and changes of fields that do not stand alone. */
import { digest } from "./objects.ts";

type Spec = Record<string, unknown>;

const csv = (name: string) => ({
  format: "Csv",
  uri: `pvc://data/${name}.csv`,
  label: "digit",
  columns: ["a", "b"],
  weight: "share",
});
const idx = (name: string) => ({
  format: "Idx",
  features: `pvc://data/${name}-images.idx`,
  labels: `pvc://data/${name}-labels.idx`,
  weights: `pvc://data/${name}-weights.idx`,
});

const images = (name: string) => ({
  format: "ImageFolder",
  uri: `pvc://data/${name}`,
  image: { width: 8, height: 8, channels: 1 },
});
const inColour = (name: string) => ({ ...images(name), image: { width: 8, height: 8, channels: 3 } });
const REMOTE = {
  credentials: { secretName: "store" },
  endpoint: "https://store.example",
  region: "eu-1",
  caBundle: { configMapName: "authorities" },
};
const remote = (name: string) => ({ ...csv(name), uri: `s3://data/${name}.csv`, ...REMOTE });

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

const LEARNED = [{ standardize: {} }, { minMax: {} }, { oneHot: { classes: 10 } }];

const KERNEL = { kernelSize: [3, 3], strides: [1, 1], padding: "same", activation: "relu", useBias: true };

const SIMPLE_RNN = { units: 4, returnSequences: true, activation: "relu" };

/** Each layer that TRAINING has not. */
const LAYERS = [
  { separableConv2d: { filters: 4, ...KERNEL } },
  { depthwiseConv2d: { depthMultiplier: 2, ...KERNEL } },
  { conv2dTranspose: { filters: 4, ...KERNEL } },
  { averagePooling2d: { poolSize: [2, 2], strides: [2, 2], padding: "valid" } },
  { zeroPadding2d: { padding: [1, 1] } },
  { upSampling2d: { size: [2, 2] } },
  { batchNormalization: { momentum: 0.9, epsilon: 0.01 } },
  { layerNormalization: { epsilon: 0.01 } },
  { activation: { activation: "relu" } },
  { leakyReLU: { alpha: 0.1 } },
  { reshape: { shape: [16, 4] } },
  { conv1d: { filters: 4, kernelSize: 3, strides: 1, padding: "same", activation: "relu", useBias: true } },
  { maxPooling1d: { poolSize: 2, strides: 2, padding: "valid" } },
  { averagePooling1d: { poolSize: 2, strides: 2, padding: "valid" } },
  { lstm: { units: 4, returnSequences: true } },
  { gru: { units: 4, returnSequences: true } },
  { bidirectional: { layer: { lstm: { units: 4, returnSequences: true } }, mergeMode: "concat" } },
  { bidirectional: { layer: { gru: { units: 4, returnSequences: true } }, mergeMode: "concat" } },
  { bidirectional: { layer: { simpleRnn: { ...SIMPLE_RNN } }, mergeMode: "concat" } },
  { simpleRnn: { ...SIMPLE_RNN } },
  { cropping2d: { cropping: [1, 1] } },
  { permute: { dims: [2, 1] } },
  { repeatVector: { n: 3 } },
  { timeDistributed: { dense: { units: 10, activation: "relu", useBias: true } } },
  { gaussianNoise: { stddev: 0.1 } },
  { gaussianDropout: { rate: 0.1 } },
  { alphaDropout: { rate: 0.1 } },
  { embedding: { inputDim: 10, outputDim: 4 } },
  { globalMaxPooling1d: {} },
  { globalMaxPooling2d: {} },
  { globalAveragePooling1d: {} },
  { globalAveragePooling2d: {} },
  { dense: { units: 10, activation: "softmax" } },
];

/** Takes the layers of this kind out. */
function removeLayers(layers: object[], kind: string): void {
  const kept = layers.filter((layer) => !(kind in layer));
  layers.splice(0, layers.length, ...kept);
}

const modelLayers = (spec: Spec) => (spec["model"] as { layers: object[] }).layers;

function studentLayers(spec: Spec): object[] {
  const [{ distil }] = spec["methods"] as [{ distil: { student: { layers: object[] } } }];
  return distil.student.layers;
}

/** Layers without settings: they are there, or not. */
const BARE = [
  "flatten",
  "globalMaxPooling1d",
  "globalMaxPooling2d",
  "globalAveragePooling1d",
  "globalAveragePooling2d",
];

const BARE_CHANGES = Object.fromEntries(
  BARE.flatMap((kind) => [
    [`model.layers[].${kind}`, (spec: Spec) => removeLayers(modelLayers(spec), kind)],
    [`methods[].distil.student.layers[].${kind}`, (spec: Spec) => removeLayers(studentLayers(spec), kind)],
  ]),
);

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
  lossOptions: { labelSmoothing: 0.1 },
  weightDecay: 0.01,
  clipNorm: 1,
  gradientAccumulation: 2,
  movingAverage: { decay: 0.9 },
  classWeights: { "1": 2 },
  callbacks: {
    earlyStopping: {
      monitor: "val_loss",
      minDelta: 0.1,
      patience: 2,
      baseline: 0.5,
      startFromEpoch: 1,
      restoreBestWeights: false,
    },
    reduceLearningRateOnPlateau: {
      monitor: "val_loss",
      factor: 0.5,
      patience: 2,
      minDelta: 0.1,
      cooldown: 1,
      minLearningRate: 0.001,
    },
    terminateOnNaN: false,
  },
  ...PLATFORM,
  ...LIMITS,
};

const MOMENTS = { learningRate: 0.01, beta1: 0.8, beta2: 0.9 };

/** Each optimizer, with a schedule beside it. */
const UPDATES: Spec[] = [
  { optimizer: { sgd: { learningRate: 0.01, momentum: 0.5, nesterov: true } } },
  {
    optimizer: { rmsprop: { learningRate: 0.01, rho: 0.8, momentum: 0.5, epsilon: 1e-6, centered: true } },
    learningRateSchedule: { exponentialDecay: { decaySteps: 10, decayRate: 0.5, staircase: true } },
    clipValue: 1,
  },
  {
    optimizer: { adam: { ...MOMENTS, epsilon: 1e-6, amsgrad: true } },
    learningRateSchedule: { piecewiseConstantDecay: { boundaries: [10], values: [0.01] } },
    globalClipNorm: 1,
  },
  {
    optimizer: { adamw: { ...MOMENTS, epsilon: 1e-6, amsgrad: true, weightDecay: 0.01 } },
    learningRateSchedule: { polynomialDecay: { decaySteps: 10, endLearningRate: 0.01, power: 2, cycle: true } },
  },
  {
    optimizer: { adagrad: { learningRate: 0.01, initialAccumulator: 0.5, epsilon: 1e-6 } },
    learningRateSchedule: { inverseTimeDecay: { decaySteps: 10, decayRate: 0.5, staircase: true } },
  },
  {
    optimizer: { adadelta: { learningRate: 0.01, rho: 0.9, epsilon: 1e-6 } },
    learningRateSchedule: { cosineDecay: { decaySteps: 10, alpha: 0.1, warmupSteps: 5, warmupFrom: 0.001 } },
  },
  {
    optimizer: { adamax: { ...MOMENTS, epsilon: 1e-6 } },
    learningRateSchedule: {
      cosineDecayRestarts: { firstDecaySteps: 10, timeFactor: 3, rateFactor: 0.5, alpha: 0.1 },
    },
  },
  { optimizer: { nadam: { ...MOMENTS, epsilon: 1e-6 } } },
  { optimizer: { lion: MOMENTS }, loss: "huber", lossOptions: { delta: 2 } },
  { optimizer: { lion: MOMENTS }, loss: "sparseCategoricalCrossentropy", lossOptions: { fromLogits: true } },
];

function withUpdate(update: Spec): Spec {
  const { clipNorm: _, weightDecay: __, lossOptions: ___, callbacks: ____, ...rest } = TRAINING;
  return { ...rest, ...update };
}

const OPTIMIZATION: Spec = {
  model: { uri: "pvc://models/digits/one", digest: digest("1") },
  dataset: { train: csv("train"), calibration: csv("check"), test: csv("test") },
  methods: [
    {
      distil: {
        student: TRAINING["model"],
        temperature: 2,
        alpha: 0.7,
        epochs: 3,
        batchSize: 16,
        learningRate: 0.01,
      },
    },
    {
      prune: {
        structured: { sparsity: 0.5, criterion: "L1Norm" },
        fineTune: {
          epochs: 2,
          batchSize: 16,
          learningRate: 0.01,
          distillation: { temperature: 4, alpha: 0.4 },
        },
      },
    },
    {
      prune: {
        magnitude: {
          sparsity: 0.5,
          initialSparsity: 0.1,
          schedule: "Polynomial",
          power: 2,
          frequency: 10,
          endStep: 50,
        },
      },
    },
    { quantize: { weights: "Uint8" } },
    {
      quantize: {
        weights: "Int8",
        activations: "Static",
        calibration: { method: "Percentile", percentile: 99.9, examples: 100 },
      },
    },
  ],
  search: { timeBudget: "10m" },
  goals: {
    maxAccuracyDrop: 0.02,
    minAccuracy: 0.9,
    maxLossIncrease: 0.5,
    minSizeRatio: 2,
    maxBytes: "100Ki",
    minSpeedup: 1.5,
    maxLatencyMilliseconds: 5,
    minThroughputPerSecond: 10,
    onMiss: "Fail",
  },
  seed: 1,
  output: { uri: "pvc://models/small", licence: "Apache-2.0" },
  ...PLATFORM,
  ...LIMITS,
};

const DEPLOYMENT: Spec = {
  model: { uri: "pvc://models/digits/one", digest: digest("1") },
  ...PLATFORM,
  runtime: { ...PLATFORM.runtime, allowSavedModel: true },
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

const SERVING: Spec = {
  batching: { maxBatchSize: 16, maxDelay: "2ms", allowedSizes: [16, 32] },
  queue: { maxRequests: 64, timeout: "20s" },
  warmup: { requests: 2, sample: [1] },
  logging: { access: "All" },
  processing: {
    input: [
      { rescale: { scale: 0.5, offset: 1, input: "x" } },
      { normalize: { mean: [1], std: [2], input: "x" } },
      { image: { width: 8, height: 8, channels: 1, fit: "Cover", input: "x" } },
      { oneHot: { classes: 10, input: "x" } },
      { tokenize: { vocabulary: "words.txt", maxLength: 8, lowerCase: true, input: "x", maskInput: "mask" } },
    ],
    output: [{ labels: { file: "labels.txt" } }, { topK: 3 }, { threshold: 0.5 }],
  },
};
const NAMED_LABELS: Spec = { processing: { output: [{ labels: { names: ["a", "b"] } }] } };

const FROM = { from: { kind: "TrainingJob", name: "source" } };
const REMOTE_MODEL = { uri: "s3://models/digits", ...REMOTE };

/** By plural; later ones set what earlier ones cannot. */
export const SPECS: Record<string, Spec[]> = {
  trainingjobs: [
    TRAINING,
    {
      ...TRAINING,
      ...CLAIMED,
      dataset: { train: idx("train"), validation: csv("check"), test: idx("test") },
      checkpoint: { everySteps: 50, keep: 3 },
    },
    { ...TRAINING, dataset: { train: idx("train"), validation: idx("check"), test: idx("test") } },
    { ...TRAINING, workers: 2 },
    {
      ...TRAINING,
      privacy: { differentialPrivacy: { noiseMultiplier: 1.1, l2NormClip: 2, delta: 0.001, maxEpsilon: 8 } },
    },
    { ...TRAINING, preprocessing: LEARNED },
    {
      ...TRAINING,
      preprocessing: [{ oneHot: { classes: 10 } }],
      model: { base: { uri: "s3://models/one", digest: digest("1"), upTo: "a", freeze: ["a"], ...REMOTE } },
    },
    { ...TRAINING, model: { layers: LAYERS } },
    { ...TRAINING, model: { topology: '{"class_name": "Sequential", "config": {"layers": []}}' } },
    { ...TRAINING, preprocessing: [{ oneHot: { classes: 10 } }], model: { base: FROM } },
    { ...TRAINING, dataset: { train: images("train"), validation: images("check"), test: images("test") } },
    { ...TRAINING, dataset: { train: remote("train"), validation: remote("check"), test: remote("test") } },
    { ...TRAINING, output: { uri: "s3://models/digits", ...REMOTE } },
    ...UPDATES.map(withUpdate),
  ],
  optimizationjobs: [
    OPTIMIZATION,
    { ...OPTIMIZATION, output: { uri: "s3://models/small", ...REMOTE } },
    {
      ...OPTIMIZATION,
      ...CLAIMED,
      model: FROM,
      dataset: { train: idx("train"), calibration: idx("check"), test: idx("test") },
      methods: [
        { distil: { student: { scale: 0.5 }, epochs: 2 } },
        { prune: { pattern: { n: 2, m: 4 } } },
        { quantize: { weights: "Int8", activations: "Static" } },
      ],
    },
    {
      ...OPTIMIZATION,
      model: REMOTE_MODEL,
      dataset: { train: remote("train"), calibration: remote("check"), test: remote("test") },
    },
    {
      ...OPTIMIZATION,
      dataset: { train: csv("train"), test: csv("test") },
      methods: [{ distil: { student: { layers: LAYERS }, epochs: 2 } }],
    },
    { ...OPTIMIZATION, dataset: { train: images("train"), calibration: images("check"), test: images("test") } },
  ],
  modeldeployments: [
    DEPLOYMENT,
    { ...DEPLOYMENT, ...CLAIMED, model: FROM },
    { ...DEPLOYMENT, model: REMOTE_MODEL },
    { ...DEPLOYMENT, scaling: BY_CLUSTER },
    { ...DEPLOYMENT, ...SERVING },
    { ...DEPLOYMENT, ...NAMED_LABELS },
    { ...DEPLOYMENT, scaling: { ...AUTOMATIC, minReplicas: 0, panicWindow: "6s", scaleToZeroAfter: "2m" } },
  ],
};

/** Fields whose change takes another field with it: the whole of what is replaced. */
export const CHANGES: Record<string, (spec: Spec) => void> = {
  loss: (spec) => Object.assign(spec, { loss: "meanSquaredError", lossOptions: undefined }),
  "callbacks.earlyStopping.monitor": (spec) => setCallback(spec, "earlyStopping", { monitor: "loss" }),
  "callbacks.reduceLearningRateOnPlateau.monitor": (spec) =>
    setCallback(spec, "reduceLearningRateOnPlateau", { monitor: "loss" }),
  "pod.tolerations[].operator": (spec) => setPod(spec, { tolerations: [{ key: "reserved", operator: "Exists" }] }),
  "pod.affinity": (spec) => setPod(spec, { affinity: { podAntiAffinity: {} } }),
  "warmup.sample": (spec) => Object.assign(spec, { warmup: { requests: 2, sample: [2] } }),
  "scaling.mode": (spec) => Object.assign(spec, { scaling: { ...AUTOMATIC, minReplicas: 1 } }),
  ...BARE_CHANGES,
  "preprocessing[].standardize": (spec) => Object.assign(spec, { preprocessing: LEARNED.slice(1) }),
  "preprocessing[].minMax": (spec) => Object.assign(spec, { preprocessing: [LEARNED[0], LEARNED[2]] }),
  "methods[].quantize.activations": (spec) => {
    setQuantize(spec, { activations: "Dynamic" });
    setDataset(spec, { calibration: undefined });
  },
  "methods[].quantize.calibration.method": (spec) =>
    setQuantize(spec, { activations: "Static", calibration: { method: "Entropy" } }),
  "methods[].quantize.calibration.percentile": (spec) =>
    setQuantize(spec, { activations: "Static", calibration: { method: "Percentile", percentile: 99 } }),
  "dataset.train.image.channels": (spec) => setDataset(spec, { train: inColour("train") }),
  "dataset.test.image.channels": (spec) => setDataset(spec, { test: inColour("test") }),
  "dataset.calibration.image.channels": (spec) => setDataset(spec, { calibration: inColour("check") }),
  "dataset.validation.image.channels": (spec) => setDataset(spec, { validation: inColour("check") }),
  "dataset.train.format": (spec) => setDataset(spec, { train: idx("train") }),
  "dataset.test.format": (spec) => setDataset(spec, { test: idx("test") }),
  "dataset.calibration.format": (spec) => setDataset(spec, { calibration: idx("check") }),
  "dataset.validation.format": (spec) => setDataset(spec, { validation: idx("check") }),
};

function setCallback(spec: Spec, name: string, changes: Spec): void {
  const callbacks = spec["callbacks"] as Spec;
  spec["callbacks"] = { ...callbacks, [name]: { ...(callbacks[name] as Spec), ...changes } };
}

function setPod(spec: Spec, changes: Spec): void {
  spec["pod"] = { ...(spec["pod"] as Spec), ...changes };
}

/** Of the last method. */
function setQuantize(spec: Spec, changes: Spec): void {
  const methods = spec["methods"] as Spec[];
  spec["methods"] = [...methods.slice(0, -1), { quantize: { weights: "Int8", ...changes } }];
}

function setDataset(spec: Spec, changes: Spec): void {
  spec["dataset"] = { ...(spec["dataset"] as Spec), ...changes };
}
