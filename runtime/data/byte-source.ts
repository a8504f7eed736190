/** Bytes that can be read anywhere: of a file, or in memory. */
import type { FileHandle } from "node:fs/promises";

export interface ByteSource {
  readonly size: number;
  /** The bytes from `offset` on, at most `length` of them; fewer at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export function inMemory(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

export async function ofFile(file: FileHandle): Promise<ByteSource> {
  const { size } = await file.stat();
  return {
    size,
    async read(offset, length) {
      const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset)));
      let done = 0;
      while (done < bytes.length) {
        const { bytesRead } = await file.read(bytes, done, bytes.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return bytes.subarray(0, done);
    },
  };
}
