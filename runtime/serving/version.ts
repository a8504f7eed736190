import { readFile } from "node:fs/promises";
import { findPackageJSON } from "node:module";
import { z } from "zod";

/** The program's version, from the package.json that it belongs to: a checkout's or an image's. */
export async function programVersion(): Promise<string> {
  const file = findPackageJSON(import.meta.url);
  if (file === undefined) return "unknown";
  return z.object({ version: z.string() }).parse(JSON.parse(await readFile(file, "utf8"))).version;
}
