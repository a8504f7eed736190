/** The IDX format of MNIST: two zero bytes, a type, the number of dimensions, the dimensions, the values (big-endian). */
import type { ArrayFile, ElementType } from "./array-file.ts";
import type { ByteSource } from "./byte-source.ts";
import { rejected } from "./rejected.ts";

const TYPES: Record<number, ElementType> = {
  0x08: { bytes: 1, read: (data, at) => data.getUint8(at) },
  0x09: { bytes: 1, read: (data, at) => data.getInt8(at) },
  0x0b: { bytes: 2, read: (data, at) => data.getInt16(at) },
  0x0c: { bytes: 4, read: (data, at) => data.getInt32(at) },
  0x0d: { bytes: 4, read: (data, at) => data.getFloat32(at) },
  0x0e: { bytes: 8, read: (data, at) => data.getFloat64(at) },
};

const MOST_DIMENSIONS = 8;

/** Opens an IDX file. Throws Failure DataRejected. */
export async function openIdx(bytes: ByteSource, source: string): Promise<ArrayFile> {
  const head = await bytes.read(0, 4 + 4 * MOST_DIMENSIONS);
  const data = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 4 || data.getUint16(0) !== 0) {
    throw rejected(source, "", "is no IDX file; it must begin with two zero bytes");
  }
  const type = TYPES[data.getUint8(2)];
  if (type === undefined) throw rejected(source, "", "has values of an unknown type; convert it");
  const rank = data.getUint8(3);
  const start = 4 + 4 * rank;
  if (rank > MOST_DIMENSIONS)
    throw rejected(source, "", `has more than ${MOST_DIMENSIONS} dimensions; is this an IDX file?`);
  if (rank === 0 || head.length < start) throw rejected(source, "", "ends within its dimensions; copy the file again");
  const shape = Array.from({ length: rank }, (_, i) => data.getUint32(4 + 4 * i));
  return { bytes, source, shape, type, start };
}
