/** Models that are one file of any name, such as what a URL names: given a folder of their own, as every model has one. */
import { createHash } from "node:crypto";
import { copyFile, link, mkdir, rename, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { systemCode } from "../failure.ts";

/** The name that the file of a model has in its folder, by extension. */
const NAMES: Readonly<Record<string, string>> = {
  ".keras": "model.keras",
  ".h5": "model.h5",
  ".hdf5": "model.h5",
  ".onnx": "model.onnx",
};

/** `path` itself, unless it is a model's file: then a folder with it alone, named like the file without its extension. */
export async function modelFolder(path: string, scratch = tmpdir()): Promise<string> {
  const extension = extname(path).toLowerCase();
  const name = NAMES[extension];
  const info = name === undefined ? undefined : await stat(path).catch(() => undefined);
  if (name === undefined || info?.isFile() !== true) return path;
  const version = createHash("sha256")
    .update(JSON.stringify([path, info.mtimeMs, info.size]))
    .digest("hex");
  const folder = join(scratch, "modelwright-files", version.slice(0, 32), basename(path).slice(0, -extension.length));
  await mkdir(folder, { recursive: true });
  await place(path, join(folder, name));
  return folder;
}

/** A link where both lie on one file system, else a copy; whole or not at all. */
async function place(from: string, to: string): Promise<void> {
  const own = `${to}.${process.pid}`;
  try {
    await link(from, own);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") await copyFile(from, own);
  }
  await rename(own, to);
}
