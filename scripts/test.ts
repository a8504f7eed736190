/**
 * `npm test`: checks, then unit, integration and e2e tests, with everything that they need:
 * the TensorFlow engine, the cluster's programs, a real node and the images. A skipped test is a failure.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findPrograms } from "../test/cluster/programs.ts";
import { ensurePackages } from "../test/cluster/packages.ts";
import { ensureClients } from "../test/conformance/python-clients.ts";

const ROOT = join(import.meta.dirname, "..");
const PACKAGES = ["g++", "make", "python3", "python3-pip", "binutils", "openssl", "buildah", "debootstrap"];

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const began = performance.now();
const seconds = (since: number) => `${((performance.now() - since) / 1000).toFixed(0)} s`;

function heading(text: string): void {
  console.log(`\n== ${text}  (${seconds(began)})`);
}

function run(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

/** Runs one of jest's projects; a suite that does not even start counts as a failure. */
async function jest(project: string, folder: string): Promise<Counts> {
  heading(`${project} tests`);
  const file = join(folder, `${project}.json`);
  const serial = project === "unit" ? [] : ["--runInBand"];
  const jestProgram = join(ROOT, "node_modules", "jest", "bin", "jest.js");
  const code = await run([
    "--experimental-vm-modules",
    "--no-warnings",
    jestProgram,
    "--selectProjects",
    project,
    ...serial,
    "--json",
    `--outputFile=${file}`,
  ]);
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return { passed: 0, failed: 1, skipped: 0 };
  const result = JSON.parse(text) as Record<string, number>;
  const count = (name: string) => result[name] ?? 0;
  const failed = count("numFailedTests") + count("numRuntimeErrorTestSuites");
  return {
    passed: count("numPassedTests"),
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: count("numPendingTests") + count("numTodoTests"),
  };
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "modelwright-test-"));
  const only = process.argv.slice(2);
  const wanted = (project: string) => only.length === 0 || only.includes(project);
  try {
    heading("check");
    const check = await run([join(ROOT, "scripts", "check.ts")]);
    heading("what the tests need");
    await ensurePackages(PACKAGES, "to build the engine and the images");
    const engine = await run([join(ROOT, "runtime", "engine", "build", "main.ts")]);
    await findPrograms({ log: console.log });
    await ensureClients();
    const results: Counts[] = [{ passed: 0, failed: (check === 0 ? 0 : 1) + (engine === 0 ? 0 : 1), skipped: 0 }];
    for (const project of ["unit", "integration", "e2e"]) {
      if (wanted(project)) results.push(await jest(project, folder));
    }
    const sum = (pick: (counts: Counts) => number) => results.reduce((total, counts) => total + pick(counts), 0);
    const [passed, failed, skipped] = [sum((c) => c.passed), sum((c) => c.failed), sum((c) => c.skipped)];
    if (check !== 0) console.log("npm run check failed, see above");
    if (skipped > 0) console.log(`${skipped} tests were skipped: that counts as failed`);
    console.log(`\nall in ${seconds(began)}\n${passed} passed, ${failed + skipped} failed`);
    process.exitCode = failed + skipped === 0 && passed > 0 ? 0 : 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
