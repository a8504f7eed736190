/** The NPY format of NumPy (numpy.lib.format): a magic number, a version, a header in Python's syntax, the values. */
import type { ArrayFile, ElementType } from "./array-file.ts";
import type { ByteSource } from "./byte-source.ts";
import { rejected } from "./rejected.ts";

const MAGIC = Buffer.from("\x93NUMPY", "latin1");
const HEADER_LIMIT = 64 * 1024;

type Read = (data: DataView, at: number, little: boolean) => number;

/** By kind and size, as `descr` has them. */
const TYPES: Record<string, Read> = {
  b1: (data, at) => data.getUint8(at),
  u1: (data, at) => data.getUint8(at),
  u2: (data, at, little) => data.getUint16(at, little),
  u4: (data, at, little) => data.getUint32(at, little),
  u8: (data, at, little) => Number(data.getBigUint64(at, little)),
  i1: (data, at) => data.getInt8(at),
  i2: (data, at, little) => data.getInt16(at, little),
  i4: (data, at, little) => data.getInt32(at, little),
  i8: (data, at, little) => Number(data.getBigInt64(at, little)),
  f2: (data, at, little) => data.getFloat16(at, little),
  f4: (data, at, little) => data.getFloat32(at, little),
  f8: (data, at, little) => data.getFloat64(at, little),
};

function elementType(descr: string): ElementType | undefined {
  const [, order, name = ""] = /^([<>|=]?)([a-z]\d)$/.exec(descr) ?? [];
  const read = TYPES[name];
  if (read === undefined) return undefined;
  return { bytes: Number(name[1]), read: (data, at) => read(data, at, order !== ">") };
}

/** Opens an NPY file. Throws Failure DataRejected. */
export async function openNpy(bytes: ByteSource, source: string): Promise<ArrayFile> {
  const prefix = Buffer.from(await bytes.read(0, 12));
  if (prefix.length < 10 || !prefix.subarray(0, 6).equals(MAGIC)) {
    throw rejected(source, "", "is no NPY file; save it with numpy.save");
  }
  const wide = (prefix[6] ?? 0) >= 2;
  if (prefix.length < 12) throw rejected(source, "", "ends within its header; copy the file again");
  const [offset, length] = wide ? [12, prefix.readUInt32LE(8)] : [10, prefix.readUInt16LE(8)];
  if (length > HEADER_LIMIT) throw rejected(source, "", "has a header that is too long; save it again with numpy.save");
  const header = Buffer.from(await bytes.read(offset, length));
  if (header.length < length) throw rejected(source, "", "ends within its header; copy the file again");
  const text = header.toString("utf8");
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const dimensions = /'shape':\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  if (order === undefined || dimensions === undefined || (descr === undefined && !text.includes("'descr'"))) {
    throw rejected(source, "", "has a damaged header; save it again with numpy.save");
  }
  const type = descr === undefined ? undefined : elementType(descr);
  if (type === undefined) {
    throw rejected(
      source,
      "",
      "has elements that are no numbers, or of an unusual type; save it with astype('float32')",
    );
  }
  const shape = (dimensions.match(/\d+/g) ?? []).map(Number);
  if (order === "True" && shape.length > 1) {
    throw rejected(source, "", "is in Fortran's order; save numpy.ascontiguousarray of it");
  }
  return { bytes, source, shape, type, start: offset + length };
}
