import "../../engine/test-realm.ts";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Tensor } from "@tensorflow/tfjs";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { NOT_COMPUTED } from "../computable.ts";
import { readContent } from "./hdf5-content.ts";
import { buildKerasModel, readKerasArchive, readKerasHdf5 } from "./keras-model.ts";
import { supportedLayers } from "./layer-translation.ts";

const FOLDER = join(import.meta.dirname, "../../../test/corpus/keras");
const TOLERANCE = 1e-5;

interface Packed {
  shape: number[];
  dtype: "float32" | "int32";
  data: string;
}

interface Example {
  inputs: Packed[];
  outputs: Packed[];
}

interface Entry {
  name: string;
  formats: ("keras" | "h5")[];
  layers: string[];
}

const unpack = async (file: string) => gunzipSync(await readFile(join(FOLDER, `${file}.gz`)));

const { models } = JSON.parse(await readFile(join(FOLDER, "index.json"), "utf8")) as { models: Entry[] };
const files = models.flatMap(({ name, formats }) => formats.map((format) => ({ name, format })));

function numbers({ dtype, data }: Packed): Float32Array | Int32Array {
  const bytes = Uint8Array.from(Buffer.from(data, "base64")).buffer;
  return dtype === "float32" ? new Float32Array(bytes) : new Int32Array(bytes);
}

/** Largest difference, scaled by max(1, |y|); NaN when one of the two is. */
function difference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  return Math.max(
    ...Array.from(expected, (y, index) => Math.abs((found[index] ?? NaN) - y) / Math.max(1, Math.abs(y))),
  );
}

/** In this thread, which has the library in memory already. */
const readHere = (bytes: Uint8Array) => readContent({ bytes: bytes.slice(), bytesLimit: 64 * 1024 * 1024 });

describe.each(["TensorFlow", "Wasm"] as const)("On %s", (engine) => {
  let tf: Tf;
  let dir: string;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
    dir = await mkdtemp(join(tmpdir(), "corpus-"));
  });
  beforeEach(() => tf.setBackend(engine === "Wasm" ? "wasm" : "tensorflow"));
  afterAll(() => rm(dir, { recursive: true }));

  async function build(name: string, format: "keras" | "h5") {
    const path = join(dir, `${name}.${format}`);
    await writeFile(path, await unpack(`${name}.${format}`));
    const read = format === "h5" ? readKerasHdf5 : readKerasArchive;
    return buildKerasModel(tf, await read(path, name, readHere), name);
  }

  const refused = new Set(
    models
      .filter(({ layers }) => layers.some((layer) => engine === "Wasm" && NOT_COMPUTED["wasm"]?.includes(layer)))
      .map(({ name }) => name),
  );

  it.each(files.filter(({ name }) => !refused.has(name)))(
    "$name.$format answers as Keras does",
    async ({ name, format }) => {
      const model = await build(name, format);
      const example = JSON.parse((await unpack(`${name}.json`)).toString()) as Example;
      const inputs = example.inputs.map((packed) => tf.tensor(numbers(packed), packed.shape, packed.dtype));
      const [only] = inputs;
      const outputs: Tensor[] = [
        model.predictOnBatch(inputs.length === 1 && only !== undefined ? only : inputs),
      ].flat();
      expect(outputs.map(({ shape }) => shape)).toEqual(example.outputs.map(({ shape }) => shape));
      const errors = outputs.map((output, index) => {
        const expected = example.outputs[index];
        return expected === undefined ? NaN : difference(output.dataSync(), numbers(expected));
      });
      expect(Math.max(...errors)).toBeLessThanOrEqual(TOLERANCE);
      tf.dispose([...inputs, ...outputs]);
      model.dispose();
    },
  );

  it("a model with a layer that the engine computes wrongly is refused, naming the layer", async () => {
    for (const name of refused) {
      await expect(build(name, "keras")).rejects.toThrow(/cannot be computed by the Wasm engine; use TensorFlow/);
    }
    expect(refused.size > 0).toBe(engine === "Wasm");
  });
});

describe("The corpus", () => {
  /** Without effect on answers, and not in the corpus, as their configuration changes with Keras. */
  const AUGMENTATION = /^Random/;
  /** Part of another layer's configuration. */
  const INNER = new Set(["LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"]);

  it("has every layer that is supported", () => {
    const seen = new Set(models.flatMap(({ layers }) => layers));
    seen.add(seen.has("GroupedQueryAttention") ? "GroupQueryAttention" : "");
    expect(
      supportedLayers.filter((layer) => !seen.has(layer) && !AUGMENTATION.test(layer) && !INNER.has(layer)),
    ).toEqual([]);
  });

  it("has at least sixty models", () => {
    expect(models.length).toBeGreaterThanOrEqual(60);
  });
});
