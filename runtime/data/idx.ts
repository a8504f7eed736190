/** The IDX format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions, the values (big-endian). */
import { Failure } from "../failure.ts";
import { type Dataset, sizeOf } from "./dataset.ts";

interface IdxArray {
  shape: number[];
  values: Float32Array;
}

const TYPES = {
  0x08: { name: "uint8", bytes: 1, read: (data: DataView, at: number) => data.getUint8(at) },
  0x0c: { name: "int32", bytes: 4, read: (data: DataView, at: number) => data.getInt32(at) },
  0x0d: { name: "float32", bytes: 4, read: (data: DataView, at: number) => data.getFloat32(at) },
} as const;

function rejected(source: string, message: string): Failure {
  return new Failure("DataRejected", `${source}: ${message}`);
}

/** Parses one IDX file. Throws Failure DataRejected. */
export function parseIdx(bytes: Uint8Array, source: string): IdxArray {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b) {
    throw rejected(source, "is compressed with gzip; unpack it first");
  }
  if (bytes.length < 4 || data.getUint16(0) !== 0)
    throw rejected(source, "is no IDX file; it must begin with two zero bytes");
  const type = Object.entries(TYPES).find(([code]) => Number(code) === bytes[2])?.[1];
  if (type === undefined)
    throw rejected(source, "has values of a type other than uint8, int32 and float32; convert it");
  const rank = bytes[3] ?? 0;
  const start = 4 + 4 * rank;
  if (rank === 0 || bytes.length < start) throw rejected(source, "ends within its dimensions; copy the file again");
  const shape = Array.from({ length: rank }, (_, i) => data.getUint32(4 + 4 * i));
  const count = sizeOf(shape);
  if (bytes.length !== start + count * type.bytes) {
    throw rejected(
      source,
      `has ${bytes.length} bytes where its dimensions ask for ${start + count * type.bytes}; copy the file again`,
    );
  }
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 1) {
    const value = type.read(data, start + i * type.bytes);
    if (!Number.isFinite(value)) throw rejected(source, `value ${i} is not finite; correct or remove the example`);
    values[i] = value;
  }
  return { shape, values };
}

/** Examples and labels of two IDX files. Throws Failure DataRejected. */
export function datasetOfIdx(
  features: IdxArray,
  labels: IdxArray,
  names: { features: string; labels: string },
): Dataset {
  const [count = 0, ...exampleShape] = features.shape;
  if (labels.shape.length !== 1) throw rejected(names.labels, "must have one dimension: a label for each example");
  if (labels.shape[0] !== count) {
    throw rejected(
      names.labels,
      `has ${labels.shape[0] ?? 0} labels for the ${count} examples of ${names.features}; use files that belong together`,
    );
  }
  if (count === 0) throw rejected(names.features, "has no examples");
  return {
    features: features.values,
    labels: labels.values,
    exampleShape: exampleShape.length === 0 ? [1] : exampleShape,
    count,
    source: names.features,
  };
}
