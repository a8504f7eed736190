import "../engine/test-realm.ts";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LayersModel } from "@tensorflow/tfjs";
import { trainingRun } from "../../crds/contract/run.ts";
import { validateManifest } from "../../crds/kinds.ts";
import type { TrainingJob } from "../../crds/training-job.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { saveLayersModel } from "../formats/tfjs-layers.ts";
import { openArtefact } from "../store/artefact.ts";
import { modelFromBase } from "./base.ts";
import { compileStep } from "./compiled-step.ts";
import { objectiveOf } from "./layers.ts";

/** 784 numbers, dense layers of 128 and 64, softmax of 10; written by Keras. */
const KERAS = fileURLToPath(new URL("../../examples/mnist/model.h5", import.meta.url));

let tf: Tf;
let volumes: string;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
  volumes = await mkdtemp(join(tmpdir(), "base-"));
  await mkdir(join(volumes, "models/keras"), { recursive: true });
  await cp(KERAS, join(volumes, "models/keras/model.h5"));
  const { model } = await begin({ base: { uri: "pvc://models/keras" } });
  await saveLayersModel(tf, model, join(volumes, "models/tfjs"));
}, 60_000);

afterAll(() => rm(volumes, { recursive: true }));

function manifest(model: object, change: object = {}) {
  return validateManifest<TrainingJob>({
    apiVersion: "modelwright.dev/v1alpha1",
    kind: "TrainingJob",
    metadata: { name: "tuned" },
    spec: {
      dataset: { train: { format: "Csv", uri: "pvc://data/a.csv", label: "y" } },
      model,
      loss: "sparseCategoricalCrossentropy",
      optimizer: { sgd: { learningRate: 0.1 } },
      epochs: 1,
      output: { uri: "pvc://models/tuned" },
      ...change,
    },
  });
}

function training(model: object) {
  const checked = manifest(model);
  if (!checked.ok) throw new Error(JSON.stringify(checked.errors));
  return trainingRun(checked.value).training;
}

const uri = "pvc://models/tfjs";
const random = new Random(1, "base");
const train: Dataset = {
  features: Float32Array.from({ length: 6 * 784 }, () => random.below(256) / 255),
  labels: Float32Array.from({ length: 6 }, (_, index) => index % 3),
  exampleShape: [784],
  count: 6,
  source: "pvc://data/a.csv",
};

function begin(model: {
  base: { uri?: string; freeze?: string[]; upTo?: string; digest?: string };
  layers?: object[];
}) {
  const declared = training({ ...model, base: { uri, ...model.base } });
  const { base } = declared.model;
  if (base === undefined) throw new Error("there is a base");
  return modelFromBase(tf, declared, base, { train, volumes });
}

const valuesOf = (model: LayersModel) =>
  Object.fromEntries(
    model.layers.map((layer) => [layer.name, layer.getWeights().map((weight) => Array.from(weight.dataSync()))]),
  );

it("a model of Keras learns on behind its frozen layers, which stay as they are to the bit", async () => {
  const keras = "pvc://models/keras";
  const names = (await begin({ base: { uri: keras } })).model.layers.map(({ name }) => name);
  const [, first = "", second = ""] = names;
  const head = { dense: { units: 3, activation: "softmax" } };
  const { model, output, parent } = await begin({
    base: { uri: keras, upTo: second, freeze: [first] },
    layers: [head],
  });
  expect(model.outputs[0]?.shape).toEqual([null, 3]);
  expect(output).toEqual({ size: 3, activation: "softmax", labelSize: 1 });
  expect(parent).toBe((await openArtefact(join(volumes, "models/keras"))).digest);
  const before = valuesOf(model);
  const options = {
    model,
    objective: objectiveOf(training({ layers: [head] })),
    optimizer: { sgd: { learningRate: 0.1, momentum: 0, nesterov: false } },
    seed: 0,
    examples: train,
    batchSize: 6,
  };
  const { step, notCompiled } = await compileStep(tf, options);
  expect(notCompiled).toBeUndefined();
  step?.run(train, 0);
  step?.publish();
  step?.dispose();
  const after = valuesOf(model);
  expect(after[first]).toEqual(before[first]);
  expect(after[second]).not.toEqual(before[second]);
  expect(after["output"]).not.toEqual(before["output"]);
}, 60_000);

it("without layers of its own the base answers as it did, for what its last layer fits", async () => {
  const { model, output } = await begin({ base: {} });
  expect(output).toEqual({ size: 10, activation: "softmax", labelSize: 1 });
  expect(model.outputs[0]?.shape).toEqual([null, 10]);
});

it.each([
  [
    "an unknown layer to freeze",
    { base: { freeze: ["no"] } },
    /^spec.model.base.freeze\[0\]: the base has no layer no; it has /,
  ],
  ["an unknown last layer", { base: { upTo: "no" } }, /^spec.model.base.upTo: the base has no layer no/],
  [
    "layers that do not fit behind it",
    { base: {}, layers: [{ lstm: { units: 2 } }] },
    /^spec.model.layers\[0\].lstm: needs an input of shape/,
  ],
  ["another digest", { base: { digest: `sha256:${"0".repeat(64)}` } }, /has digest sha256:/],
])("refuses %s, naming the field", async (_, model, message) => {
  await expect(begin(model)).rejects.toThrow(message);
});

it("refuses to freeze all, and examples of another shape", async () => {
  const names = (await begin({ base: {} })).model.layers.map(({ name }) => name);
  await expect(begin({ base: { freeze: names } })).rejects.toThrow("nothing is left to learn; freeze fewer layers");
  const declared = training({ base: { uri } });
  const other = { ...train, features: train.features.slice(0, 12), exampleShape: [2], count: 6 };
  const { base } = declared.model;
  if (base === undefined) throw new Error("there is a base");
  await expect(modelFromBase(tf, declared, base, { train: other, volumes })).rejects.toThrow(
    "pvc://data/a.csv has examples of shape [2], but pvc://models/tfjs takes [784]",
  );
});

const messages = (model: object, change?: object) => {
  const checked = manifest(model, change);
  return checked.ok ? [] : checked.errors.map(({ message }) => message);
};

it("admission asks for layers, a topology or a base, and for no steps before a base", () => {
  expect(messages({})).toEqual([
    "layers, topology or base must be set; declare the model's layers, or name a model that learns on",
  ]);
  expect(messages({ base: { uri } }, { preprocessing: [{ rescale: { scale: 2 } }] })).toEqual([
    "a base takes the features that it was trained on, and prepares them itself; remove all steps but oneHot",
  ]);
});
