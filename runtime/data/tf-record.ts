/**
 * TFRecord files (tensorflow.org/tutorials/load_data/tfrecord) of tf.train.Example messages: length, its checksum, the
 * message, its checksum, all little-endian.
 */
import { ProtobufSyntaxError, fieldsOf, integersOf, textOf } from "../formats/onnx/protobuf-reader.ts";
import type { ByteSource } from "./byte-source.ts";
import { maskedCrc32c } from "./crc32c.ts";
import type { Examples } from "./dataset.ts";
import type { ExampleWriter } from "./example-writer.ts";
import { type ColumnOptions, RecordReader } from "./records.ts";
import { rejected } from "./rejected.ts";

const LENGTH_BYTES = 8;
const CRC_BYTES = 4;
const HEAD_BYTES = LENGTH_BYTES + CRC_BYTES;
const RECORD_LIMIT = 256 * 1024 * 1024;
const WINDOW = 4 * 1024 * 1024;

/** Reads on and on, a large part at a time. */
class Window {
  readonly #bytes: ByteSource;
  #part: Uint8Array = new Uint8Array();
  #start = 0;

  constructor(bytes: ByteSource) {
    this.#bytes = bytes;
  }

  /** The bytes from `offset` on; fewer where the file ends. */
  async at(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start || offset + length > this.#start + this.#part.length) {
      this.#part = await this.#bytes.read(offset, Math.max(WINDOW, length));
      this.#start = offset;
    }
    return this.#part.subarray(offset - this.#start, offset - this.#start + length);
  }
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The records of a file, checked. Throws Failure DataRejected naming the damaged one. */
export async function* recordsOf(bytes: ByteSource, source: string): AsyncGenerator<Uint8Array> {
  const window = new Window(bytes);
  for (let at = 0, number = 1; at < bytes.size; number += 1) {
    const where = `record ${number}`;
    const head = await window.at(at, HEAD_BYTES);
    if (head.length < HEAD_BYTES) throw rejected(source, where, "the file ends within it; copy the file again");
    const length = Number(viewOf(head).getBigUint64(0, true));
    if (viewOf(head).getUint32(LENGTH_BYTES, true) !== maskedCrc32c(head.subarray(0, LENGTH_BYTES))) {
      throw rejected(source, where, number === 1 ? "is no TFRecord" : "its length is damaged; copy the file again");
    }
    if (length > RECORD_LIMIT) throw rejected(source, where, `has more than ${RECORD_LIMIT} bytes; split the examples`);
    const body = await window.at(at + HEAD_BYTES, length + CRC_BYTES);
    if (body.length < length + CRC_BYTES) throw rejected(source, where, "the file ends within it; copy the file again");
    const message = body.subarray(0, length);
    if (viewOf(body).getUint32(length, true) !== maskedCrc32c(message)) {
      throw rejected(source, where, "is damaged: its checksum is wrong; copy the file again");
    }
    yield message;
    at += HEAD_BYTES + length + CRC_BYTES;
  }
}

/** A record as a file has it. */
export function record(message: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(HEAD_BYTES + message.length + CRC_BYTES);
  bytes.writeBigUInt64LE(BigInt(message.length));
  bytes.writeUInt32LE(maskedCrc32c(bytes.subarray(0, LENGTH_BYTES)), LENGTH_BYTES);
  bytes.set(message, HEAD_BYTES);
  bytes.writeUInt32LE(maskedCrc32c(message), HEAD_BYTES + message.length);
  return bytes;
}

/** Field numbers of tf.train.Feature. */
const FLOATS = 2;
const INTEGERS = 3;

function floatsOf(list: Uint8Array): number[] {
  return [...fieldsOf(list)].flatMap(({ bytes = new Uint8Array() }) => {
    if (bytes.length % 4 !== 0) throw new ProtobufSyntaxError("a float ends after its list");
    const data = viewOf(bytes);
    return Array.from({ length: bytes.length / 4 }, (_, i) => data.getFloat32(4 * i, true));
  });
}

/** One number as such, several as a list; undefined for bytes. */
function valueOf(feature: Uint8Array): number | number[] | undefined {
  for (const { number, bytes = new Uint8Array() } of fieldsOf(feature)) {
    const values =
      number === FLOATS
        ? floatsOf(bytes)
        : number === INTEGERS
          ? [...fieldsOf(bytes)].flatMap((field) => integersOf(field).map(Number))
          : undefined;
    const [only] = values ?? [];
    return values?.length === 1 ? only : values;
  }
  return undefined;
}

/** The named values of a tf.train.Example. Throws ProtobufSyntaxError. */
function exampleOf(message: Uint8Array): Record<string, number | number[] | undefined> {
  const record: [string, number | number[] | undefined][] = [];
  for (const { bytes: features = new Uint8Array() } of fieldsOf(message)) {
    for (const { bytes: entry = new Uint8Array() } of fieldsOf(features)) {
      const parts = [...fieldsOf(entry)];
      const key = parts.find(({ number }) => number === 1);
      const value = parts.find(({ number }) => number === 2)?.bytes;
      record.push([key === undefined ? "" : textOf(key), valueOf(value ?? new Uint8Array())]);
    }
  }
  // Messages of one form may have their columns in any order.
  return Object.fromEntries(record.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Parses a TFRecord file. Throws Failure: DataRejected, InvalidSpec. */
export async function parseTfRecord(
  bytes: ByteSource,
  options: ColumnOptions,
  writer: ExampleWriter,
): Promise<Examples> {
  const reader = new RecordReader(options, writer);
  await addTfRecord(bytes, options.source, reader);
  return reader.finish();
}

/** Adds the examples of a TFRecord file. Throws Failure DataRejected. */
export async function addTfRecord(bytes: ByteSource, source: string, reader: RecordReader): Promise<void> {
  reader.open(source);
  let number = 0;
  for await (const message of recordsOf(bytes, source)) {
    number += 1;
    const where = `record ${number}`;
    try {
      reader.add(exampleOf(message), where);
    } catch (error) {
      if (!(error instanceof ProtobufSyntaxError)) throw error;
      throw rejected(source, where, "is no tf.train.Example; write the examples as such", error);
    }
  }
}
