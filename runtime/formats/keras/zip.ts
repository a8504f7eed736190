/** Reads single files out of a zip archive into memory; nothing is ever unpacked to a disk. */
import { type FileHandle, open } from "node:fs/promises";
import { promisify } from "node:util";
import { crc32, inflateRaw } from "node:zlib";
import type { Failure } from "../../failure.ts";
import { unsupported } from "../unsupported.ts";

const inflate = promisify(inflateRaw);

interface Entry {
  name: string;
  method: number;
  crc: number;
  packedBytes: number;
  bytes: number;
  /** Where its header lies. */
  offset: number;
}

export interface Zip {
  has(name: string): boolean;
  /** Unpacked bytes of the file `name`. Throws a Failure when it is missing, damaged or too large. */
  read(name: string, limit: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

const END = 0x06054b50;
const END_BYTES = 22;
const COMMENT_LIMIT = 0xffff;
const CENTRAL = 0x02014b50;
const CENTRAL_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const ZIP64_EXTRA = 1;
const IN_ZIP64 = 0xffffffff;
/** Keras writes three files, and one for each vocabulary. */
const ENTRIES_LIMIT = 1024;
const DIRECTORY_LIMIT = 1024 * 1024;
/** Weights hardly shrink: what grows more than this was made to, unless the caller knows better. */
const RATIO_LIMIT = 100;
const STORED = 0;
const DEFLATED = 8;

async function readAt(file: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, offset);
  if (bytesRead !== bytes) throw new RangeError("ends too early");
  return buffer;
}

/** Sizes and offset as the entry's zip64 extension has them, for those that do not fit 32 bits. */
function wide(extra: Buffer, values: readonly number[]): number[] {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== ZIP64_EXTRA) continue;
    let field = at + 4;
    return values.map((value) => {
      if (value !== IN_ZIP64) return value;
      field += 8;
      return Number(extra.readBigUInt64LE(field - 8));
    });
  }
  return [...values];
}

function parseEntry(directory: Buffer, at: number): { entry: Entry; next: number } {
  if (directory.readUInt32LE(at) !== CENTRAL) throw new RangeError("has a damaged list of files");
  const nameBytes = directory.readUInt16LE(at + 28);
  const extraBytes = directory.readUInt16LE(at + 30);
  const nameEnd = at + CENTRAL_BYTES + nameBytes;
  const next = nameEnd + extraBytes + directory.readUInt16LE(at + 32);
  const [bytes = 0, packedBytes = 0, offset = 0] = wide(directory.subarray(nameEnd, nameEnd + extraBytes), [
    directory.readUInt32LE(at + 24),
    directory.readUInt32LE(at + 20),
    directory.readUInt32LE(at + 42),
  ]);
  const name = directory.toString("utf8", at + CENTRAL_BYTES, nameEnd);
  const [method, crc] = [directory.readUInt16LE(at + 10), directory.readUInt32LE(at + 16)];
  return { entry: { name, method, crc, packedBytes, bytes, offset }, next };
}

async function readEntries(file: FileHandle): Promise<Map<string, Entry>> {
  const { size } = await file.stat();
  const tailBytes = Math.min(size, END_BYTES + COMMENT_LIMIT);
  const tail = await readAt(file, size - tailBytes, tailBytes);
  let end = tail.length - END_BYTES;
  while (end >= 0 && tail.readUInt32LE(end) !== END) end--;
  if (end < 0) throw new RangeError("is no zip archive, or was cut off");
  const count = tail.readUInt16LE(end + 10);
  const directoryBytes = tail.readUInt32LE(end + 12);
  if (count > ENTRIES_LIMIT || directoryBytes > DIRECTORY_LIMIT)
    throw new RangeError(`has more than ${ENTRIES_LIMIT} files`);
  const directory = await readAt(file, tail.readUInt32LE(end + 16), directoryBytes);
  const entries = new Map<string, Entry>();
  for (let index = 0, at = 0; index < count; index++) {
    const { entry, next } = parseEntry(directory, at);
    if (entries.has(entry.name)) throw new RangeError(`has two files ${JSON.stringify(entry.name)}`);
    entries.set(entry.name, entry);
    at = next;
  }
  return entries;
}

async function unpack(file: FileHandle, entry: Entry, limit: number, ratio: number): Promise<Uint8Array> {
  const { bytes, packedBytes, method } = entry;
  if (bytes > limit) throw new RangeError(`has ${bytes} bytes; at most ${limit} are read`);
  if (method !== STORED && method !== DEFLATED)
    throw new RangeError(`is packed with method ${method}; use deflate or none`);
  if (bytes > packedBytes * ratio + 1024) throw new RangeError(`grows more than ${ratio} times when unpacked`);
  const header = await readAt(file, entry.offset, LOCAL_BYTES);
  if (header.readUInt32LE(0) !== LOCAL) throw new RangeError("is not where the list of files says");
  const start = entry.offset + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
  const { size } = await file.stat();
  if (start + packedBytes > size) throw new RangeError("ends too early");
  const packed = await readAt(file, start, packedBytes);
  const data = method === STORED ? packed : await inflate(packed, { maxOutputLength: Math.max(1, bytes) });
  if (data.length !== bytes || crc32(data) !== entry.crc) throw new RangeError("is damaged");
  return data;
}

export interface ZipOptions {
  /** How many times larger than packed a file may be. */
  ratio?: number;
  /** The Failure for what cannot be read; default: ModelUnsupported. */
  refuse?: (name: string, why: string, cause: unknown) => Failure;
}

const unsupportedModel = (name: string, why: string, cause: unknown) =>
  unsupported(name, `${why}; save the model again`, cause);

/** Opens the archive `path`. Throws a Failure for what is no archive, or one with unreasonably many files. */
export async function openZip(
  path: string,
  shownAs: string,
  { ratio = RATIO_LIMIT, refuse = unsupportedModel }: ZipOptions = {},
): Promise<Zip> {
  const refused =
    (name: string) =>
    (error: unknown): never => {
      throw refuse(name, error instanceof Error ? error.message : String(error), error);
    };
  const file = await open(path);
  const entries = await readEntries(file).catch(async (error: unknown) => {
    await file.close();
    return refused(shownAs)(error);
  });
  return {
    has: (name) => entries.has(name),
    read: (name, limit) => {
      const entry = entries.get(name);
      if (entry === undefined) throw unsupported(shownAs, `has no ${name}; save the whole model with model.save`);
      return unpack(file, entry, limit, ratio).catch(refused(`${shownAs}/${name}`));
    },
    close: () => file.close(),
  };
}
