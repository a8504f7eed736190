/** `modelwright validate`: what admission would say, offline. */
import { parseArgs } from "node:util";
import { EXIT } from "../../crds/contract/exit-code.ts";
import type { Environment } from "./environment.ts";
import { checkManifests, errorLines } from "./manifests.ts";
import { UsageError } from "./usage.ts";

export async function validate(argv: string[], { out, err }: Environment): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    options: { file: { type: "string", short: "f", multiple: true, default: [] } },
    allowPositionals: true,
  });
  const files = [...values.file, ...positionals];
  if (files.length === 0) throw new UsageError("validate needs -f FILE");
  let wrong = false;
  for (const checked of (await Promise.all(files.map(checkManifests))).flat()) {
    for (const line of errorLines(checked)) err(line);
    wrong ||= checked.errors.length > 0;
    if (checked.manifest !== undefined)
      out(`${checked.file}: ${checked.manifest.kind} ${checked.manifest.metadata.name} is valid`);
  }
  return wrong ? EXIT.specification : EXIT.done;
}
