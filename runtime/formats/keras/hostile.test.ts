import "../../engine/test-realm.ts";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync, gunzipSync } from "node:zlib";
import { FS as memory, File, type Group, ready } from "h5wasm";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { loadModel } from "../model.ts";
import { readHdf5 } from "./hdf5.ts";

let tf: Tf;
let dir: string;

beforeAll(async () => {
  ({ tf } = await openBackend("Wasm"));
  await tf.setBackend("wasm");
  await ready;
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "hostile-"));
});
afterEach(() => rm(dir, { recursive: true }));

interface Packed {
  name: string;
  data: Buffer;
  method?: number;
  /** What the list of files says, when it lies. */
  bytes?: number;
}

function zip(files: Packed[]): Buffer {
  const [bodies, list]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const { name, data, method = 0, bytes = data.length } of files) {
    const packed = method === 8 ? deflateRawSync(data) : data;
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(crc32(data), 16);
    central.writeUInt32LE(packed.length, 20);
    central.writeUInt32LE(bytes, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(offset, 42);
    list.push(central, Buffer.from(name));
    bodies.push(local, Buffer.from(name), packed);
    offset += 30 + name.length + packed.length;
  }
  const directory = Buffer.concat(list);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...bodies, directory, end]);
}

/** An HDF5 file that `fill` writes. */
function hdf5(fill: (file: Group) => void): Buffer {
  const file = new File("/made.h5", "w");
  fill(file);
  file.close();
  return Buffer.from(memory?.readFile("/made.h5") ?? []);
}

const metadata = { name: "metadata.json", data: Buffer.from('{"keras_version": "3.0.0"}') };
const layer = (class_name: string, config: object = {}) => ({
  class_name,
  config: { name: "l", trainable: true, ...config },
});
const input = { class_name: "InputLayer", config: { name: "x", dtype: "float32", batch_shape: [null, 4] } };
const chain = (...layers: object[]) => ({
  class_name: "Sequential",
  config: { name: "m", layers: [input, ...layers] },
});
const kernel = (shape: number[]) =>
  hdf5((file) => {
    const vars = file.create_group("layers").create_group("dense").create_group("vars");
    vars.create_dataset({ name: "0", data: new Float32Array(shape.reduce((all, size) => all * size, 1)), shape });
    vars.create_dataset({ name: "1", data: new Float32Array(shape.at(-1) ?? 0), shape: [shape.at(-1) ?? 0] });
  });

const archive = (config: unknown, weights = kernel([4, 3])) =>
  zip([
    metadata,
    { name: "config.json", data: Buffer.from(typeof config === "string" ? config : JSON.stringify(config)) },
    { name: "model.weights.h5", data: weights },
  ]);

const dense = layer("Dense", { units: 3 });
const whole = () => archive(chain(dense));
const nested = (depth: number): object =>
  depth === 0
    ? chain(dense)
    : { class_name: "Sequential", config: { name: `m${depth}`, layers: [input, nested(depth - 1)] } };

it("The archive that the others are variations of is loaded", async () => {
  await writeFile(join(dir, "model.keras"), whole());
  expect(await loadModel(tf, dir)).toMatchObject({ format: "Keras", signature: { outputs: [{ shape: [-1, 3] }] } });
});

const archives: [string, () => Buffer, RegExp][] = [
  ["nothing", () => Buffer.alloc(0), /is no zip archive, or was cut off/],
  ["no archive", () => Buffer.from("GIF89a".repeat(100)), /is no zip archive/],
  ["one that was cut off", () => whole().subarray(0, 2000), /is no zip archive, or was cut off/],
  ["one cut off at its front", () => whole().subarray(700), /./],
  ["one with a flipped bit", () => flipped(whole(), 200), /config.json: is damaged/],
  [
    "names that lead out of it",
    () => zip([{ name: "../../etc/passwd", data: Buffer.from("x") }]),
    /has no metadata.json/,
  ],
  ["a name twice", () => zip([metadata, metadata]), /two files "metadata.json"/],
  [
    "too many files",
    () => zip(Array.from({ length: 1100 }, (_, index) => ({ ...metadata, name: `f${index}` }))),
    /more than 1024 files/,
  ],
  [
    "a bomb",
    () => zip([metadata, { name: "config.json", data: Buffer.alloc(20_000_000, " "), method: 8 }]),
    /config.json: grows more than 100 times/,
  ],
  [
    "a bomb that lies about its size",
    () => zip([metadata, { name: "config.json", data: Buffer.alloc(20_000_000, " "), method: 8, bytes: 100 }]),
    /config.json: /,
  ],
  ["an unknown packing", () => zip([{ ...metadata, method: 14 }]), /packed with method 14/],
  [
    "a configuration of gigabytes",
    () => zip([metadata, { name: "config.json", data: Buffer.from("{}"), bytes: 4e9 }]),
    /at most/,
  ],
  ["no JSON", () => archive("{"), /config.json: is no JSON/],
  ["JSON nested a million deep", () => archive("[".repeat(1_000_000)), /nested 1000000 levels deep/],
  ["no model", () => archive([]), /is no configuration of a Keras model/],
  [
    "a subclassed model",
    () => archive({ class_name: "MyModel", config: {} }),
    /class MyModel; only Sequential and Functional/,
  ],
  [
    "layers with forbidden keys",
    () => archive('{"class_name":"Sequential","config":{"__proto__":{"layers":[]}}}'),
    /configuration that is no model's: layers/,
  ],
  ["10001 layers", () => archive(chain(...Array.from({ length: 10_000 }, () => dense))), /layers/],
  ["models in models without end", () => archive(nested(20)), /nested more than 16 levels deep/],
  [
    "code",
    () => archive(chain(layer("Lambda", { function: "exec" }))),
    /layer l of class Lambda holds code, which is never run/,
  ],
  ["an unknown layer", () => archive(chain(layer("Mystery"))), /layer l of class Mystery is not supported; replace it/],
  ["a layer named like a method", () => archive(chain(layer("constructor"))), /class constructor is not supported/],
  ["strings", () => archive(chain(layer("Dense", { units: 3, dtype: "string" }))), /layer l has dtype string/],
  [
    "an unknown activation",
    () => archive(chain(layer("Dense", { units: 3, activation: "evil" }))),
    /cannot be built: .*evil/,
  ],
  [
    "more units than weights",
    () => archive(chain(layer("Dense", { units: 2e9 }))),
    /layer l asks for a kernel of shape \[4, 2000000000\]/,
  ],
  ["units that are no number", () => archive(chain(layer("Dense", { units: "many" }))), /cannot be built/],
  ["negative units", () => archive(chain(layer("Dense", { units: -3 }))), /cannot be built/],
  [
    "fewer units than weights",
    () => archive(chain(layer("Dense", { units: 2 }))),
    /has weights of shapes \[4, 3\], \[3\], but takes \[4, 2\], \[2\]/,
  ],
  [
    "outputs that no memory holds",
    () => archive(chain(layer("RepeatVector", { n: 1e9 }))),
    /layer l gives \[, 1000000000, 4\] numbers/,
  ],
  ["a graph that goes in a circle", () => archive(circle), /layer (a|b) depends on itself/],
  [
    "no weights",
    () =>
      archive(
        chain(dense),
        hdf5((file) => void file.create_group("layers")),
      ),
    /layer l asks for a kernel of shape \[4, 3\], more than there are weights/,
  ],
  [
    "weights that are no HDF5",
    () => archive(chain(dense), Buffer.from("nothing")),
    /model.weights.h5: is no HDF5 file/,
  ],
  ["weights that were cut off", () => archive(chain(dense), kernel([4, 3]).subarray(0, 1500)), /model.weights.h5: /],
];

const call = (from: string) => [
  { args: [{ class_name: "__keras_tensor__", config: { keras_history: [from, 0, 0] } }], kwargs: {} },
];
const circle = {
  class_name: "Functional",
  config: {
    name: "m",
    layers: [
      { ...input, name: "x", inbound_nodes: [] },
      { ...layer("Identity", { name: "a" }), name: "a", inbound_nodes: call("b") },
      { ...layer("Identity", { name: "b" }), name: "b", inbound_nodes: call("a") },
    ],
    input_layers: ["x", 0, 0],
    output_layers: ["b", 0, 0],
  },
};

function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

it.each(archives)("An archive is refused, with a reason: %s", async (_, bytes, reason) => {
  await writeFile(join(dir, "model.keras"), bytes());
  const before = tf.memory().numTensors;
  const started = performance.now();
  await expect(loadModel(tf, dir, "pvc://models/x")).rejects.toMatchObject({
    reason: "ModelUnsupported",
    message: expect.stringMatching(reason),
  });
  expect(performance.now() - started).toBeLessThan(5000);
  expect(tf.memory().numTensors).toBe(before);
});

const files: [string, () => Buffer | Promise<Buffer>, RegExp][] = [
  ["weights only", () => kernel([4, 3]), /has weights only, and no model_config/],
  [
    "groups in a circle",
    () =>
      hdf5((file) => {
        const group = file.create_group("a");
        group.create_hard_link("/a", "again");
      }),
    /nested more than 32 levels deep/,
  ],
  [
    "a link to another file",
    () => hdf5((file) => void file.create_external_link("/etc/passwd", "/", "secret")),
    /link at secret, and links are not followed/,
  ],
  [
    "a dataset far larger than the file",
    () =>
      hdf5(
        (file) =>
          void file.create_dataset({
            name: "w",
            data: new Float32Array(1e6),
            shape: [1e6],
            chunks: [1e6],
            compression: 9,
          }),
      ),
    /declares more than \d+ bytes of weights \(at w, \[1000000\]\)/,
  ],
  [
    "texts where weights should be",
    () => hdf5((file) => void file.create_dataset({ name: "w", data: ["a", "b"] })),
    /values of type "S/,
  ],
];

it.each(files)("A .h5 file is refused, with a reason: %s", async (_, bytes, reason) => {
  await writeFile(join(dir, "model.h5"), await bytes());
  await expect(loadModel(tf, dir, "pvc://models/x")).rejects.toMatchObject({
    reason: "ModelUnsupported",
    message: expect.stringMatching(reason),
  });
});

it("A .h5 file with any byte changed is read or refused, and never harms", async () => {
  const source = gunzipSync(await readFile(join(import.meta.dirname, "../../../test/corpus/keras/dense.h5.gz")));
  for (let at = 0; at < 2400; at += 240) {
    const bytes = flipped(Buffer.from(source), at);
    await readHdf5(bytes, "x").catch((error: unknown) => expect(error).toMatchObject({ reason: "ModelUnsupported" }));
  }
});

it("A folder with two models, or none, is refused", async () => {
  await expect(loadModel(tf, dir, "m")).rejects.toThrow(/m: has none of model.json, model.keras, model.h5/);
  await writeFile(join(dir, "model.keras"), whole());
  await writeFile(join(dir, "model.h5"), "");
  await expect(loadModel(tf, dir, "m")).rejects.toThrow(/m: has model.keras and model.h5; keep one of them/);
});
