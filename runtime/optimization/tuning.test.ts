/** Models that were changed learn again: what is zero stays zero, students learn from teachers, and all can be resumed. */
import "../engine/test-realm.ts";
import { readFile } from "node:fs/promises";
import type { SymbolicTensor, Tensor } from "@tensorflow/tfjs";
import { Method } from "../../crds/optimization-methods.ts";
import type { Dataset } from "../data/dataset.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { type StoredModel, buildLayersModel, storeLayersModel } from "../formats/tfjs-layers.ts";
import { evaluate } from "../training/evaluate.ts";
import type { Objective } from "../training/objective.ts";
import type { Position } from "../training/position.ts";
import type { TrainStep } from "../training/train-step.ts";
import { weightsOf } from "./channels/weights.ts";
import { applyMethod } from "./methods.ts";
import type { Product } from "./product.ts";
import { isSparsable } from "./sparsity/mask.ts";
import { type Watch, tune } from "./tuning.ts";

const OBJECTIVE: Objective = { loss: "sparseCategoricalCrossentropy", metrics: ["accuracy"] };

let tf: Tf;
let train: Dataset;
let test: Dataset;
let source: Product;

async function digits(name: string, count: number): Promise<Dataset> {
  const text = await readFile(new URL(`../../examples/digits/data/${name}.csv`, import.meta.url), "utf8");
  const rows = text
    .trim()
    .split("\n")
    .slice(1, count + 1)
    .map((line) => line.split(",").map(Number));
  return {
    features: Float32Array.from(rows.flatMap((row) => row.slice(0, 64))),
    labels: Float32Array.from(rows.map((row) => row[64] ?? NaN)),
    exampleShape: [64],
    count: rows.length,
    source: name,
  };
}

/** Rescaled digits through a block with a residual add and batch normalization. */
function network() {
  const dense = (units: number, activation: "relu" | "softmax") =>
    tf.layers.dense({ units, activation, kernelInitializer: tf.initializers.glorotUniform({ seed: 7 }) });
  const input = tf.input({ shape: [64] });
  const scaled = tf.layers.rescaling({ scale: 1 / 16, offset: 0 }).apply(input) as SymbolicTensor;
  const first = dense(32, "relu").apply(scaled) as SymbolicTensor;
  const inner = dense(32, "relu").apply(tf.layers.batchNormalization().apply(first)) as SymbolicTensor;
  const dropped = tf.layers.dropout({ rate: 0.1 }).apply(inner) as SymbolicTensor;
  const added = tf.layers.add().apply([first, dropped]) as SymbolicTensor;
  return tf.model({ inputs: input, outputs: dense(10, "softmax").apply(added) as SymbolicTensor });
}

const watching = (more: Partial<Watch> = {}): Watch => ({
  signal: new AbortController().signal,
  resume: () => Promise.resolve(undefined),
  passed: () => Promise.resolve(),
  save: () => Promise.resolve(),
  onShare: () => undefined,
  ...more,
});

function apply(before: Product, method: object, watch = watching()): Promise<Product> {
  const circumstances = { tf, objective: OBJECTIVE, seed: 3, train, watch, onStep: () => undefined };
  return applyMethod(before, Method.parse(method), circumstances);
}

async function accuracyOf({ stored }: Product): Promise<number> {
  const model = await buildLayersModel(tf, stored);
  const { accuracy = NaN } = await evaluate(tf, model, OBJECTIVE, test);
  model.dispose();
  return accuracy;
}

const parameters = ({ stored }: Product) => stored.weightData.byteLength / 4;

/** Shares of zeros in the weights that are made sparse. */
function zeros(stored: StoredModel): number[] {
  return [...weightsOf(stored)]
    .filter(([name, { shape }]) => isSparsable(name, shape))
    .map(([, { data }]) => data.filter((value) => value === 0).length / data.length);
}

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
  train = await digits("train", 700);
  test = await digits("test", 300);
  const untrained = await storeLayersModel(tf, network());
  const training = { objective: OBJECTIVE, train, epochs: 12, batchSize: 32, learningRate: 0.003, seed: 3 };
  source = { stored: await tune(tf, untrained, training, watching()), sparse: false };
}, 240_000);

it("the network has learned, so that there is something to lose", async () => {
  expect(await accuracyOf(source)).toBeGreaterThan(0.9);
});

it("half of the units go, and fine-tuning brings the accuracy back", async () => {
  const structured = { sparsity: 0.5 };
  const pruned = await apply(source, { prune: { structured } });
  const tuned = await apply(source, { prune: { structured, fineTune: { epochs: 6, learningRate: 0.003 } } });
  expect(parameters(pruned)).toBeLessThan(parameters(source) / 1.8);
  expect(parameters(tuned)).toBe(parameters(pruned));
  expect(await accuracyOf(tuned)).toBeGreaterThan(await accuracyOf(pruned));
  expect(await accuracyOf(tuned)).toBeGreaterThan((await accuracyOf(source)) - 0.05);
}, 240_000);

it("weights become zero on a schedule, stay zero, and the rest makes up for them", async () => {
  const method = { prune: { magnitude: { sparsity: 0.8 }, fineTune: { epochs: 5, learningRate: 0.003 } } };
  const sparse = await apply(source, method);
  for (const share of zeros(sparse.stored)) expect(share).toBeCloseTo(0.8, 1);
  expect(await accuracyOf(sparse)).toBeGreaterThan(0.85);
  const again = await apply(sparse, { prune: { structured: { sparsity: 0.1 }, fineTune: { epochs: 1 } } });
  for (const share of zeros(again.stored)) expect(share).toBeGreaterThan(0.6);
}, 240_000);

it("two of each four weights stay, without training too", async () => {
  const trained = await apply(source, { prune: { pattern: { n: 2, m: 4 }, fineTune: { epochs: 1 } } });
  const untrained = await apply(source, { prune: { pattern: { n: 2, m: 4 } } });
  for (const { stored } of [trained, untrained]) {
    for (const share of zeros(stored)) expect(share).toBe(0.5);
  }
}, 240_000);

it("a student of a quarter of the units learns from its teacher", async () => {
  const distil = { student: { scale: 0.25 }, epochs: 16, learningRate: 0.01 };
  const student = await apply(source, { distil });
  expect(parameters(student)).toBeLessThan(parameters(source) / 3.5);
  expect(await accuracyOf(student)).toBeGreaterThan(0.8);
}, 240_000);

it("a student of other layers takes the teacher's preparation of features, and answers probabilities", async () => {
  const layers = [{ dense: { units: 16, activation: "relu" } }, { dense: { units: 10, activation: "softmax" } }];
  const student = await apply(source, { distil: { student: { layers }, epochs: 10, learningRate: 0.01 } });
  const model = await buildLayersModel(tf, student.stored);
  expect(model.layers.map((layer) => layer.getClassName())).toEqual(["InputLayer", "Rescaling", "Dense", "Dense"]);
  const answers = model.predict(tf.tensor2d(test.features, [300, 64])) as Tensor;
  const sums = tf.sum(answers, 1).dataSync();
  for (const sum of sums) expect(sum).toBeCloseTo(1, 4);
  expect(await accuracyOf(student)).toBeGreaterThan(0.8);
}, 240_000);

it("a student that answers otherwise than its teacher is refused", async () => {
  const layers = [{ dense: { units: 4, activation: "softmax" } }];
  await expect(apply(source, { distil: { student: { layers }, epochs: 1 } })).rejects.toMatchObject({
    reason: "InvalidSpec",
    message: expect.stringContaining("give it 10 units"),
  });
});

describe("A training that is ended in the middle and resumed", () => {
  const METHODS = {
    compiled: { prune: { structured: { sparsity: 0.5 }, fineTune: { epochs: 2 } } },
    "with masks": { prune: { magnitude: { sparsity: 0.7 }, fineTune: { epochs: 2 } } },
    "with a teacher": { distil: { student: { scale: 0.5 }, epochs: 2 } },
    "with a teacher, after structured pruning": {
      prune: { structured: { sparsity: 0.5 }, fineTune: { epochs: 2, distillation: { temperature: 2 } } },
    },
  };

  it.each(Object.entries(METHODS))(
    "%s: ends in the bit-equal model",
    async (_, method) => {
      const whole = await apply(source, method);
      const controller = new AbortController();
      let saved: { position: Position; values: Float32Array[] } | undefined;
      let tuned: TrainStep | undefined;
      let at: Position | undefined;
      const stopping = watching({
        signal: controller.signal,
        resume: (step) => {
          tuned = step;
          return Promise.resolve(undefined);
        },
        passed: (position) => {
          at = position;
          if (position.step >= 29) controller.abort(new Error("asked to end"));
          return Promise.resolve();
        },
        save: () => {
          if (at !== undefined) saved = { position: at, values: tuned?.read() ?? [] };
          return Promise.resolve();
        },
      });
      await expect(apply(source, method, stopping)).rejects.toThrow("asked to end");
      // A compiled step takes several batches in a call.
      expect([29, 30]).toContain(saved?.position.step);
      const resumed = await apply(
        source,
        method,
        watching({
          resume: (step) => {
            step.write(saved?.values ?? []);
            return Promise.resolve(saved?.position);
          },
        }),
      );
      expect(Buffer.from(resumed.stored.weightData).equals(Buffer.from(whole.stored.weightData))).toBe(true);
    },
    240_000,
  );
});
