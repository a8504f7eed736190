/**
 * What surviving costs: a saved state in seconds of training, and the time from a kill to the next step of the real program.
 * `node bench/checkpoints.ts [--rounds N]`
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { stringify } from "yaml";
import { Progress, type TrainingProgress } from "../crds/contract/progress.ts";
import { CheckpointStore } from "../runtime/store/checkpoint-store.ts";
import { smallTraining } from "../test/e2e/platform.ts";
import { freePort } from "../test/cluster/ports.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const rounds = Number(values.rounds);
const MAIN = join(import.meta.dirname, "..", "runtime", "main.ts");
const root = await mkdtemp(join(tmpdir(), "checkpoints-"));

const median = (all: number[]) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? NaN;
const show = (value: number) => value.toPrecision(3);

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Weights and Adam's two slots, as the MLP 784-128-64-10 and larger models have them. */
async function saving(): Promise<void> {
  console.log("| weights | bytes of a state with Adam | save, ms | load, ms |\n|---|---|---|---|");
  for (const weights of [109_386, 1_000_000, 10_000_000]) {
    const store = await CheckpointStore.open(join(root, `run-${weights}`));
    const state = Array.from({ length: 3 }, () => new Float32Array(weights).fill(0.5));
    const saves: number[] = [];
    const loads: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      saves.push(await timed(() => store.save(round, {}, state, 2)));
      loads.push(await timed(() => store.newest(() => true, console.warn)));
    }
    console.log(`| ${weights} | ${12 * weights} | ${show(median(saves))} | ${show(median(loads))} |`);
  }
}

function start(file: string, port: number): ChildProcess {
  const args = [MAIN, "train", "-f", file, "--volumes", join(root, "volumes"), "--management-port", String(port)];
  return spawn(process.execPath, args, { detached: true, stdio: "ignore" });
}

/** Asks until `holds`. */
async function until(port: number, holds: (progress: TrainingProgress) => boolean): Promise<TrainingProgress> {
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/progress`).catch(() => undefined);
    const progress = response?.ok === true ? Progress.parse(await response.json()) : undefined;
    if (progress?.kind === "TrainingProgress" && holds(progress)) return progress;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const ended = (child: ChildProcess) => new Promise((resolve) => child.once("close", resolve));

/** A container dies with all its processes. */
async function kill(child: ChildProcess): Promise<void> {
  const end = ended(child);
  if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  await end;
}

async function recovering(): Promise<void> {
  await cp(join(import.meta.dirname, "../examples/digits/data"), join(root, "volumes/models/data"), {
    recursive: true,
  });
  const file = join(root, "job.yaml");
  const runtime = { engine: "TensorFlow" };
  await writeFile(file, stringify(smallTraining("bench", { runtime, epochs: 5000, checkpoint: { everySteps: 50 } })));
  let child = start(file, await freePort());
  const seconds: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const port = await freePort();
    if (round > 0) {
      await kill(child);
      const began = performance.now();
      child = start(file, port);
      await until(port, ({ resumed, step }) => resumed !== undefined && step > resumed.step);
      seconds.push((performance.now() - began) / 1000);
    } else {
      await kill(child);
      child = start(file, port);
    }
    await until(port, ({ checkpoint, step }) => checkpoint !== undefined && step > 100);
  }
  await kill(child);
  console.log(`\nfrom a SIGKILL to the next step, the process alone: ${show(median(seconds))} s (${rounds} times)`);
}

try {
  await saving();
  await recovering();
} finally {
  await rm(root, { recursive: true, force: true });
}
