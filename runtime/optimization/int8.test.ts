/** Layers that were trained on real digits become integers of 8 bits, and answer as before on the engine that serves them. */
import "../engine/test-realm.ts";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import { Method } from "../../crds/optimization-methods.ts";
import type { Dataset } from "../data/dataset.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { signatureOf } from "../formats/signature.ts";
import { type StoredModel, storeLayersModel } from "../formats/tfjs-layers.ts";
import { openExecutor } from "../serving/choose-executor.ts";
import { describeProduct, writeProduct } from "./product.ts";

let tf: Tf;
let dir: string;
let stored: StoredModel;
let signature: ArtefactManifest["signature"];
let examples: Dataset;

async function digits(name: string): Promise<Dataset> {
  const text = await readFile(new URL(`../../examples/digits/data/${name}.csv`, import.meta.url), "utf8");
  const rows = text.trim().split("\n").slice(1, 301);
  const values = rows.map((row) => row.split(",").map(Number));
  return {
    features: Float32Array.from(values.flatMap((row) => row.slice(0, 64))),
    labels: Float32Array.from(values.map((row) => row[64] ?? NaN)),
    exampleShape: [64],
    count: rows.length,
    source: name,
  };
}

/** Rescales pixels, then two dense layers. */
async function network(units: number): Promise<StoredModel> {
  const model = tf.sequential();
  model.add(tf.layers.rescaling({ inputShape: [64], scale: 1 / 16, offset: 0 }));
  const seeded = () => tf.initializers.glorotUniform({ seed: 5 });
  model.add(tf.layers.dense({ units, activation: "relu", kernelInitializer: seeded() }));
  model.add(tf.layers.dense({ units: 10, activation: "softmax", kernelInitializer: seeded() }));
  model.compile({ optimizer: tf.train.adam(0.01), loss: "sparseCategoricalCrossentropy" });
  const [x, y] = [tf.tensor2d(examples.features, [300, 64]), tf.tensor1d(examples.labels)];
  await model.fit(x, y, { epochs: 8, shuffle: false, verbose: 0 });
  tf.dispose([x, y]);
  const result = await storeLayersModel(tf, model);
  signature = signatureOf(model);
  model.dispose();
  return result;
}

function int8(settings: object) {
  const { quantize } = Method.parse({ quantize: { weights: "Int8", ...settings } });
  return quantize;
}

const written = (settings: object, model = stored, data: Dataset | undefined = examples) =>
  writeProduct(tf, { stored: model, sparse: false, quantize: int8(settings) }, dir, {
    examples: data,
    seed: 1,
    signature,
  });

/** Share of held-out digits that what is served reads correctly. */
async function servedAccuracy(): Promise<number> {
  const served = await openExecutor({ dir, shownAs: "the model", engine: "Auto", threads: 1 });
  expect(served.engine).toBe("OnnxRuntime");
  const test = await digits("test");
  const name = served.signature.inputs[0]?.name ?? "";
  const [answer] = await served.infer([
    { name, datatype: "FP32", shape: [test.count, 64], data: Float32Array.from(test.features) },
  ]);
  const scores = answer?.data as Float32Array;
  const right = [...test.labels].filter((label, row) => {
    const own = [...scores.subarray(10 * row, 10 * row + 10)];
    return own.indexOf(Math.max(...own)) === label;
  });
  return right.length / test.count;
}

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
  examples = await digits("train");
  stored = await network(128);
}, 240_000);
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "int8-"));
});
afterEach(() => rm(dir, { recursive: true }));

const STATIC = { activations: "Static" };

it.each([
  ["ranges of each batch", {}],
  ["the ranges that were seen", STATIC],
  ["ranges by percentile", { ...STATIC, calibration: { method: "Percentile", percentile: 99.9, examples: 100 } }],
  ["ranges by entropy", { ...STATIC, calibration: { method: "Entropy" } }],
])(
  "with %s, digits are read as well as before",
  async (_, settings) => {
    await writeProduct(tf, { stored, sparse: false }, dir, { seed: 1, signature });
    const before = await servedAccuracy();
    expect(before).toBeGreaterThan(0.85);
    await rm(join(dir, "model.json"));
    await written(settings);
    expect(await servedAccuracy()).toBeGreaterThanOrEqual(before - 0.02);
  },
  240_000,
);

it("says what it is: an ONNX model with the inputs and outputs of the source", async () => {
  await written(STATIC);
  expect(await describeProduct(tf, dir, "the model")).toEqual({ format: "Onnx", signature });
});

it("the same examples and seed give the same file", async () => {
  await written({ ...STATIC, calibration: { examples: 50 } });
  const first = await readFile(join(dir, "model.onnx"));
  await written({ ...STATIC, calibration: { examples: 50 } });
  expect((await readFile(join(dir, "model.onnx"))).equals(first)).toBe(true);
});

it("is refused for a model in which no product is large enough to pay", async () => {
  await expect(written({}, await network(8))).rejects.toMatchObject({
    reason: "ModelUnsupported",
    message: expect.stringContaining("it has no weights that would be smaller or faster as integers; use Uint8"),
  });
});

it("is refused for layers that cannot be compiled, naming them", async () => {
  const model = tf.sequential();
  model.add(tf.layers.convLstm2d({ inputShape: [2, 8, 8, 1], filters: 2, kernelSize: 3, name: "clouds" }));
  const source = await storeLayersModel(tf, model);
  model.dispose();
  await expect(written({}, source)).rejects.toMatchObject({
    reason: "ModelUnsupported",
    message: expect.stringContaining("layer clouds of class ConvLSTM2D cannot be compiled"),
  });
});

it("needs examples when ranges are found beforehand", async () => {
  const product = { stored, sparse: false, quantize: int8(STATIC) };
  await expect(writeProduct(tf, product, dir, { seed: 1, signature })).rejects.toMatchObject({
    reason: "InvalidSpec",
    message: expect.stringContaining("spec.dataset.calibration"),
  });
});
