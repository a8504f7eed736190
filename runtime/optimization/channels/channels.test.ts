/** Channels are removed from whole graphs of layers: what is left answers as if the removed ones had been silent. */
import "../../engine/test-realm.ts";
import type { LayersModel, SymbolicTensor, Tensor } from "@tensorflow/tfjs";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { type StoredModel, buildLayersModel, storeLayersModel } from "../../formats/tfjs-layers.ts";
import { type Analysis, analyse } from "./analysis.ts";
import { removeChannels } from "./removal.ts";
import { importance, leastImportant } from "./selection.ts";
import { type Weights, gather, weightsOf, withWeights } from "./weights.ts";

let tf: Tf;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
});

it("takes slices along any axis", () => {
  const weights = { shape: [2, 3], data: new Float32Array([1, 2, 3, 4, 5, 6]) };
  expect(gather(weights, 1, [0, 2])).toEqual({ shape: [2, 2], data: new Float32Array([1, 3, 4, 6]) });
  expect(gather(weights, 0, [1])).toEqual({ shape: [1, 3], data: new Float32Array([4, 5, 6]) });
});

type Apply = (tensor: SymbolicTensor) => SymbolicTensor;

const through = (layer: { apply: (input: SymbolicTensor) => unknown }): Apply => {
  return (tensor) => layer.apply(tensor) as SymbolicTensor;
};
const add = (...tensors: SymbolicTensor[]) => tf.layers.add().apply(tensors) as SymbolicTensor;
const concat = (...tensors: SymbolicTensor[]) => tf.layers.concatenate().apply(tensors) as SymbolicTensor;
const conv = (filters: number, more: object = {}): Apply =>
  through(tf.layers.conv2d({ filters, kernelSize: 3, padding: "same", activation: "relu", ...more }));
const dense = (units: number, more: object = {}): Apply =>
  through(tf.layers.dense({ units, activation: "relu", ...more }));
const norm = (): Apply => through(tf.layers.batchNormalization({ center: true }));
const pipe = (input: SymbolicTensor, ...steps: Apply[]) => steps.reduce((tensor, step) => step(tensor), input);
const flatten: Apply = (tensor) => tf.layers.flatten().apply(tensor) as SymbolicTensor;
const shaped = (...targetShape: number[]): Apply => through(tf.layers.reshape({ targetShape }));
const answer = (units = 3): Apply => dense(units, { activation: "linear" });

/** A model of images of 6 x 6 with two channels. */
function imageModel(build: (input: SymbolicTensor) => SymbolicTensor): LayersModel {
  const input = tf.input({ shape: [6, 6, 2] });
  return tf.model({ inputs: input, outputs: build(input) });
}

function sequenceModel(build: (input: SymbolicTensor) => SymbolicTensor): LayersModel {
  const input = tf.input({ shape: [5, 4] });
  return tf.model({ inputs: input, outputs: build(input) });
}

const GRAPHS: Record<string, () => LayersModel> = {
  "a chain through pooling and flatten": () =>
    imageModel((input) =>
      pipe(
        input,
        conv(8),
        conv(6, { useBias: false }),
        through(tf.layers.maxPooling2d({})),
        flatten,
        dense(10),
        answer(),
      ),
    ),
  "batch normalization": () =>
    imageModel((input) =>
      pipe(input, conv(8, { activation: "linear" }), norm(), through(tf.layers.reLU()), conv(4), flatten, answer()),
    ),
  "residual adds, which share their channels": () =>
    imageModel((input) => {
      const stem = pipe(input, conv(8));
      const first = add(stem, pipe(stem, conv(6), conv(8)));
      return pipe(add(first, pipe(first, conv(8))), flatten, answer());
    }),
  "concatenation, of unequal parts": () =>
    imageModel((input) => pipe(concat(pipe(input, conv(4)), pipe(input, conv(7)), input), conv(6), flatten, answer())),
  "depthwise layers that multiply": () =>
    imageModel((input) =>
      pipe(
        input,
        conv(6),
        through(tf.layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, activation: "relu" })),
        norm(),
        conv(5),
        through(tf.layers.globalAveragePooling2d({})),
        answer(),
      ),
    ),
  "separable and transposed convolutions": () =>
    imageModel((input) =>
      pipe(
        input,
        conv(6),
        through(tf.layers.separableConv2d({ filters: 8, kernelSize: 3, activation: "relu" })),
        through(tf.layers.conv2dTranspose({ filters: 4, kernelSize: 2, strides: 2, activation: "relu" })),
        flatten,
        answer(),
      ),
    ),
  "gates that multiply channels": () =>
    imageModel((input) => {
      const features = pipe(input, conv(8));
      const gate = pipe(features, through(tf.layers.globalAveragePooling2d({})), dense(4), dense(8), shaped(1, 1, 8));
      const gated = tf.layers.multiply().apply([features, gate]) as SymbolicTensor;
      return pipe(gated, flatten, answer());
    }),
  "reshape from flat to channels and back": () =>
    imageModel((input) => pipe(input, flatten, dense(16), shaped(2, 2, 4), conv(6), shaped(24), answer())),
  "models in models": () => {
    const inside = tf.input({ shape: [6, 6, 8] });
    const block = tf.model({ name: "block", inputs: inside, outputs: add(inside, pipe(inside, conv(5), conv(8))) });
    const head = tf.sequential({
      name: "head",
      layers: [tf.layers.flatten({ inputShape: [6, 6, 8] }), tf.layers.dense({ units: 6, activation: "relu" })],
    });
    return imageModel((input) => pipe(input, conv(8), through(block), through(head), answer()));
  },
  "a layer that is used twice": () =>
    imageModel((input) => {
      const shared = conv(8);
      return pipe(add(pipe(input, conv(8), shared), pipe(input, conv(8), shared)), flatten, answer());
    }),
  "recurrent layers": () =>
    sequenceModel((input) =>
      pipe(
        input,
        through(tf.layers.lstm({ units: 6, returnSequences: true })),
        through(tf.layers.gru({ units: 5, returnSequences: true })),
        through(tf.layers.simpleRNN({ units: 4 })),
        answer(),
      ),
    ),
  "one-dimensional convolutions and slopes that are learned": () =>
    sequenceModel((input) =>
      pipe(
        input,
        through(tf.layers.conv1d({ filters: 6, kernelSize: 2 })),
        through(tf.layers.prelu({ sharedAxes: [1] })),
        through(tf.layers.globalMaxPooling1d({})),
        dense(6),
        answer(),
      ),
    ),
  embeddings: () => {
    const input = tf.input({ shape: [5], dtype: "int32" });
    const embedded = tf.layers.embedding({ inputDim: 9, outputDim: 8 }).apply(input) as SymbolicTensor;
    const outputs = pipe(embedded, through(tf.layers.globalAveragePooling1d({})), dense(6), answer());
    return tf.model({ inputs: input, outputs });
  },
  "a layer that is left whole, and others that are not": () =>
    imageModel((input) =>
      pipe(input, conv(8), conv(6), through(tf.layers.layerNormalization()), conv(4), flatten, dense(6), answer()),
    ),
};

/** Weights that are all different from zero, the same in each run. */
function randomized(stored: StoredModel): StoredModel {
  let seed = 1;
  const next = () => {
    seed = (seed * 16_807) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const weights = [...weightsOf(stored)].map(([name, { shape, data }]): [string, Weights] => {
    const positive = name.includes("variance") || name.includes("gamma");
    return [name, { shape, data: data.map(() => (positive ? 0.5 + next() : next() - 0.5)) }];
  });
  return withWeights(stored, stored.topology, new Map(weights));
}

/** The same model, with every number that belongs to a removed channel set to zero. */
function silenced(stored: StoredModel, { labels, sites }: Analysis, removed: ReadonlySet<number>): StoredModel {
  const weights = new Map(
    [...weightsOf(stored)].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]),
  );
  for (const { weight, axis, labels: own } of sites) {
    const found = weights.get(weight);
    if (found === undefined) continue;
    const inner = found.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    found.data.forEach((_, index) => {
      const label = own[Math.floor(index / inner) % own.length] ?? 0;
      if (removed.has(labels.find(label))) found.data[index] = 0;
    });
  }
  return withWeights(stored, stored.topology, weights);
}

function answers(model: LayersModel): number[] {
  const [input] = model.inputs;
  const shape = [4, ...(input?.shape.slice(1) ?? [])].map((size) => size ?? 1);
  const uniform = tf.randomUniform(shape, 0, 1, "float32", 9);
  const values = input?.dtype === "int32" ? tf.cast(tf.mul(uniform, 9), "int32") : uniform;
  return Array.from((model.predict(values) as Tensor).dataSync());
}

async function pruned(model: LayersModel, sparsity: number) {
  const stored = randomized(await storeLayersModel(tf, model));
  const analysis = analyse(model);
  const removed = leastImportant(analysis, weightsOf(stored), sparsity, "L2Norm");
  return { stored, analysis, removed, smaller: removeChannels(stored, analysis, removed) };
}

const parameters = (stored: StoredModel) => stored.weightData.byteLength / 4;

it.each(Object.keys(GRAPHS))(
  "through %s: the smaller model answers as the whole one with silent channels",
  async (name) => {
    const model = GRAPHS[name]?.();
    if (model === undefined) throw new Error("no model");
    const { stored, analysis, removed, smaller } = await pruned(model, 0.5);
    expect(removed.size).toBeGreaterThan(3);
    expect(parameters(smaller)).toBeLessThan(0.75 * parameters(stored));
    const expected = answers(await buildLayersModel(tf, silenced(stored, analysis, removed)));
    const found = answers(await buildLayersModel(tf, smaller));
    const scale = Math.max(1, ...expected.map(Math.abs));
    expect(found).toHaveLength(expected.length);
    found.forEach((value, index) => expect(Math.abs(value - (expected[index] ?? NaN)) / scale).toBeLessThan(1e-5));
    expect(expected.some((value) => Math.abs(value) > 1e-3)).toBe(true);
  },
);

const makerSizes = ({ sites }: Analysis) =>
  Object.fromEntries(sites.filter(({ role }) => role === "Maker").map(({ weight, labels }) => [weight, labels.length]));

it("removes the asked share of each layer's channels, and none of the answer's", async () => {
  const { smaller } = await pruned(
    imageModel((input) => pipe(input, conv(8, { name: "a" }), conv(12, { name: "b" }), flatten, answer(4))),
    0.25,
  );
  const left = makerSizes(analyse(await buildLayersModel(tf, smaller)));
  expect(Object.values(left)).toEqual([6, 9, 4]);
});

it("leaves every layer a channel", async () => {
  const { smaller } = await pruned(
    imageModel((input) => pipe(input, conv(3), flatten, dense(2), answer())),
    0.99,
  );
  expect(Object.values(makerSizes(analyse(await buildLayersModel(tf, smaller))))).toEqual([1, 1, 3]);
});

/** Each value as a share of their sum. */
function shares(values: readonly number[]): number[] {
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => Number((value / total).toFixed(4)));
}

/** Three filters with two inputs each, and a batch normalization after them. */
function ranked(criterion: Parameters<typeof importance>[2]): number[] {
  const input = tf.input({ shape: [4, 4, 2] });
  const filters = through(tf.layers.conv2d({ name: `ranked${criterion}`, filters: 3, kernelSize: 1 }))(input);
  const scaled = through(tf.layers.batchNormalization({ name: `scaled${criterion}` }))(filters);
  const analysis = analyse(tf.model({ inputs: input, outputs: pipe(scaled, flatten, answer()) }));
  const kernel = `ranked${criterion}/kernel`;
  const weights = new Map([
    [kernel, { shape: [1, 1, 2, 3], data: new Float32Array([3, 2.5, 1, 0, 2.5, 1]) }],
    [`scaled${criterion}/gamma`, { shape: [3], data: new Float32Array([0.1, -3, 2]) }],
  ]);
  const scores = importance(analysis, weights, criterion);
  const maker = analysis.sites.find(({ weight, role }) => weight === kernel && role === "Maker");
  return shares(maker?.labels.map((label) => scores.get(analysis.labels.find(label)) ?? NaN) ?? []);
}

describe("Channels are ranked", () => {
  it("by the L1 or L2 norm of their kernel, or by the scale of their batch normalization", () => {
    expect(ranked("L1Norm")).toEqual(shares([3, 5, 2]));
    expect(ranked("L2Norm")).toEqual(shares([3, Math.sqrt(12.5), Math.sqrt(2)]));
    expect(ranked("BatchNormScale")).toEqual(shares([0.1, 3, 2]));
  });
});
