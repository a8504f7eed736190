/** Files of a folder, with what identifies them. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { digestOf } from "../../crds/contract/canonical.ts";

export interface FileRecord {
  /** Relative, with `/`. */
  path: string;
  bytes: number;
  /** Hex. */
  sha256: string;
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

export async function fileRecord(folder: string, path: string): Promise<FileRecord> {
  const local = join(folder, path);
  const [{ size }, sha256] = await Promise.all([stat(local), sha256OfFile(local)]);
  return { path, bytes: size, sha256 };
}

/** Relative paths of all regular files below `folder`, sorted; hidden files and folders are left out. */
export async function listFiles(folder: string, below = ""): Promise<string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true });
  const nested = await Promise.all(
    entries
      .filter((entry) => !entry.name.startsWith("."))
      .map(async (entry) => {
        const path = below === "" ? entry.name : `${below}/${entry.name}`;
        if (entry.isDirectory()) return listFiles(folder, path);
        return entry.isFile() ? [path] : [];
      }),
  );
  return nested.flat().sort();
}

export async function fileRecords(folder: string): Promise<FileRecord[]> {
  const paths = await listFiles(folder);
  const records: FileRecord[] = [];
  for (const path of paths) records.push(await fileRecord(folder, path));
  return records;
}

/** Digest of a set of files that have no manifest: of their sorted path, size and sha256. */
export function filesDigest(files: readonly FileRecord[]): string {
  return digestOf([...files].sort((a, b) => (a.path < b.path ? -1 : 1)));
}

/** Brings a file's or folder's content to the disk. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
