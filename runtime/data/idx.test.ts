import { readArrays } from "./array-file.ts";
import { inMemory } from "./byte-source.ts";
import { ExampleWriter } from "./example-writer.ts";
import { openIdx } from "./idx.ts";

function idx(type: number, shape: number[], values: number[]): Uint8Array {
  const dimensions = shape.flatMap((size) => [
    (size >>> 24) & 255,
    (size >>> 16) & 255,
    (size >>> 8) & 255,
    size & 255,
  ]);
  return Uint8Array.from([0, 0, type, shape.length, ...dimensions, ...values]);
}

async function read(features: Uint8Array, labels: Uint8Array) {
  const files = {
    features: await openIdx(inMemory(features), "pvc://a/x.idx"),
    labels: await openIdx(inMemory(labels), "pvc://a/y.idx"),
  };
  return readArrays(files, new ExampleWriter(Infinity));
}

const values = async (file: Uint8Array) => {
  const count = file[7] ?? 0;
  const { features } = await read(
    file,
    idx(
      8,
      [count],
      Array.from({ length: count }, () => 0),
    ),
  );
  return features;
};

const images = idx(8, [2, 1, 2], [1, 2, 3, 255]);

it("reads images and labels as MNIST has them", async () => {
  const dataset = await read(images, idx(8, [2], [7, 9]));
  expect(dataset).toMatchObject({ count: 2, exampleShape: [1, 2], source: "pvc://a/x.idx" });
  expect(dataset.features).toEqual(Float32Array.of(1, 2, 3, 255));
  expect(dataset.labels).toEqual(Float32Array.of(7, 9));
});

it.each([
  ["uint8", 0x08, [255], 255],
  ["int8", 0x09, [255], -1],
  ["int16", 0x0b, [1, 0], 256],
  ["int32", 0x0c, [255, 255, 255, 254], -2],
  ["float32", 0x0d, [0x3f, 0x80, 0, 0], 1],
  ["float64", 0x0e, [0x40, 0, 0, 0, 0, 0, 0, 0], 2],
])("reads %s, big-endian", async (_, type, bytes, value) => {
  expect(await values(idx(type, [1], bytes))).toEqual(Float32Array.of(value));
});

it.each([
  ["what is no IDX file", Uint8Array.of(80, 75, 3, 4), /is no IDX file/],
  ["an unknown type", idx(0x11, [2], [1, 2]), /unknown type/],
  ["a file that is cut off", images.slice(0, -1), /has 19 bytes where its dimensions ask for 20/],
  ["a file with more", Uint8Array.of(...images, 0), /has 21 bytes/],
  ["dimensions that are cut off", images.slice(0, 10), /ends within its dimensions/],
  ["NaN", idx(0x0d, [2], [0, 0, 0, 0, 0x7f, 0xc0, 0, 0]), /x.idx example 2: a value is none that float32 can hold/],
])("refuses %s", async (_, file, message) => {
  const result = read(file, idx(8, [2], [0, 1]));
  await expect(result).rejects.toMatchObject({ reason: "DataRejected", exitCode: 65 });
  await expect(result).rejects.toThrow(message);
});

it("refuses labels of other examples", async () => {
  await expect(read(images, idx(8, [3], [1, 2, 3]))).rejects.toThrow(
    /y.idx: has 3 labels for the 2 examples of pvc:\/\/a\/x.idx/,
  );
});
