import "../engine/test-realm.ts";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { type Tf, openBackend } from "../engine/backend.ts";
import { loadLayers, loadModel } from "./model.ts";
import { saveLayersModel } from "./tfjs-layers.ts";

const CORPUS = join(import.meta.dirname, "../../test/corpus/keras");

const attribute = (type: number) => ({ type });
const matrix = (quantization?: object) => ({
  name: "w",
  shape: [2, 3],
  dtype: "float32",
  ...(quantization === undefined ? {} : { quantization }),
});

const shape = (...sizes: string[]) => ({ dim: sizes.map((size) => ({ size })) });

describe.each(["TensorFlow", "Wasm"] as const)("On %s", (engine) => {
  let tf: Tf;
  let dir: string;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });
  beforeEach(async () => {
    await tf.setBackend(engine === "Wasm" ? "wasm" : "tensorflow");
    dir = await mkdtemp(join(tmpdir(), "model-"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  const put = async (file: string, name: string) =>
    writeFile(join(dir, file), gunzipSync(await readFile(join(CORPUS, `${name}.${file.slice("model.".length)}.gz`))));

  const answer = (model: LayersModel) => {
    const inputs = model.inputs.map(({ shape }) =>
      tf.fill(
        shape.map((size) => size ?? 2),
        0.5,
      ),
    );
    const [only = tf.scalar(0)] = inputs;
    return [model.predict(inputs.length === 1 ? only : inputs)]
      .flat()
      .map((output: Tensor) => Array.from(output.dataSync()));
  };

  it.each(["nested", "bidirectional-gru", "multi-head-attention"])(
    "a Keras model with layers of ours (%s) answers the same once it was saved as tfjs layers",
    async (name) => {
      await put("model.keras", name);
      const model = await loadLayers(tf, dir);
      const expected = answer(model);
      const saved = await mkdtemp(join(tmpdir(), "model-"));
      await saveLayersModel(tf, model, saved);
      expect(answer(await loadLayers(tf, saved))).toEqual(expected);
      await rm(saved, { recursive: true });
    },
  );

  it("a folder with model.h5 has a signature and answers", async () => {
    await put("model.h5", "dense");
    const model = await loadModel(tf, dir);
    expect(model).toMatchObject({
      format: "KerasH5",
      signature: {
        inputs: [{ name: "x", datatype: "FP32", shape: [-1, 5] }],
        outputs: [{ datatype: "FP32", shape: [-1, 3] }],
      },
    });
    const [output] = await model.predict([tf.ones([4, 5])]);
    expect(output?.shape).toEqual([4, 3]);
  });

  /** y = x * w, with w stored as `stored`. */
  async function writeGraph(weight: object, stored: Float32Array | Uint8Array | Uint16Array): Promise<void> {
    const node = [
      {
        name: "x",
        op: "Placeholder",
        attr: { dtype: attribute(1), shape: { shape: { dim: [{ size: "-1" }, { size: "2" }] } } },
      },
      { name: "w", op: "Const", attr: { dtype: attribute(1) } },
      {
        name: "y",
        op: "MatMul",
        input: ["x", "w"],
        attr: { T: attribute(1), transpose_a: { b: false }, transpose_b: { b: false } },
      },
    ];
    const json = {
      format: "graph-model",
      signature: {
        inputs: { features: { name: "x:0", dtype: "DT_FLOAT", tensorShape: shape("-1", "2") } },
        outputs: { scores: { name: "y:0", dtype: "DT_FLOAT", tensorShape: shape("-1", "3") } },
      },
      modelTopology: { node, versions: { producer: 1 } },
      weightsManifest: [{ paths: ["w.bin"], weights: [weight] }],
    };
    await writeFile(join(dir, "model.json"), JSON.stringify(json));
    await writeFile(join(dir, "w.bin"), stored);
  }

  it.each<[string, object, Float32Array | Uint8Array | Uint16Array]>([
    ["float32", matrix(), new Float32Array([1, 2, 3, 4, 5, 6])],
    ["uint8", matrix({ dtype: "uint8", min: 1, scale: 0.5 }), new Uint8Array([0, 2, 4, 6, 8, 10])],
    ["uint16", matrix({ dtype: "uint16", min: 1, scale: 0.5 }), new Uint16Array([0, 2, 4, 6, 8, 10])],
    ["float16", matrix({ dtype: "float16" }), new Uint16Array([0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600])],
  ])(
    "a graph model with weights stored as %s has the names of its signature and answers",
    async (_, weight, stored) => {
      await writeGraph(weight, stored);
      const model = await loadModel(tf, dir);
      expect(model).toMatchObject({
        format: "TfjsGraph",
        signature: {
          inputs: [{ name: "features", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "scores", datatype: "FP32", shape: [-1, 3] }],
        },
      });
      const [output] = await model.predict([tf.tensor2d([[1, 10]])]);
      expect(Array.from(output?.dataSync() ?? [])).toEqual([41, 52, 63]);
    },
  );
});
