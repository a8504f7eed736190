import "../engine/test-realm.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { Layer, PreprocessingStep } from "../../crds/model.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { loadLayersModel, saveLayersModel } from "../formats/tfjs-layers.ts";
import { compileStep } from "./compiled-step.ts";
import { type ModelDeclaration, buildModel, checkModel, objectiveOf } from "./layers.ts";
import { opByOpStep } from "./op-by-op-step.ts";
import { fitSteps } from "./preprocessing.ts";

const optimizer = { sgd: { learningRate: 0.1, momentum: 0, nesterov: false } };

function declare(layers: readonly object[], steps: readonly object[] = []): ModelDeclaration {
  return {
    preprocessing: steps.map((step) => PreprocessingStep.parse(step)),
    model: { layers: [...layers, { dense: { units: 3, activation: "softmax" } }].map((layer) => Layer.parse(layer)) },
    loss: "sparseCategoricalCrossentropy",
    metrics: ["accuracy"],
  };
}

/** Whole numbers from 0 to 5, which may be tokens too. */
function examples(exampleShape: number[], count = 8): Dataset {
  const random = new Random(3, "declared layers");
  const size = exampleShape.reduce((product, length) => product * length, 1);
  const features = Float32Array.from({ length: count * size }, () => random.below(6));
  return {
    features,
    labels: Float32Array.from({ length: count }, (_, i) => i % 3),
    exampleShape,
    count,
    source: "numbers",
  };
}

const image = [8, 6, 2];
const steps = [6, 4];

const CASES: [name: string, shape: number[], layers: object[]][] = [
  ["dense", [4], [{ dense: { units: 5, activation: "relu" } }]],
  ["conv1d", steps, [{ conv1d: { filters: 3, kernelSize: 3, strides: 2 } }, { flatten: {} }]],
  ["conv2d", image, [{ conv2d: { filters: 3, kernelSize: [3, 2], strides: [2, 1] } }, { flatten: {} }]],
  ["separableConv2d", image, [{ separableConv2d: { filters: 3, kernelSize: [3, 3] } }, { flatten: {} }]],
  ["depthwiseConv2d", image, [{ depthwiseConv2d: { kernelSize: [3, 3], depthMultiplier: 2 } }, { flatten: {} }]],
  [
    "conv2dTranspose",
    image,
    [{ conv2dTranspose: { filters: 2, kernelSize: [3, 3], strides: [2, 2] } }, { flatten: {} }],
  ],
  [
    "conv2dTranspose, same",
    image,
    [{ conv2dTranspose: { filters: 2, kernelSize: [3, 3], strides: [2, 2], padding: "same" } }, { flatten: {} }],
  ],
  ["maxPooling1d", steps, [{ maxPooling1d: {} }, { flatten: {} }]],
  ["averagePooling1d", steps, [{ averagePooling1d: { poolSize: 3, strides: 1, padding: "same" } }, { flatten: {} }]],
  ["maxPooling2d", image, [{ maxPooling2d: { poolSize: [3, 2] } }, { flatten: {} }]],
  ["averagePooling2d", image, [{ averagePooling2d: {} }, { flatten: {} }]],
  ["globalMaxPooling1d", steps, [{ globalMaxPooling1d: {} }]],
  ["globalAveragePooling1d", steps, [{ globalAveragePooling1d: {} }]],
  ["globalMaxPooling2d", image, [{ globalMaxPooling2d: {} }]],
  ["globalAveragePooling2d", image, [{ globalAveragePooling2d: {} }]],
  ["reshape", [12], [{ reshape: { shape: [3, 4] } }, { globalMaxPooling1d: {} }]],
  ["zeroPadding2d", image, [{ zeroPadding2d: { padding: [1, 2] } }, { flatten: {} }]],
  ["upSampling2d", image, [{ upSampling2d: { size: [2, 3] } }, { flatten: {} }]],
  ["dropout", [4], [{ dropout: { rate: 0.5 } }]],
  ["batchNormalization", [4], [{ batchNormalization: {} }]],
  ["layerNormalization", [4], [{ layerNormalization: {} }]],
  ["activation", [4], [{ activation: { activation: "tanh" } }]],
  ["leakyReLU", [4], [{ leakyReLU: {} }]],
  ["embedding", [5], [{ embedding: { inputDim: 6, outputDim: 3 } }, { flatten: {} }]],
  ["lstm", steps, [{ lstm: { units: 3, returnSequences: true } }, { lstm: { units: 3 } }]],
  ["gru", steps, [{ gru: { units: 3, returnSequences: true } }, { gru: { units: 2 } }]],
  ["bidirectional", steps, [{ bidirectional: { layer: { lstm: { units: 3 } } } }]],
  ["simpleRnn", steps, [{ simpleRnn: { units: 3, returnSequences: true } }, { simpleRnn: { units: 2 } }]],
  ["cropping2d", image, [{ cropping2d: { cropping: [1, 2] } }, { flatten: {} }]],
  ["permute", steps, [{ permute: { dims: [2, 1] } }, { lstm: { units: 2 } }]],
  ["repeatVector", [4], [{ repeatVector: { n: 3 } }, { lstm: { units: 2 } }]],
  ["timeDistributed", steps, [{ timeDistributed: { dense: { units: 3, activation: "relu" } } }, { flatten: {} }]],
  ["bidirectional, simple", steps, [{ bidirectional: { layer: { simpleRnn: { units: 3 } } } }]],
  [
    "bidirectional, summed",
    steps,
    [{ bidirectional: { layer: { gru: { units: 3, returnSequences: true } }, mergeMode: "sum" } }, { flatten: {} }],
  ],
];

let tf: Tf;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
});

const answers = (model: LayersModel, { features, exampleShape, count }: Dataset) =>
  Array.from(tf.tidy(() => (model.predict(tf.tensor(features, [count, ...exampleShape])) as Tensor).dataSync()));

const weightsOf = (model: LayersModel) => model.getWeights().map((weight) => Array.from(weight.dataSync()));

describe.each(CASES)("The layer %s", (_, shape, layers) => {
  const declared = declare(layers);

  it("has the shape that was worked out before anything is built, and the same weights for the same seed", () => {
    expect(() => checkModel(declared, { exampleShape: shape })).not.toThrow();
    const model = buildModel(tf, declared, shape, 5);
    expect(model.outputs[0]?.shape).toEqual([null, 3]);
    // The last dense layer's kernel has as many rows as numbers were worked out.
    expect(weightsOf(model)).toEqual(weightsOf(buildModel(tf, declared, shape, 5)));
  });

  it("learns in a compiled step, and is the same when it is loaded again", async () => {
    const data = examples(shape);
    const options = { objective: objectiveOf(declared), optimizer, seed: 5, examples: data, batchSize: data.count };
    const model = buildModel(tf, declared, shape, 5);
    const before = weightsOf(model);
    const { step, notCompiled } = await compileStep(tf, { ...options, model });
    expect(notCompiled).toBeUndefined();
    const batch = { ...data };
    const first = step?.run(batch, 0);
    expect(first?.["loss"]).toBeGreaterThan(0);
    step?.publish();
    step?.dispose();
    expect(weightsOf(model)).not.toEqual(before);
    const folder = await mkdtemp(join(tmpdir(), "declared-"));
    await saveLayersModel(tf, model, folder);
    const loaded = await loadLayersModel(tf, folder);
    expect(answers(loaded, data)).toEqual(answers(model, data));
    await rm(folder, { recursive: true });
  }, 60_000);
});

describe.each([
  ["gaussianNoise", { gaussianNoise: { stddev: 0.5 } }],
  ["gaussianDropout", { gaussianDropout: { rate: 0.3 } }],
  ["alphaDropout", { alphaDropout: { rate: 0.3 } }],
])("The layer %s", (_, layer) => {
  it("disturbs training alone, by the seed and the step, and is told not to be compiled", async () => {
    const declared = declare([layer, { dense: { units: 4 } }]);
    const data = examples([4]);
    const options = { objective: objectiveOf(declared), optimizer, examples: data, batchSize: data.count };
    const lossOf = (seed: number, at: number) => {
      const model = buildModel(tf, declared, [4], 5);
      const calm = answers(model, data);
      expect(answers(model, data)).toEqual(calm);
      const step = opByOpStep(tf, { ...options, model, seed });
      const { loss } = step.run(data, at);
      step.dispose();
      return loss;
    };
    const first = lossOf(5, 0);
    expect(lossOf(5, 0)).toBe(first);
    expect(lossOf(5, 1)).not.toBe(first);
    expect(lossOf(6, 0)).not.toBe(first);
    const { notCompiled } = await compileStep(tf, { ...options, model: buildModel(tf, declared, [4], 5), seed: 5 });
    expect(notCompiled?.reason).toMatch(/training/);
  });
});

it.each([
  [
    "a sequence layer of flat input",
    [4],
    [{ lstm: { units: 2 } }],
    "spec.model.layers[0].lstm: needs an input of shape [steps, features], but it gets [4]",
  ],
  [
    "an embedding of images",
    image,
    [{ embedding: { inputDim: 3, outputDim: 2 } }],
    "layers[0].embedding: needs tokens of shape [steps]",
  ],
  [
    "a kernel longer than the sequence",
    steps,
    [{ conv1d: { filters: 1, kernelSize: 9 } }],
    "a window of 9 steps does not fit into 6",
  ],
  [
    "a shape of another size",
    [4],
    [{ reshape: { shape: [3] } }],
    "layers[0].reshape.shape: [3] has 3 values, but an example has 4",
  ],
])("refuses %s, naming the field", (_, exampleShape, layers, message) => {
  expect(() => checkModel(declare(layers), { exampleShape })).toThrow(message);
});

describe("Steps that learn", () => {
  const data: Dataset = {
    features: Float32Array.of(1, 10, 7, 3, 20, 7, 5, 60, 7),
    labels: Float32Array.of(0, 1, 2),
    exampleShape: [3],
    count: 3,
    source: "numbers",
  };

  it("standardize by mean and deviation of each feature, after the steps before; what never changes becomes 0", () => {
    const [, fitted] = fitSteps(
      [{ rescale: { scale: 2, offset: 1 } }, { standardize: {} }].map((s) => PreprocessingStep.parse(s)),
      data,
    );
    expect(fitted?.centre).toEqual([7, 61, 15]);
    const deviation = Math.sqrt(((3 - 7) ** 2 + (11 - 7) ** 2) / 3);
    expect(fitted?.spread[0]).toBeCloseTo(deviation, 10);
    expect(fitted?.spread[2]).toBe(1);
  });

  it("work on channels where examples are images", () => {
    const shaped = {
      ...data,
      features: Float32Array.of(1, 10, 3, 30, 5, 50, 7, 70),
      exampleShape: [2, 1, 2],
      count: 2,
    };
    const [fitted] = fitSteps([PreprocessingStep.parse({ minMax: {} })], shaped);
    expect(fitted).toEqual({ centre: [1, 10], spread: [6, 60] });
  });

  it("are layers of the model: it takes raw features, also when it is loaded again", async () => {
    const declared = declare([{ dense: { units: 4 } }], [{ minMax: {} }, { standardize: {} }]);
    const fitted = fitSteps(declared.preprocessing, data);
    const model = buildModel(tf, declared, [3], 5, fitted);
    const prepared = tf.tidy(() => {
      const [, minMax, standardize] = model.layers;
      if (minMax === undefined || standardize === undefined) throw new Error("the steps are layers");
      const input = tf.tensor2d(data.features, [3, 3]);
      return Array.from((standardize.apply(minMax.apply(input)) as Tensor).dataSync());
    });
    const column = [0, 3, 6].map((index) => prepared[index] ?? NaN);
    expect(column.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 5);
    expect(column.reduce((sum, value) => sum + value * value, 0) / 3).toBeCloseTo(1, 5);
    const folder = await mkdtemp(join(tmpdir(), "declared-"));
    await saveLayersModel(tf, model, folder);
    expect(answers(await loadLayersModel(tf, folder), data)).toEqual(answers(model, data));
    await rm(folder, { recursive: true });
    const options = { objective: objectiveOf(declared), optimizer, seed: 5, examples: data, batchSize: 3 };
    const { step, notCompiled } = await compileStep(tf, { ...options, model });
    expect(notCompiled).toBeUndefined();
    step?.dispose();
  });
});

describe("On Wasm", () => {
  const refused = /^(depthwiseConv2d|separableConv2d|embedding)/;

  it.each(CASES.filter(([name]) => refused.test(name)))(
    "the layer %s is refused by field",
    async (_, shape, layers) => {
      const { tf: wasm } = await openBackend("Wasm");
      expect(() => buildModel(wasm, declare(layers), shape, 5)).toThrow(
        /^spec.model.layers\[0\].\w+: the Wasm engine cannot train this layer; set spec.runtime.engine: TensorFlow$/,
      );
    },
  );

  it.each(CASES.filter(([name]) => !refused.test(name)))(
    "the layer %s learns operation by operation",
    async (_, shape, layers) => {
      const { tf: wasm } = await openBackend("Wasm");
      const declared = declare(layers);
      const data = examples(shape);
      const model = buildModel(wasm, declared, shape, 5);
      const before = weightsOf(model);
      const step = opByOpStep(wasm, { model, objective: objectiveOf(declared), optimizer, seed: 5 });
      expect(Number.isFinite(step.run(data, 0)["loss"])).toBe(true);
      expect(weightsOf(model)).not.toEqual(before);
      step.dispose();
    },
  );
});
