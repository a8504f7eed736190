/** Files with one array of numbers, first dimension first: what its header says, and its values in parts. */
import type { ByteSource } from "./byte-source.ts";
import { type Examples, sizeOf } from "./dataset.ts";
import type { ExampleWriter } from "./example-writer.ts";
import { rejected } from "./rejected.ts";
import { checkWeight } from "./records.ts";

export interface ElementType {
  bytes: number;
  read(data: DataView, at: number): number;
}

export interface ArrayLayout {
  shape: number[];
  type: ElementType;
  /** Where the values begin. */
  start: number;
}

/** An array in a file. */
export interface ArrayFile extends ArrayLayout {
  bytes: ByteSource;
  /** Where it came from, for messages. */
  source: string;
}

const CHUNK = 1024 * 1024;

/** Throws Failure DataRejected when the file has not the bytes that its dimensions ask for. */
export function checkSize({ bytes, source, shape, type, start }: ArrayFile): void {
  const expected = start + sizeOf(shape) * type.bytes;
  if (bytes.size === expected) return;
  throw rejected(source, "", `has ${bytes.size} bytes where its dimensions ask for ${expected}; copy the file again`);
}

/** Its values as float32, in parts. Throws Failure DataRejected naming the example with a value that is none. */
async function* valuesOf({ bytes, source, shape, type, start }: ArrayFile): AsyncGenerator<Float32Array> {
  const count = sizeOf(shape);
  const width = sizeOf(shape.slice(1));
  const most = Math.floor(CHUNK / type.bytes);
  for (let done = 0; done < count;) {
    const part = await bytes.read(start + done * type.bytes, Math.min(most, count - done) * type.bytes);
    const data = new DataView(part.buffer, part.byteOffset, part.byteLength);
    const values = new Float32Array(Math.floor(part.length / type.bytes));
    if (values.length === 0) throw rejected(source, "", "has become shorter while it was read; copy the file again");
    for (let i = 0; i < values.length; i += 1) {
      const value = type.read(data, i * type.bytes);
      values[i] = value;
      if (Number.isFinite(values[i])) continue;
      const where = `example ${Math.floor((done + i) / width) + 1}`;
      throw rejected(source, where, "a value is none that float32 can hold; correct or remove the example");
    }
    yield values;
    done += values.length;
  }
}

export interface ArrayFiles {
  features: ArrayFile;
  labels: ArrayFile;
  weights?: ArrayFile | undefined;
}

function checkCount(other: ArrayFile, what: string, { source, shape: [count = 0] }: ArrayFile): void {
  if (other.shape[0] === count) return;
  const message = `has ${other.shape[0] ?? 0} ${what} for the ${count} examples of ${source}; use files that belong together`;
  throw rejected(other.source, "", message);
}

/** Examples of arrays whose first dimension is the number of examples. Throws Failure DataRejected. */
export async function readArrays({ features, labels, weights }: ArrayFiles, writer: ExampleWriter): Promise<Examples> {
  const all = [features, labels, ...(weights === undefined ? [] : [weights])];
  for (const file of all) {
    if (file.shape.length === 0)
      throw rejected(file.source, "", "has no dimensions; its first is the number of examples");
    checkSize(file);
  }
  checkCount(labels, "labels", features);
  const [count = 0, ...exampleShape] = features.shape;
  if (weights !== undefined) {
    checkCount(weights, "weights", features);
    if (weights.shape.length !== 1)
      throw rejected(weights.source, "", "must have one dimension: a weight for each example");
  }
  const labelShape = labels.shape.slice(1);
  if (count === 0 || sizeOf(exampleShape) === 0 || sizeOf(labelShape) === 0) {
    throw rejected(features.source, "", "has no examples, or empty ones; add some");
  }
  for await (const values of valuesOf(labels)) writer.labels(values);
  for await (const values of weights === undefined ? [] : valuesOf(weights)) {
    writer.weights(values.map((weight) => checkWeight(weight, weights?.source ?? "", "")));
  }
  for await (const values of valuesOf(features)) writer.features(values);
  return writer.finish({
    source: features.source,
    exampleShape: exampleShape.length === 0 ? [1] : exampleShape,
    // A column of single numbers is a number for each example.
    labelShape: sizeOf(labelShape) === 1 ? undefined : labelShape,
  });
}
