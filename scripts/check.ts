/** `npm run check`: formatting, lint (floating promises are errors), types, unused code and dependencies, CRD drift. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const FOLDERS = ["crds", "operator", "runtime", "test", "images", "bench", "examples", "scripts"].filter((folder) =>
  existsSync(folder),
);

const CHECKS: [name: string, command: string, args: string[]][] = [
  ["format", "oxfmt", ["--check", ...FOLDERS]],
  ["lint", "oxlint", ["--type-aware", ...FOLDERS]],
  ["types", "tsc", ["-p", "."]],
  ["unused code and dependencies", "knip", []],
  ["CRDs match their schemas", "node", ["crds/generate.ts", "--check"]],
  ["chart matches CRDs and rights", "node", ["images/chart.ts", "--check"]],
];

for (const [name, command, args] of CHECKS) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${name} (${seconds} s)`);
  if (status !== 0) {
    console.log(stdout + stderr);
    process.exitCode = 1;
  }
}
