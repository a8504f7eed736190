/** The real program, killed at many moments of a training: each run must end in the bit-equal model. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type ChildProcess, spawn } from "node:child_process";
import { watch } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { openArtefact } from "../../runtime/store/artefact.ts";
import { smallTraining } from "../e2e/platform.ts";

const MAIN = fileURLToPath(new URL("../../runtime/main.ts", import.meta.url));
const DIGITS = fileURLToPath(new URL("../../examples/digits/data", import.meta.url));
const MOMENTS = 20;

let root: string;
let volumes: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "kills-"));
  volumes = join(root, "volumes");
  await cp(DIGITS, join(volumes, "models", "data"), { recursive: true });
});
afterAll(() => rm(root, { recursive: true }));

async function manifest(name: string, engine: string): Promise<string> {
  const layers = [
    { dense: { units: 96, activation: "relu" } },
    { dropout: { rate: 0.2 } },
    { dense: { units: 10, activation: "softmax" } },
  ];
  const checkpoint = { everySteps: 3, keep: 2 };
  const spec = { runtime: { engine }, model: { layers }, checkpoint, epochs: 4, batchSize: 64 };
  const file = join(root, `${name}.yaml`);
  await writeFile(file, stringify(smallTraining(name, { ...spec, dataset: { ...DATASET } })));
  return file;
}

const csv = (name: string) => ({ format: "Csv", uri: `pvc://models/data/${name}.csv`, label: "label" });
const DATASET = { train: csv("train"), validation: { split: 0.1 }, test: csv("test") };

interface Process {
  child: ChildProcess;
  ended: Promise<number | null>;
  said: () => string;
}

/** In a group of its own, as all processes of a container die together. */
function start(file: string): Process {
  const env = { ...process.env, MODELWRIGHT_THREADS: "1", NODE_OPTIONS: "" };
  const child = spawn(process.execPath, [MAIN, "train", "-f", file, "--volumes", volumes], { env, detached: true });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (text += data.toString()));
  return { child, ended: new Promise((resolve) => child.once("close", resolve)), said: () => text };
}

function kill({ child }: Process, signal: NodeJS.Signals): void {
  // Kubernetes sends SIGTERM to the first process only.
  if (child.pid !== undefined) process.kill(signal === "SIGKILL" ? -child.pid : child.pid, signal);
}

/** Resolves at the `count`th file of that form that appears in the run's folder of saved states, or when `stop` is called. */
async function seen(name: string, form: RegExp, count: number): Promise<{ happened: Promise<void>; stop: () => void }> {
  const folder = join(volumes, "models", name);
  await mkdir(folder, { recursive: true });
  const controller = new AbortController();
  const happened = new Promise<void>((resolve) => {
    controller.signal.addEventListener("abort", () => resolve());
    const files = new Set<string>();
    const watcher = watch(folder, { recursive: true, signal: controller.signal }, (_, file) => {
      if (file !== null && form.test(file)) files.add(file);
      if (files.size >= count) resolve();
    });
    watcher.on("error", () => resolve());
  });
  return { happened, stop: () => controller.abort() };
}

/** What a kill waits for: a state that is being written, or one that was. */
const WRITING = /\.partial$/;
const WRITTEN = /step-[0-9]{16}$/;

/** The model's files and what it was measured at. Documents name their run and its time, so they differ by design. */
const modelOf = async (name: string) => {
  const folder = join(volumes, "models", name);
  const [run = "", ...others] = await readdir(folder);
  expect(others).toEqual([]);
  const { files, manifest: description } = await openArtefact(join(folder, run));
  return { files: files.filter(({ path }) => !path.startsWith("documents/")), evaluation: description?.evaluation };
};

describe.each(["TensorFlow", "Wasm"])("A training on %s that is killed at 20 moments", (engine) => {
  it("by SIGKILL and SIGTERM, also while it saves its state, ends in the bit-equal model", async () => {
    const [whole, killed] = [`whole-${engine}`.toLowerCase(), `killed-${engine}`.toLowerCase()];
    const reference = start(await manifest(whole, engine));
    expect({ code: await reference.ended, said: reference.said() }).toMatchObject({ code: 0 });

    const file = await manifest(killed, engine);
    let torn = 0;
    let resumed = 0;
    for (let moment = 0; moment < MOMENTS; moment += 1) {
      const signal = moment % 4 < 2 ? "SIGKILL" : "SIGTERM";
      const { happened, stop } = await seen(killed, moment % 2 === 0 ? WRITING : WRITTEN, 1 + (moment % 3));
      const running = start(file);
      const first = await Promise.race([happened.then(() => "killed"), running.ended.then(() => "ended")]);
      // Between two steps, two writes, or within one of them.
      await new Promise((resolve) => setTimeout(resolve, moment % 5));
      if (first === "killed") kill(running, signal);
      const code = await running.ended;
      stop();
      if (running.said().includes("goes on from")) resumed += 1;
      const folder = join(volumes, "models", killed);
      const inside = await readdir(folder, { recursive: true });
      if (inside.some((entry) => WRITING.test(entry))) torn += 1;
      if (code === 0) {
        expect(await modelOf(killed)).toEqual(await modelOf(whole));
        await rm(folder, { recursive: true });
      } else {
        expect({ code, said: running.said() }).toMatchObject({ code: signal === "SIGKILL" ? null : 143 });
      }
    }
    const last = start(file);
    expect({ code: await last.ended, said: last.said() }).toMatchObject({ code: 0 });
    expect(await modelOf(killed)).toEqual(await modelOf(whole));
    expect(resumed).toBeGreaterThan(MOMENTS / 2);
    expect(torn).toBeGreaterThan(0);
  }, 180_000);
});
