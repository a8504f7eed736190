import "../engine/test-realm.ts";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { type Tf, openBackend } from "../engine/backend.ts";
import { signatureOf } from "./signature.ts";
import { loadLayersModel, readLayersModel, saveLayersModel } from "./tfjs-layers.ts";

describe.each(["TensorFlow", "Wasm"] as const)("A tfjs layers model on %s", (engine) => {
  let tf: Tf;
  let dir: string;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
    await tf.setBackend(engine === "Wasm" ? "wasm" : "tensorflow");
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "format-"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  function someModel(): LayersModel {
    const kernelInitializer = tf.initializers.glorotUniform({ seed: 3 });
    return tf.sequential({
      layers: [
        tf.layers.conv2d({ name: "conv", filters: 4, kernelSize: 3, inputShape: [6, 6, 1], kernelInitializer }),
        tf.layers.flatten({ name: "flat" }),
        tf.layers.dense({ name: "out", units: 3, activation: "softmax", kernelInitializer }),
      ],
    });
  }

  function answer(model: LayersModel): number[] {
    const input = tf.randomUniform([2, 6, 6, 1], 0, 1, "float32", 5);
    return Array.from((model.predict(input) as Tensor).dataSync());
  }

  it("answers the same after it was saved and loaded, and always saves the same bytes", async () => {
    const model = someModel();
    await saveLayersModel(tf, model, dir);
    const first = await readFile(join(dir, "weights-1-of-1.bin"));
    expect(answer(await loadLayersModel(tf, dir))).toEqual(answer(model));
    await saveLayersModel(tf, model, dir);
    expect(await readFile(join(dir, "weights-1-of-1.bin"))).toEqual(first);
  });

  it("is four times smaller with uint8 weights, and answers nearly the same", async () => {
    const model = someModel();
    await saveLayersModel(tf, model, dir, { quantization: "Uint8" });
    expect((await stat(join(dir, "weights-1-of-1.bin"))).size).toBe(model.countParams());
    const [found, expected] = [answer(await loadLayersModel(tf, dir)), answer(model)];
    found.forEach((value, index) => expect(value).toBeCloseTo(expected[index] ?? NaN, 1));
    expect(found).not.toEqual(expected);
  });

  it("tells its signature", () => {
    expect(signatureOf(someModel())).toMatchObject({
      inputs: [{ datatype: "FP32", shape: [-1, 6, 6, 1] }],
      outputs: [{ datatype: "FP32", shape: [-1, 3] }],
    });
  });

  it("is refused when its topology asks for a layer that does not exist", async () => {
    await saveLayersModel(tf, someModel(), dir);
    const json = await readFile(join(dir, "model.json"), "utf8");
    await writeFile(join(dir, "model.json"), json.replace('"class_name":"Flatten"', '"class_name":"Lambda"'));
    await expect(loadLayersModel(tf, dir, "pvc://models/x")).rejects.toMatchObject({ reason: "ModelUnsupported" });
    await expect(loadLayersModel(tf, dir, "pvc://models/x")).rejects.toThrow(
      /pvc:\/\/models\/x: cannot be built: .*Lambda/,
    );
  });

  it("is refused when its weights do not fit its layers", async () => {
    await saveLayersModel(tf, someModel(), dir);
    const json = await readFile(join(dir, "model.json"), "utf8");
    await writeFile(join(dir, "model.json"), json.replace('"units":3', '"units":4'));
    await expect(loadLayersModel(tf, dir)).rejects.toMatchObject({ reason: "ModelUnsupported", exitCode: 64 });
  });
});

describe("Damaged files", () => {
  let dir: string;

  const valid = {
    modelTopology: {},
    weightsManifest: [{ paths: ["w.bin"], weights: [{ name: "a", shape: [2], dtype: "float32" }] }],
  };
  const write = (json: unknown) =>
    writeFile(join(dir, "model.json"), typeof json === "string" ? json : JSON.stringify(json));
  const withGroup = (change: object) => ({ ...valid, weightsManifest: [{ ...valid.weightsManifest[0], ...change }] });

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "format-"));
    await writeFile(join(dir, "w.bin"), Buffer.alloc(8));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it("are told from good ones", async () => {
    await write(valid);
    expect((await readLayersModel(dir)).weightData.byteLength).toBe(8);
  });

  it.each([
    ["no JSON", "{", /model.json: is no JSON/],
    ["a graph model", { format: "graph-model" }, /is no tfjs model: modelTopology/],
    ["no weights", { modelTopology: {} }, /is no tfjs model: weightsManifest/],
    [
      "weights outside the folder",
      withGroup({ paths: ["../secret"] }),
      /weightsManifest\[0\].paths\[0\] must be a plain file name/,
    ],
    ["a shard that is not there", withGroup({ paths: ["x.bin"] }), /x.bin: cannot be read \(ENOENT\)/],
    [
      "too few weights",
      withGroup({ weights: [{ name: "a", shape: [3], dtype: "float32" }] }),
      /has 8 bytes of weights where model.json declares 12/,
    ],
    [
      "a graph model, where layers are needed",
      { ...valid, format: "graph-model" },
      /is a graph model, which can be served only/,
    ],
    ["negative shapes", withGroup({ weights: [{ name: "a", shape: [-1], dtype: "float32" }] }), /shape\[0\]/],
    ["strings", withGroup({ weights: [{ name: "a", shape: [1], dtype: "string" }] }), /dtype/],
    [
      "more weights than any memory holds",
      withGroup({ weights: [{ name: "a", shape: [65536, 65536, 65536], dtype: "float32" }] }),
      /at most/,
    ],
  ])("are refused: %s", async (_, json, message) => {
    await write(json);
    await expect(readLayersModel(dir)).rejects.toMatchObject({ reason: "ModelUnsupported" });
    await expect(readLayersModel(dir)).rejects.toThrow(message);
  });

  it("are refused: no model.json", async () => {
    await expect(readLayersModel(dir, "pvc://models/x")).rejects.toThrow(
      /pvc:\/\/models\/x\/model.json: cannot be read \(ENOENT\)/,
    );
  });
});
