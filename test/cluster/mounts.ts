import { readFile } from "node:fs/promises";
import { command } from "./command.ts";

/** Unmounts everything below a folder, the innermost first. Throws if something stays, so that nobody deletes through a mount. */
export async function unmountBelow(folder: string): Promise<void> {
  for (const mount of await mountsBelow(folder)) await command("umount", ["--lazy", mount]).catch(() => "");
  const left = await mountsBelow(folder);
  if (left.length > 0) throw new Error(`these are still mounted, unmount them by hand: ${left.join(", ")}`);
}

async function mountsBelow(folder: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mounts", "utf8")).split("\n");
  const paths = lines.map((line) => (line.split(" ")[1] ?? "").replaceAll("\\040", " "));
  return paths.filter((path) => path.startsWith(`${folder}/`)).toReversed();
}
