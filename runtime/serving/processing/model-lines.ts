/** A text file beside the model, of which each line counts. */
import { readFile, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { Failure } from "../../failure.ts";
import type { ModelFolder } from "./pipeline.ts";

const MAX_BYTES = 64 * 1024 * 1024;

/** Throws Failure InputMissing, InvalidSpec. */
export async function readLines({ dir, shownAs }: ModelFolder, file: string, field: string): Promise<string[]> {
  const path = join(dir, file);
  const [root, real] = await Promise.all([realpath(dir), realpath(path)]).catch((cause: unknown) => {
    throw new Failure("InputMissing", `${field}: ${shownAs} has no ${file}; put it beside the model`, { cause });
  });
  if (!real.startsWith(root + sep)) {
    throw new Failure("InvalidSpec", `${field}: ${file} leads out of the model's folder through a symbolic link`);
  }
  if ((await stat(real)).size > MAX_BYTES) throw new Failure("InvalidSpec", `${field}: ${file} has more than 64 MiB`);
  const lines = (await readFile(real, "utf8")).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
