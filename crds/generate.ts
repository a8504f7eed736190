/** Writes the CustomResourceDefinitions and their reference pages: `npm run crds`. With --check it only compares. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crdYaml } from "./crd.ts";
import { KINDS } from "./kinds.ts";
import { referencePage } from "./reference.ts";

const ROOT = join(import.meta.dirname, "..");
const check = process.argv.includes("--check");

const generated = KINDS.flatMap((kind) => [
  { file: `crds/${kind.plural}.yaml`, text: crdYaml(kind) },
  { file: `docs/reference/${kind.plural}.md`, text: referencePage(kind) },
]);

for (const { file, text } of generated) {
  const path = join(ROOT, file);
  if (text === (await readFile(path, "utf8").catch(() => ""))) continue;
  if (check) {
    console.error(`${file} differs from its schema; run: npm run crds`);
    process.exitCode = 1;
  } else {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    console.log(`wrote ${file}`);
  }
}
