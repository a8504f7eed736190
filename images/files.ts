import { createHash } from "node:crypto";
import { chmod, copyFile, lutimes, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

/** Everything gets this time, so that equal contents are equal layers. */
const epoch = new Date("2000-01-01T00:00:00Z");

/** Plain files under a folder, relative to it, sorted; links are followed for files only. `except` is a folder name to leave out. */
export async function filesUnder(folder: string, except?: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) {
        if (entry.name !== except) await walk(child);
      } else found.push(relative(folder, child));
    }
  };
  await walk(folder);
  return found.toSorted();
}

/** Copies a file with the contents that a link points at. */
export async function copy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}

/** Modes and times that do not depend on who staged when. */
export async function normalise(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await normalise(path);
    else if (entry.isFile()) await chmod(path, ((await stat(path)).mode & 0o100) === 0 ? 0o644 : 0o755);
    await lutimes(path, epoch, epoch);
  }
  await chmod(folder, 0o755);
  await lutimes(folder, epoch, epoch);
}

/** A digest of files' names and contents. */
export async function filesKey(root: string, files: string[]): Promise<string> {
  return digest(
    await Promise.all(files.toSorted().map(async (file) => [file, await readFile(join(root, file), "utf8")])),
  );
}

export function digest(...values: unknown[]): string {
  return createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, 16);
}
