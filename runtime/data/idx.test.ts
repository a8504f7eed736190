import { datasetOfIdx, parseIdx } from "./idx.ts";

function idx(type: number, shape: number[], values: number[]): Uint8Array {
  const dimensions = shape.flatMap((size) => [
    (size >>> 24) & 255,
    (size >>> 16) & 255,
    (size >>> 8) & 255,
    size & 255,
  ]);
  return Uint8Array.from([0, 0, type, shape.length, ...dimensions, ...values]);
}

const names = { features: "pvc://a/x.idx", labels: "pvc://a/y.idx" };

it("reads images and labels as MNIST has them", () => {
  const features = parseIdx(idx(8, [2, 1, 2], [1, 2, 3, 255]), "x.idx");
  const labels = parseIdx(idx(8, [2], [7, 9]), "y.idx");
  const dataset = datasetOfIdx(features, labels, names);
  expect(dataset).toMatchObject({ count: 2, exampleShape: [1, 2] });
  expect(Array.from(dataset.features)).toEqual([1, 2, 3, 255]);
  expect(Array.from(dataset.labels)).toEqual([7, 9]);
});

it("reads int32 and float32, which are big-endian", () => {
  expect(Array.from(parseIdx(idx(0x0c, [2], [0, 0, 1, 0, 255, 255, 255, 255]), "x").values)).toEqual([256, -1]);
  expect(Array.from(parseIdx(idx(0x0d, [1], [0x3f, 0x80, 0, 0]), "x").values)).toEqual([1]);
});

it.each([
  ["gzip", Uint8Array.from([0x1f, 0x8b, 8, 0]), /compressed with gzip; unpack it first/],
  ["another file", Uint8Array.from([1, 2, 3, 4]), /no IDX file/],
  ["doubles", idx(0x0e, [1], [0, 0, 0, 0, 0, 0, 0, 0]), /type other than/],
  ["a short file", idx(8, [4], [1, 2]), /has 10 bytes where its dimensions ask for 12/],
  ["a long file", idx(8, [1], [1, 2]), /has 10 bytes/],
  ["dimensions that ask for the impossible", idx(8, [0xffffffff, 0xffffffff], []), /dimensions ask for/],
  ["values that are not finite", idx(0x0d, [1], [0x7f, 0xc0, 0, 0]), /value 0 is not finite/],
  ["an empty file", Uint8Array.of(), /no IDX file/],
])("rejects %s", (_, bytes, message) => {
  expect(() => parseIdx(bytes, "pvc://a/x.idx")).toThrow(message);
});

it("rejects files that do not belong together", () => {
  const one = { shape: [1, 2], values: new Float32Array(2) };
  expect(() => datasetOfIdx(one, { shape: [2], values: new Float32Array(2) }, names)).toThrow(
    /has 2 labels for the 1 examples/,
  );
  expect(() => datasetOfIdx(one, { shape: [1, 1], values: new Float32Array(1) }, names)).toThrow(/one dimension/);
});
