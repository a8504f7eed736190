import "../engine/test-realm.ts";
import type { LayersModel, layers } from "@tensorflow/tfjs";
import { Loss } from "../../crds/objective.ts";
import { Optimizer, type Update } from "../../crds/optimizer.ts";
import { batchesOf } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { registerLayers } from "../formats/layers/register.ts";
import { compileStep } from "./compiled-step.ts";
import type { CompiledStepOptions } from "./compiled-training.ts";
import type { Objective } from "./objective.ts";
import { opByOpStep } from "./op-by-op-step.ts";
import type { LocalStep, TrainStep } from "./train-step.ts";

let tf: Tf;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
  registerLayers(tf);
});

const random = new Random(7, "compiled step");
const normal = (count: number) => Float32Array.from({ length: count }, () => random.next() / 2 ** 31 - 1);

function examples(exampleShape: number[], count = 12, classes = 3): Dataset {
  const size = exampleShape.reduce((all, one) => all * one, 1);
  const labels = Float32Array.from({ length: count }, (_, index) => index % classes);
  return { features: normal(size * count), labels, exampleShape, count, source: "random numbers" };
}

const CLASSES: Objective = { loss: "sparseCategoricalCrossentropy", metrics: ["accuracy"] };

/** Gives every weight other numbers, so that none is zero or one. */
function scatter(model: LayersModel): LayersModel {
  for (const weight of model.weights) {
    const shift = weight.originalName.includes("variance") ? 1.5 : 0;
    const values = normal(weight.shape.reduce<number>((all, one) => all * (one ?? 1), 1)).map(
      (one) => one * 0.4 + shift,
    );
    weight.write(tf.tensor(values, weight.shape as number[]));
  }
  return model;
}

function chain(shape: number[], ...hidden: layers.Layer[]): LayersModel {
  const model = tf.sequential();
  model.add(tf.layers.inputLayer({ inputShape: shape }));
  for (const layer of hidden) model.add(layer);
  const rank = model.outputs[0]?.shape.length ?? 2;
  if (rank > 2) model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ units: 3, activation: "softmax" }));
  return scatter(model);
}

type Steps = Record<"compiled" | "interpreted", { state: Float32Array[]; values: Record<string, number>[] }>;

/** State and values after `count` steps of either kind from the same start. */
async function bothWays(options: CompiledStepOptions, count: number, size = 4): Promise<Steps> {
  const interpreted = opByOpStep(tf, options);
  const { step: compiled, notCompiled } = await compileStep(tf, options);
  if (compiled === undefined) throw new Error(JSON.stringify(notCompiled));
  const run = (step: LocalStep) => {
    const batches = [...batchesOf(options.examples, size)];
    const values = Array.from({ length: count }, (_, index) => {
      const batch = batches[index % batches.length];
      if (batch === undefined) throw new RangeError("there are no examples");
      return step.run(batch, index);
    });
    return { state: step.read(), values };
  };
  const results = { compiled: run(compiled), interpreted: run(interpreted) };
  compiled.dispose();
  interpreted.dispose();
  return results;
}

const largest = (a: Float32Array[], b: Float32Array[]) =>
  Math.max(
    ...a.flatMap((values, index) =>
      Array.from(values, (value, at) => Math.abs(value - (b[index]?.[at] ?? NaN)) / Math.max(1, Math.abs(value))),
    ),
  );

const SGD: Update["optimizer"] = Optimizer.parse({ sgd: { learningRate: 0.1 } });

/** The layer of the class `name`, of tfjs or ours, with its configuration. */
function made(name: string, config: Record<string, unknown> = {}): layers.Layer {
  // The registry of tfjs, which its types do not show.
  const map = (tf.serialization as unknown as SerializationMap).SerializationMap.getMap().classNameMap;
  const found = map[name];
  if (found === undefined) throw new Error(`there is no layer ${name}`);
  const [Class, fromConfig] = found;
  return fromConfig(Class, config) as layers.Layer;
}

/** What tfjs knows by name, which its types leave out. */
interface SerializationMap {
  SerializationMap: {
    getMap(): { classNameMap: Record<string, [unknown, (Class: unknown, config: object) => unknown]> };
  };
}

const IMAGE = [6, 6, 4];
const STEPS = [5, 4];
const ROW = [6];

type Case = [name: string, shape: number[], config: Record<string, unknown>];

const activations = [
  "linear",
  "relu",
  "relu6",
  "elu",
  "selu",
  "celu",
  "sigmoid",
  "hardSigmoid",
  "hardSigmoidByThree",
  "swish",
  "hardSilu",
  "gelu",
  "softplus",
  "softsign",
  "tanh",
  "hardTanh",
  "tanhShrink",
  "softShrink",
  "hardShrink",
  "sparsePlus",
  "sparseSigmoid",
  "squareplus",
  "softmax",
  "logSoftmax",
  "logSigmoid",
  "exponential",
  "leakyRelu",
  "mish",
];

const window = { kernelSize: 3, filters: 4 };

/** Layers by their class and configuration, before a dense layer. */
const LAYERS: Case[] = [
  ["Dense", ROW, { units: 4, activation: "relu" }],
  ["Dense", STEPS, { units: 4, useBias: false }],
  ...activations.map((activation): Case => ["Activation", ROW, { activation }]),
  ["ReLU", ROW, { maxValue: 0.4 }],
  ["SlopedReLU", ROW, { negativeSlope: 0.1, threshold: 0.2, maxValue: 0.5 }],
  ["PReLU", ROW, {}],
  ["LeakyReLU", ROW, { alpha: 0.2 }],
  ["ELU", ROW, {}],
  ["ScaledELU", ROW, { alpha: 0.5 }],
  ["ThresholdedReLU", ROW, { theta: 0.2 }],
  ["Softmax", ROW, {}],
  ["AxisSoftmax", STEPS, { axis: 1 }],
  ["Rescaling", ROW, { scale: 0.5, offset: 1 }],
  ["Identity", ROW, {}],
  ["Reshape", [6], { targetShape: [2, 3] }],
  ["Permute", STEPS, { dims: [2, 1] }],
  ["RepeatVector", ROW, { n: 3 }],
  ["ZeroPadding1D", STEPS, { padding: 1 }],
  [
    "ZeroPadding2D",
    IMAGE,
    {
      padding: [
        [1, 2],
        [0, 1],
      ],
    },
  ],
  ["Cropping1D", STEPS, { cropping: 1 }],
  [
    "Cropping2D",
    IMAGE,
    {
      cropping: [
        [1, 1],
        [0, 2],
      ],
    },
  ],
  ["UpSampling1D", STEPS, { size: 2 }],
  ["UpSampling2D", [3, 3, 2], { size: [2, 2] }],
  ["BilinearUpSampling2D", [3, 3, 2], { size: [2, 2] }],
  ["CenteredResizing", IMAGE, { height: 4, width: 4 }],
  ["ExactCenterCrop", IMAGE, { height: 4, width: 3 }],
  ["Conv1D", STEPS, { ...window, padding: "same" }],
  ["Conv2D", IMAGE, { ...window, strides: [2, 2], padding: "same", activation: "relu" }],
  ["Conv3D", [4, 4, 4, 2], { kernelSize: 2, filters: 2 }],
  ["GroupedConv2D", IMAGE, { ...window, groups: 2 }],
  ["Conv1DTranspose", STEPS, { ...window, strides: 2, padding: "same" }],
  ["Conv2DTranspose", [3, 3, 2], { ...window, strides: [2, 2], padding: "same" }],
  ["DepthwiseConv1D", STEPS, { kernelSize: 3, depthMultiplier: 2 }],
  ["DepthwiseConv2D", IMAGE, { kernelSize: 3, depthMultiplier: 2, padding: "same" }],
  ["SeparableConv1D", STEPS, { ...window }],
  ["SeparableConv2D", IMAGE, { ...window }],
  ["MaxPooling1D", STEPS, { poolSize: 2 }],
  ["MaxPooling2D", IMAGE, { poolSize: [2, 2] }],
  ["MaxPooling3D", [4, 4, 4, 2], { poolSize: [2, 2, 2] }],
  ["AveragePooling1D", STEPS, { poolSize: 2 }],
  ["AveragePooling2D", IMAGE, { poolSize: [2, 2], strides: [1, 1], padding: "same" }],
  ["AveragePooling3D", [4, 4, 4, 2], { poolSize: [2, 2, 2] }],
  ["GlobalMaxPooling1D", STEPS, {}],
  ["GlobalAveragePooling1D", STEPS, {}],
  ["GlobalMaxPooling2D", IMAGE, { dataFormat: "channelsLast" }],
  ["GlobalAveragePooling2D", IMAGE, { dataFormat: "channelsLast" }],
  ["BatchNormalization", ROW, {}],
  ["BatchNormalization", IMAGE, {}],
  ["LayerNormalization", STEPS, {}],
  ["GroupNormalization", IMAGE, { groups: 2 }],
  ["RMSNormalization", STEPS, {}],
  ["UnitNormalization", STEPS, {}],
  ["Normalization", ROW, { mean: 0.2, variance: 2 }],
  ["SimpleRNN", STEPS, { units: 3 }],
  ["LSTM", STEPS, { units: 3, recurrentActivation: "sigmoid" }],
  ["LSTM", STEPS, { units: 3, recurrentActivation: "sigmoid", returnSequences: true, goBackwards: true }],
  ["LSTM", STEPS, { units: 3, recurrentActivation: "hardSigmoid" }],
  ["GRU", STEPS, { units: 3, recurrentActivation: "sigmoid" }],
  ["GRUResetAfter", STEPS, { units: 3, activation: "tanh", recurrentActivation: "sigmoid" }],
  ["EinsumDense", STEPS, { equation: "abc,cd->abd", outputShape: [null, 3], biasAxes: "d" }],
];

it.each(LAYERS)("%s of %j learns in a graph what it learns operation by operation: %j", async (name, shape, config) => {
  const model = chain(shape, made(name, config));
  const options = { model, objective: CLASSES, seed: 3, optimizer: SGD, examples: examples(shape) };
  const { compiled, interpreted } = await bothWays(options, 1);
  expect(largest(compiled.state, interpreted.state)).toBeLessThanOrEqual(1e-5);
  expect(compiled.values[0]?.["loss"]).toBeCloseTo(interpreted.values[0]?.["loss"] ?? NaN, 5);
});

const PLAIN = () => chain(ROW, tf.layers.dense({ units: 5, activation: "tanh" }));

/** Learning rates at which no rule leaves the range where float32 rounds finely. */
const UPDATES: [name: string, update: Update][] = [
  ["sgd", { optimizer: SGD }],
  ["momentum", { optimizer: Optimizer.parse({ sgd: { momentum: 0.9 } }) }],
  ["nesterov", { optimizer: Optimizer.parse({ sgd: { momentum: 0.9, nesterov: true } }) }],
  ["rmsprop", { optimizer: Optimizer.parse({ rmsprop: {} }) }],
  ["centered rmsprop", { optimizer: Optimizer.parse({ rmsprop: { centered: true, momentum: 0.5, epsilon: 1e-3 } }) }],
  ["adam", { optimizer: Optimizer.parse({ adam: {} }) }],
  ["amsgrad", { optimizer: Optimizer.parse({ adam: { amsgrad: true } }) }],
  ["adamw", { optimizer: Optimizer.parse({ adamw: {} }) }],
  ["adagrad", { optimizer: Optimizer.parse({ adagrad: {} }) }],
  ["adadelta", { optimizer: Optimizer.parse({ adadelta: {} }) }],
  ["adamax", { optimizer: Optimizer.parse({ adamax: {} }) }],
  ["nadam", { optimizer: Optimizer.parse({ nadam: {} }) }],
  ["lion", { optimizer: Optimizer.parse({ lion: {} }) }],
  ["weight decay", { optimizer: SGD, weightDecay: 0.1 }],
  ["clipped norms", { optimizer: SGD, clipNorm: 0.1 }],
  ["clipped values", { optimizer: SGD, clipValue: 0.05 }],
  ["a clipped global norm", { optimizer: SGD, globalClipNorm: 0.1 }],
  ["sums of gradients", { optimizer: SGD, gradientAccumulation: 2 }],
  ["a moving average", { optimizer: SGD, movingAverage: { decay: 0.9 } }],
];

it.each(UPDATES)(
  "weights change by %s as they do operation by operation, and so does its memory",
  async (_, update) => {
    const options = { ...update, model: PLAIN(), objective: CLASSES, seed: 3, examples: examples(ROW) };
    const { compiled, interpreted } = await bothWays(options, 4);
    expect(compiled.state.length).toBe(interpreted.state.length);
    expect(largest(compiled.state, interpreted.state)).toBeLessThanOrEqual(1e-5);
  },
);

const LOSSES = Loss.options.filter((loss) => !loss.endsWith("ategoricalCrossentropy"));

it.each(LOSSES)("loss %s is learned by as it is operation by operation", async (loss) => {
  const model = tf.sequential();
  model.add(tf.layers.dense({ units: 4, activation: "relu", inputShape: ROW }));
  model.add(tf.layers.dense({ units: 2, activation: "sigmoid" }));
  const data = {
    ...examples(ROW),
    labels: Float32Array.from({ length: 24 }, (_, index) => index % 2),
    labelShape: [2],
  };
  const objective: Objective = { loss, metrics: ["meanSquaredError", "meanAbsoluteError"] };
  const options = { model: scatter(model), objective, seed: 3, optimizer: SGD, examples: data };
  const { compiled, interpreted } = await bothWays(options, 2);
  expect(largest(compiled.state, interpreted.state)).toBeLessThanOrEqual(1e-5);
  for (const [name, value] of Object.entries(interpreted.values[1] ?? {})) {
    expect(compiled.values[1]?.[name]).toBeCloseTo(value, 4);
  }
});

it.each([{ fromLogits: true }, { labelSmoothing: 0.1 }, {}])(
  "crossentropy of one-hot labels with %j",
  async (lossOptions) => {
    const model = tf.sequential();
    const activation = "fromLogits" in lossOptions ? "linear" : "softmax";
    model.add(tf.layers.dense({ units: 3, activation, inputShape: ROW }));
    const objective: Objective = { loss: "categoricalCrossentropy", lossOptions, metrics: [], oneHotClasses: 3 };
    const options = { model: scatter(model), objective, seed: 3, optimizer: SGD, examples: examples(ROW) };
    const { compiled, interpreted } = await bothWays(options, 2);
    expect(largest(compiled.state, interpreted.state)).toBeLessThanOrEqual(1e-5);
  },
);

it("examples with weights, and penalties on weights, count as they do operation by operation", async () => {
  const kernelRegularizer = tf.regularizers.l1l2({ l1: 0.01, l2: 0.02 });
  const model = chain(ROW, tf.layers.dense({ units: 5, activation: "tanh", kernelRegularizer }));
  const weights = Float32Array.from({ length: 12 }, (_, index) => 0.5 + (index % 3));
  const options = { model, objective: CLASSES, seed: 3, optimizer: SGD, examples: { ...examples(ROW), weights } };
  const { compiled, interpreted } = await bothWays(options, 3);
  expect(largest(compiled.state, interpreted.state)).toBeLessThanOrEqual(1e-5);
  expect(compiled.values[2]?.["loss"]).toBeCloseTo(interpreted.values[2]?.["loss"] ?? NaN, 5);
});

it("a layer whose training is not compiled is named with the reason", async () => {
  const model = chain(ROW, tf.layers.gaussianNoise({ name: "noise", stddev: 0.1 }));
  const options = { model, objective: CLASSES, seed: 3, optimizer: SGD, examples: examples(ROW) };
  expect(await compileStep(tf, options)).toEqual({
    notCompiled: {
      layer: "noise",
      className: "GaussianNoise",
      reason: "the compiler lacks this class of layer in training",
    },
  });
});

const rowsOf = (step: number) => Uint32Array.from({ length: 8 }, (_, index) => (step * 8 + index * 5) % 64);

async function compiled(given: CompiledStepOptions): Promise<TrainStep & Required<Pick<TrainStep, "several">>> {
  const { step } = await compileStep(tf, given);
  if (step?.several === undefined) throw new Error("it is not compiled for several steps");
  return step as TrainStep & Required<Pick<TrainStep, "several">>;
}

describe("Several steps in one call", () => {
  const ADAM = Optimizer.parse({ adam: {} });

  /** A model that draws, so that a wrong seed would be seen. */
  const options = () => ({
    model: chain(ROW, tf.layers.dense({ units: 5 }), tf.layers.dropout({ rate: 0.3 })),
    objective: CLASSES,
    seed: 3,
    optimizer: ADAM,
    examples: examples(ROW, 64),
  });

  it("end with the bits that single steps end with", async () => {
    const given = options();
    const [together, single] = [await compiled(given), await compiled(given)];
    const rows = Array.from({ length: together.several.count }, (_, step) => rowsOf(step));
    const values = together.several.run(rows, 0);
    const one = rows.flatMap((batch, step) => single.several.run([batch], step));
    expect(values).toEqual(one);
    expect(together.read()).toEqual(single.read());
    together.dispose();
    single.dispose();
  });

  it("go on with the same bits after the state was saved and put back", async () => {
    const given = options();
    const whole = await compiled(given);
    const rows = Array.from({ length: 6 }, (_, step) => rowsOf(step));
    rows.forEach((batch, step) => whole.several.run([batch], step));
    const first = await compiled(given);
    rows.slice(0, 3).forEach((batch, step) => first.several.run([batch], step));
    const saved = first.read();
    first.dispose();
    const second = await compiled(given);
    second.write(saved);
    rows.slice(3).forEach((batch, step) => second.several.run([batch], step + 3));
    expect(second.read()).toEqual(whole.read());
    expect(() => second.write(saved.slice(1))).toThrow("it is of another model");
    whole.dispose();
    second.dispose();
  });

  it("publish gives the model the trained weights", async () => {
    const given = options();
    const step = await compiled(given);
    step.several.run([rowsOf(0)], 0);
    step.publish();
    const weights = given.model.getWeights().map((weight) => Float32Array.from(weight.dataSync()));
    expect(weights).toEqual(step.read().slice(0, weights.length));
    step.dispose();
  });
});

it("dropout leaves out the declared share, scales the rest, and draws anew in each step", async () => {
  const model = tf.sequential();
  model.add(tf.layers.dropout({ rate: 0.25, inputShape: [400] }));
  model.add(tf.layers.dense({ units: 1, useBias: false, kernelInitializer: "ones" }));
  const data = { ...examples([400], 4), features: new Float32Array(1600).fill(1), labels: new Float32Array(4) };
  const objective: Objective = { loss: "meanAbsoluteError", metrics: [] };
  const still = Optimizer.parse({ sgd: { learningRate: 1e-9 } });
  const { step } = await compileStep(tf, { model, objective, seed: 3, optimizer: still, examples: data });
  const [batch] = [...batchesOf(data, 4)];
  if (step === undefined || batch === undefined) throw new Error("it is not compiled");
  const sums = [0, 1, 2].map((number) => step.run(batch, number)["loss"] ?? NaN);
  expect(new Set(sums).size).toBe(3);
  // The sum of 400 ones: three quarters of them, each 4/3. One standard deviation of the mean of four is 6.
  for (const sum of sums) expect(Math.abs(sum - 400)).toBeLessThan(40);
  expect(step.run(batch, 1)["loss"]).toBeCloseTo(sums[1] ?? NaN, 2);
  step.dispose();
});
