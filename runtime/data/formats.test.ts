/** Files that NumPy and TensorFlow wrote (test/corpus/data/make.py), read as a manifest declares them. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { DataSource } from "../../crds/dataset.ts";
import { loadDataset, loadExamples } from "./load.ts";

const CORPUS = fileURLToPath(new URL("../../test/corpus/data/", import.meta.url));
const FILES = ["x-f2.npy", "x-f4.npy", "x-f8.npy", "x-fortran.npy", "x-text.npy", "y-u1.npy", "y-i4.npy", "y-i8.npy"];
const ARCHIVES = ["y-b1.npy", "plain.npz", "packed.npz", "examples.tfrecord"];

let volumes: string;

beforeAll(async () => {
  volumes = await mkdtemp(join(tmpdir(), "formats-"));
  await mkdir(join(volumes, "data"));
  await Promise.all([...FILES, ...ARCHIVES].map((name) => copyFile(join(CORPUS, name), join(volumes, "data", name))));
  const written = {
    "plain.csv": "a,b\n1,0\n2,1\n",
    "plain.jsonl": '{"a": 1, "b": 0}\n{"a": 2, "b": 1}\n',
    "x.idx": Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 255),
    "y.idx": Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 0, 1),
  };
  for (const [name, bytes] of Object.entries(written)) await writeFile(join(volumes, "data", name), bytes);
});

afterAll(() => rm(volumes, { recursive: true }));

const at = (name: string) => `pvc://data/${name}`;

function load(source: object) {
  return loadDataset(DataSource.parse(source), volumes, "spec.dataset.train");
}

const features = [0, 1, -2, 0.5, 3, 1e-3, 4, -5, 5, 6.25, -7, 8];
const labels = [0, 1, 2, 0, 1, 2];
const weights = [1, 0.5, 2, 1, 0, 3];

it.each([
  ["x-f4.npy", "y-u1.npy"],
  ["x-f8.npy", "y-i4.npy"],
  ["x-f8.npy", "y-i8.npy"],
])("NumPy's arrays %s and %s are examples and labels", async (x, y) => {
  const { dataset, files } = await load({ format: "Npy", features: at(x), labels: at(y) });
  expect(dataset).toMatchObject({ count: 6, exampleShape: [2] });
  expect(dataset.features).toEqual(Float32Array.from(features));
  expect(Array.from(dataset.labels)).toEqual(labels);
  expect(files.map(({ path }) => path)).toEqual([at(x), at(y)]);
});

it.each([
  ["Npy", { features: "x-f4.npy", labels: "y-u1.npy" }],
  ["TfRecord", { uri: "examples.tfrecord" }],
  ["Csv", { uri: "plain.csv" }],
  ["Jsonl", { uri: "plain.jsonl" }],
  ["Idx", { features: "x.idx", labels: "y.idx" }],
])("%s files that gzip has compressed give the same examples, and damaged ones are refused", async (format, names) => {
  const label =
    format === "Npy" || format === "Idx"
      ? {}
      : format === "TfRecord"
        ? { label: "label", columns: ["pixels"] }
        : { label: "b" };
  const source = (end: string) => ({
    format,
    ...label,
    ...Object.fromEntries(Object.entries(names).map(([field, name]) => [field, at(`${name}${end}`)])),
  });
  for (const name of Object.values(names)) {
    const packed = gzipSync(await readFile(join(volumes, "data", name)));
    await writeFile(join(volumes, "data", `${name}.packed`), packed);
    await writeFile(join(volumes, "data", `${name}.cut`), packed.subarray(0, packed.length - 12));
  }
  const plain = await load(source(""));
  const { dataset } = await load(source(".packed"));
  expect({ ...dataset, source: "" }).toEqual({ ...plain.dataset, source: "" });
  const refused = load(source(".cut"));
  await expect(refused).rejects.toMatchObject({ reason: "DataRejected" });
  await expect(refused).rejects.toThrow(/^pvc:.*cut: is damaged: gzip cannot unpack it; copy the file again/);
});

/** URI of a new folder with these files. */
async function shards(files: Record<string, string | Uint8Array>): Promise<string> {
  const folder = await mkdtemp(join(volumes, "data", "shards-"));
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
  return at(basename(folder));
}

describe("a folder of files", () => {
  it.each([
    ["Csv", { "b.csv": "a,b\n2,1\n", "a.csv": "a,b\n1,0\n", _SUCCESS: "" }, { label: "b" }],
    ["Jsonl", { "b.gz": gzipSync('{"a": 2, "b": 1}\n'), "a.jsonl": '{"a": 1, "b": 0}\n' }, { label: "b" }],
  ])("of %s gives the examples of all, in the order of their names", async (format, files, options) => {
    const { dataset, files: read } = await load({ format, uri: await shards(files), ...options });
    expect(dataset).toMatchObject({ count: 2, exampleShape: [1] });
    expect([...dataset.features, ...dataset.labels]).toEqual([1, 2, 0, 1]);
    expect(read.map(({ path }) => path.split("/").at(-1)?.slice(0, 1))).toEqual(["a", "b"]);
  });

  it("of TfRecord does, too", async () => {
    const one = await readFile(join(volumes, "data", "examples.tfrecord"));
    const uri = await shards({ a: one, b: one });
    const { dataset } = await load({ format: "TfRecord", uri, label: "label", columns: ["pixels"] });
    expect(dataset.count).toBe(12);
  });

  it.each([
    ["of other columns", { a: "a,b\n1,0\n", b: "c,b\n1,0\n" }, "DataRejected", /\/b line 1: has other columns/],
    ["that are damaged", { a: "a,b\n1,0\n", b: "a,b\nx,0\n" }, "DataRejected", /\/b line 2: column 1 is no number/],
    ["that has none", { _SUCCESS: "" }, "InputMissing", /is a folder without files; correct the URI/],
  ])("%s is refused by name", async (_, files, reason, message) => {
    const result = load({ format: "Csv", uri: await shards(files), label: "b" });
    await expect(result).rejects.toMatchObject({ reason });
    await expect(result).rejects.toThrow(message);
  });
});

it("NumPy's float16 and bool are read to the value that they hold", async () => {
  const { dataset } = await load({ format: "Npy", features: at("x-f2.npy"), labels: at("y-b1.npy") });
  expect(dataset.features[5]).toBeCloseTo(1e-3, 6);
  expect(Array.from(dataset.labels)).toEqual([0, 1, 1, 0, 1, 1]);
});

it.each([
  ["x-fortran.npy", /Fortran's order; save numpy.ascontiguousarray/],
  ["x-text.npy", /elements that are no numbers/],
  ["plain.npz", /is no NPY file/],
])("%s is refused with the remedy", async (x, message) => {
  const result = load({ format: "Npy", features: at(x), labels: at("y-u1.npy") });
  await expect(result).rejects.toMatchObject({ reason: "DataRejected" });
  await expect(result).rejects.toThrow(message);
});

it("an archive of NumPy, packed or not, gives the arrays by their names", async () => {
  const { dataset: plain } = await load({ format: "Npz", uri: at("plain.npz") });
  expect(plain.features).toEqual(Float32Array.from(features));
  expect(Array.from(plain.labels)).toEqual(labels);
  const named = { format: "Npz", uri: at("packed.npz"), columns: ["images"], label: "digits", weight: "shares" };
  const { dataset: packed } = await load(named);
  expect(packed.features).toEqual(Float32Array.from(features));
  expect(Array.from(packed.weights ?? [])).toEqual(weights);
  await expect(load({ format: "Npz", uri: at("packed.npz") })).rejects.toThrow(
    "pvc://data/packed.npz: has no array x_train or x; name the arrays in label, columns and weight",
  );
});

it("TensorFlow's examples are read by the names of their features", async () => {
  const tfRecord = { format: "TfRecord", uri: at("examples.tfrecord"), label: "label" };
  const { dataset } = await load({ ...tfRecord, columns: ["pixels"], weight: "weight" });
  expect(dataset).toMatchObject({ count: 6, exampleShape: [2] });
  expect(dataset.features).toEqual(Float32Array.from(features));
  expect(Array.from(dataset.labels)).toEqual(labels);
  expect(Array.from(dataset.weights ?? [])).toEqual(weights);
  const { dataset: joined } = await load({ ...tfRecord, columns: ["age", "pixels"] });
  expect(joined.exampleShape).toEqual([3]);
  expect(Array.from(joined.features.slice(3, 6))).toEqual([-1, -2, 0.5]);
});

it("TensorFlow's texts are refused by name, and their content is told nowhere", async () => {
  const result = load({ format: "TfRecord", uri: at("examples.tfrecord"), label: "label" });
  await expect(result).rejects.toThrow(/record 1: "name" is neither a number nor a list of numbers; leave it out/);
  await expect(result).rejects.not.toThrow(/secret/);
});

it("a TFRecord file with any byte changed, or cut off anywhere, is refused", async () => {
  const bytes = await readFile(join(CORPUS, "examples.tfrecord"));
  const source = { format: "TfRecord", uri: at("damaged.tfrecord"), label: "label", columns: ["pixels"] };
  for (let place = 0; place < bytes.length; place += 7) {
    const changed = Buffer.from(bytes);
    changed[place] = (changed[place] ?? 0) ^ 0x10;
    await writeFile(join(volumes, "data/damaged.tfrecord"), changed);
    await expect(load(source)).rejects.toMatchObject({ reason: "DataRejected" });
  }
  const record = bytes.length / 6;
  for (const length of [1, 11, 12, 40, record - 1, record + 5, bytes.length - 1]) {
    await writeFile(join(volumes, "data/damaged.tfrecord"), bytes.subarray(0, length));
    await expect(load(source)).rejects.toMatchObject({ reason: "DataRejected" });
  }
});

const write = async (path: string, color: string, format: "png" | "jpeg" = "png") => {
  const file = join(volumes, "images/train", path);
  await mkdir(join(file, ".."), { recursive: true });
  await sharp({ create: { width: 6, height: 6, channels: 3, background: color } })
    .toFormat(format)
    .toFile(file);
};

describe("A folder of images", () => {
  const image = { width: 2, height: 3, channels: 3 };
  const folder = { format: "ImageFolder", uri: "pvc://images/train", image };

  beforeEach(async () => {
    await rm(join(volumes, "images"), { recursive: true, force: true });
    await write("dog/1.png", "#ff0000");
    await write("cat/2.png", "#0000ff");
    await write("cat/1.jpg", "#00ff00", "jpeg");
  });

  it("gives each image the number of its class, by the classes' names, in one size", async () => {
    const { dataset, files } = await load(folder);
    expect(dataset).toMatchObject({ count: 3, exampleShape: [3, 2, 3], classes: ["cat", "dog"] });
    expect(Array.from(dataset.labels)).toEqual([0, 0, 1]);
    const firstPixels = [0, 1, 2].map((index) => Array.from(dataset.features.slice(index * 18, index * 18 + 3)));
    expect(firstPixels.slice(1)).toEqual([
      [0, 0, 255],
      [255, 0, 0],
    ]);
    expect(Math.min(firstPixels[0]?.[1] ?? 0, 250)).toBe(250);
    expect(files.map(({ path }) => path)).toEqual(
      ["cat/1.jpg", "cat/2.png", "dog/1.png"].map((p) => `${folder.uri}/${p}`),
    );
  });

  it("can be read as grey", async () => {
    const { dataset } = await load({ ...folder, image: { ...image, channels: 1 } });
    expect(dataset.exampleShape).toEqual([3, 2, 1]);
  });

  it("with a damaged image, or what is no image, is refused by the file's name", async () => {
    const whole = await readFile(join(volumes, "images/train/dog/1.png"));
    await writeFile(join(volumes, "images/train/dog/1.png"), whole.subarray(0, whole.length - 20));
    await expect(load(folder)).rejects.toThrow("pvc://images/train/dog/1.png: cannot be decoded as PNG or JPEG");
    await write("dog/1.png", "#ff0000");
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
    await writeFile(join(volumes, "images/train/dog/2.png"), svg);
    await expect(load(folder)).rejects.toThrow("dog/2.png: cannot be decoded as PNG or JPEG");
    await rm(join(volumes, "images/train/dog/2.png"));
    await writeFile(join(volumes, "images/train/notes.txt"), "");
    await expect(load(folder)).rejects.toThrow("notes.txt: is no image in the folder of a class");
  });
});

it("features that are larger than memory are read from scratch space, with the same values in any order", async () => {
  const { dataset } = await load({ format: "Npz", uri: at("plain.npz") });
  const { ExampleWriter } = await import("./example-writer.ts");
  const writer = new ExampleWriter(16);
  for (let row = 0; row < 6; row += 1) writer.features(dataset.features.slice(2 * row, 2 * row + 2));
  writer.labels(dataset.labels);
  const spilled = writer.finish({ source: "a", exampleShape: [2] });
  expect(spilled.features).not.toBeInstanceOf(Float32Array);
  const { batchesOf } = await import("./batches.ts");
  const order = Uint32Array.of(5, 0, 3, 1, 4, 2);
  const values = (examples: Parameters<typeof batchesOf>[0]) => [...batchesOf(examples, 4, order)];
  expect(values(spilled)).toEqual(values(dataset));
});

const issues = (source: object) => DataSource.safeParse(source).error?.issues.map(({ message }) => message);

it("a format says which fields it needs, and refuses those of others", () => {
  expect(issues({ format: "Npy", uri: at("x") })).toEqual([
    "format Npy needs features and labels, and has none of uri, label, columns, weight and image",
  ]);
  expect(issues({ format: "ImageFolder", uri: at("x") })?.[0]).toMatch(/^format ImageFolder needs uri and image/);
});

it("a folder where a file is expected, and the other way around, is refused by field", async () => {
  await expect(load({ format: "Npz", uri: "pvc://images/train" })).rejects.toThrow(
    "pvc://images/train (spec.dataset.train.uri) is a folder, no file; correct the URI",
  );
  const missing = loadExamples(DataSource.parse({ format: "Npz", uri: at("no.npz") }), volumes, "spec.dataset.train");
  await expect(missing).rejects.toMatchObject({ reason: "InputMissing" });
});
