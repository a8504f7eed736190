/** Files of examples that gzip has compressed (RFC 1952), whatever their names. */
import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { Failure, systemCode } from "../failure.ts";
import { rejected } from "./rejected.ts";

const CHUNK = 1 << 18;
/** Two bytes that all such files begin with, and the one method there is. */
const MAGIC = Buffer.of(0x1f, 0x8b, 8);

async function isPacked(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
    return buffer.equals(MAGIC);
  } finally {
    await file.close();
  }
}

/** Node's codes of zlib's errors. */
const isDamage = (error: unknown) => /^(Z_|ERR_BUFFER)/.test(systemCode(error) ?? "");

const damaged = (source: string, cause: unknown) =>
  rejected(source, "", "is damaged: gzip cannot unpack it; copy the file again", cause);

/** The bytes of the file, unpacked, in parts. Throws Failure DataRejected. */
export async function* unpackedBytes(path: string, source: string): AsyncGenerator<Uint8Array> {
  const bytes = createReadStream(path, { highWaterMark: CHUNK });
  if (!(await isPacked(path))) {
    yield* bytes;
    return;
  }
  const unpacked = createGunzip({ chunkSize: CHUNK });
  bytes.on("error", (error) => unpacked.destroy(error));
  try {
    yield* bytes.pipe(unpacked);
  } catch (error) {
    if (!isDamage(error)) throw error;
    throw damaged(source, error);
  } finally {
    bytes.destroy();
  }
}

/**
 * Opens the file to be read anywhere; what is compressed is unpacked into scratch space, which is free again when the
 * file is closed. Throws Failure: DataRejected, OutputNotWritable.
 */
export async function openUnpacked(path: string, source: string): Promise<FileHandle> {
  if (!(await isPacked(path))) return open(path);
  const folder = await mkdtemp(join(tmpdir(), "modelwright-unpacked-"));
  const target = join(folder, "bytes");
  try {
    await pipeline(createReadStream(path), createGunzip({ chunkSize: CHUNK }), createWriteStream(target));
    return await open(target);
  } catch (error) {
    if (isDamage(error)) throw damaged(source, error);
    throw new Failure(
      "OutputNotWritable",
      `${source} cannot be unpacked into scratch space (${systemCode(error) ?? "unknown"}); give the pod more ephemeral storage, or unpack the file first`,
      { cause: error },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
