import "../engine/test-realm.ts";
import type { LayersModel, layers } from "@tensorflow/tfjs";
import { Optimizer, type Update } from "../../crds/optimizer.ts";
import { batchesOf } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { registerLayers } from "../formats/layers/register.ts";
import { type CompiledStepOptions, compileStep } from "./compiled-step.ts";
import type { Objective } from "./objective.ts";
import { opByOpStep } from "./op-by-op-step.ts";
import type { TrainStep } from "./train-step.ts";

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
  const run = (step: TrainStep) => {
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
  ["GroupedConv1D", STEPS, { ...window, padding: "causal", dilationRate: 2 }],
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
