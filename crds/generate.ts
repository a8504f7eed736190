/** Writes the CustomResourceDefinitions: `npm run crds`. With --check it only compares. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crdYaml } from "./crd.ts";
import { KINDS } from "./kinds.ts";

const check = process.argv.includes("--check");
for (const kind of KINDS) {
  const file = join(import.meta.dirname, `${kind.plural}.yaml`);
  const yaml = crdYaml(kind);
  const before = await readFile(file, "utf8").catch(() => "");
  if (yaml === before) continue;
  if (check) {
    console.error(`crds/${kind.plural}.yaml differs from its schema; run: npm run crds`);
    process.exitCode = 1;
  } else {
    await writeFile(file, yaml);
    console.log(`wrote crds/${kind.plural}.yaml`);
  }
}
