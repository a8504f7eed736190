import "../engine/test-realm.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayersModel } from "@tensorflow/tfjs";
import { trainingRun } from "../../crds/contract/run.ts";
import { validateManifest } from "../../crds/kinds.ts";
import type { TrainingJob } from "../../crds/training-job.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { loadLayersModel, saveLayersModel } from "../formats/tfjs-layers.ts";
import { compileStep } from "./compiled-step.ts";
import { objectiveOf } from "./layers.ts";
import { modelFromTopology } from "./topology.ts";

/** As Keras 3.15 writes it, without settings that are null. */
const layer = (className: string, name: string, config: object, from?: unknown) => ({
  module: "keras.layers",
  class_name: className,
  config: { name, trainable: true, ...config },
  ...(from === undefined ? {} : { name, inbound_nodes: from }),
});
const tensor = (name: string) => ({
  class_name: "__keras_tensor__",
  config: { dtype: "float32", keras_history: [name, 0, 0] },
});
const after = (...names: string[]) => [
  { args: names.length === 1 ? names.map(tensor) : [names.map(tensor)], kwargs: {} },
];
const begins = (className: string, config: object = {}) => ({
  module: "keras.initializers",
  class_name: className,
  config,
});
const input = (shape: number[], from?: unknown) =>
  layer("InputLayer", "examples", { batch_shape: [null, ...shape], dtype: "float32" }, from);
const lstm = {
  units: 3,
  activation: "tanh",
  recurrent_activation: "sigmoid",
  bias_initializer: begins("Zeros"),
  unit_forget_bias: true,
};

const FUNCTIONAL = {
  module: "keras.src.models.functional",
  class_name: "Functional",
  config: {
    name: "two_ways",
    layers: [
      input([6, 2], []),
      layer("LSTM", "memory", lstm, after("examples")),
      layer(
        "Dense",
        "side",
        { units: 3, activation: "linear", kernel_initializer: begins("Constant", { value: 0.5 }) },
        after("memory"),
      ),
      layer("Add", "sum", {}, after("memory", "side")),
      layer(
        "Dense",
        "answer",
        { units: 3, activation: "softmax", kernel_initializer: begins("HeNormal") },
        after("sum"),
      ),
    ],
    input_layers: ["examples", 0, 0],
    output_layers: ["answer", 0, 0],
  },
};

/** As Keras 2 writes it. */
const sequential = (more: object = {}) => ({
  class_name: "Sequential",
  keras_version: "2.15.0",
  backend: "tensorflow",
  config: {
    name: "plain",
    layers: [
      layer("InputLayer", "examples", { batch_input_shape: [null, 4], dtype: "float32" }),
      layer("Dense", "hidden", { units: 5, activation: "relu", ...more }),
      layer("Dense", "answer", { units: 3, activation: "softmax" }),
    ],
  },
});

let tf: Tf;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
}, 60_000);

const random = new Random(1, "examples");

function examples(exampleShape: number[]): Dataset {
  const size = exampleShape.reduce((product, one) => product * one, 12);
  return {
    features: Float32Array.from({ length: size }, () => random.below(100) / 10),
    labels: Float32Array.from({ length: 12 }, (_, index) => index % 3),
    exampleShape,
    count: 12,
    source: "pvc://data/a.csv",
  };
}

function training(topology: unknown, change: object = {}) {
  const checked = validateManifest<TrainingJob>({
    apiVersion: "modelwright.dev/v1alpha1",
    kind: "TrainingJob",
    metadata: { name: "declared" },
    spec: {
      dataset: { train: { format: "Csv", uri: "pvc://data/a.csv", label: "y" } },
      model: { topology: JSON.stringify(topology) },
      loss: "sparseCategoricalCrossentropy",
      optimizer: { sgd: { learningRate: 0.1 } },
      epochs: 1,
      output: { uri: "pvc://models/declared" },
      ...change,
    },
  });
  if (!checked.ok) throw new Error(JSON.stringify(checked.errors));
  return trainingRun(checked.value).training;
}

function begin(topology: unknown, train: Dataset, change: object = {}) {
  return modelFromTopology(tf, training(topology, change), JSON.stringify(topology), train);
}

const weights = (model: LayersModel) =>
  Object.fromEntries(
    model.getWeights().map((value, index) => [model.weights[index]?.originalName ?? "", [...value.dataSync()]]),
  );

async function whyNotCompiled(model: LayersModel, topology: unknown, train: Dataset) {
  const declared = training(topology);
  const options = { ...declared, model, objective: objectiveOf(declared), seed: 0, examples: train };
  const { step, notCompiled } = await compileStep(tf, options);
  step?.dispose();
  return notCompiled;
}

describe("a model by Keras' JSON", () => {
  it("begins with the weights that its initializers draw by the seed, and is compiled", async () => {
    const train = examples([6, 2]);
    const { model } = await begin(FUNCTIONAL, train, { seed: 0 });
    const { model: same } = await begin(FUNCTIONAL, train, { seed: 0 });
    const { model: other } = await begin(FUNCTIONAL, train, { seed: 1 });
    const own = weights(model);
    expect(own["side/kernel"]).toEqual(Array.from({ length: 9 }, () => 0.5));
    expect(own["memory/bias"]).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    expect(new Set(own["answer/kernel"]).size).toBe(9);
    expect(weights(same)).toEqual(own);
    expect(weights(other)["answer/kernel"]).not.toEqual(own["answer/kernel"]);
    expect(await whyNotCompiled(model, FUNCTIONAL, train)).toBeUndefined();
  });

  it("takes raw features after steps that have learned, learns, and is the same when it is loaded", async () => {
    const train = examples([4]);
    const change = { preprocessing: [{ standardize: {} }] };
    const { model, output } = await begin(sequential(), train, change);
    expect(output).toEqual({ size: 3, activation: "softmax", labelSize: 1 });
    expect(await whyNotCompiled(model, sequential(), train)).toBeUndefined();
    const folder = await mkdtemp(join(tmpdir(), "topology-"));
    try {
      await saveLayersModel(tf, model, folder);
      const loaded = await loadLayersModel(tf, folder);
      const features = tf.tensor(train.features, [12, 4]);
      const answers = [model, loaded].map((one) => [...(one.predictOnBatch(features) as typeof features).dataSync()]);
      expect(answers[1]).toEqual(answers[0]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([
    [
      "a penalty in it",
      sequential({ kernel_regularizer: { class_name: "L2", config: { l2: 0.01 } } }),
      [4],
      /^spec.model.topology: layer hidden has a kernel_regularizer.*set spec.weightDecay/,
    ],
    ["an initializer of one's own", sequential({ kernel_initializer: "mine" }), [4], /layer hidden begins by mine/],
    ["examples of another shape", sequential(), [5], /^pvc:.*of shape \[5\], but spec.model.topology takes \[4\]/],
    ["a model in code", { class_name: "Mine", config: {} }, [4], /^spec.model.topology: is a model of class Mine/],
  ])("is refused with %s", async (_, topology, shape, message) => {
    await expect(begin(topology, examples(shape))).rejects.toThrow(message);
  });

  it("is the whole model", () => {
    expect(() => training(sequential(), { model: { topology: "{}", layers: [{ dense: { units: 1 } }] } })).toThrow(
      /remove layers and base, or topology/,
    );
  });
});
