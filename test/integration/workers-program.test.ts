/** A training with several workers, each the real program in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { openArtefact } from "../../runtime/store/artefact.ts";
import { smallTraining } from "../e2e/platform.ts";
import { freePort } from "../cluster/ports.ts";

const MAIN = fileURLToPath(new URL("../../runtime/main.ts", import.meta.url));
const DIGITS = fileURLToPath(new URL("../../examples/digits/data", import.meta.url));

let root: string;
let volumes: string;
let key: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "workers-"));
  volumes = join(root, "volumes");
  key = join(root, "key");
  await cp(DIGITS, join(volumes, "models", "data"), { recursive: true });
  await writeFile(key, randomBytes(32));
});
afterAll(() => rm(root, { recursive: true }));

const csv = (name: string) => ({ format: "Csv", uri: `pvc://models/data/${name}.csv`, label: "label" });

async function manifest(name: string, change: Record<string, unknown>): Promise<string> {
  const layers = [{ dense: { units: 32, activation: "tanh" } }, { dense: { units: 10, activation: "softmax" } }];
  const dataset = { train: csv("train"), validation: { split: 0.1 }, test: csv("test") };
  const optimizer = { sgd: { learningRate: 0.05 } };
  const spec = { runtime: { engine: "TensorFlow" }, dataset, model: { layers }, optimizer, epochs: 2, batchSize: 64 };
  const file = join(root, `${name}.yaml`);
  await writeFile(file, stringify(smallTraining(name, { ...spec, ...change })));
  return file;
}

interface Worker {
  child: ChildProcess;
  said: () => string;
  ended: Promise<number | null>;
}

function start(file: string, ...flags: string[]): Worker {
  const env = { ...process.env, MODELWRIGHT_THREADS: "1", NODE_OPTIONS: "" };
  const args = [MAIN, "train", "-f", file, "--volumes", volumes, ...flags];
  const child = spawn(process.execPath, args, { env, detached: true });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (text += data.toString()));
  return { child, said: () => text, ended: new Promise((resolve) => child.once("close", resolve)) };
}

/** As a container dies: all its processes at once. */
function kill({ child }: Worker): void {
  if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
}

async function placesFor(size: number): Promise<string[][]> {
  const addresses: string[] = [];
  for (let rank = 0; rank < size; rank += 1) addresses.push("--worker-address", `127.0.0.1:${await freePort()}`);
  return Array.from({ length: size }, (_, rank) => [
    "--worker",
    String(rank),
    "--workers-key",
    key,
    ...addresses,
    "--management-port",
    "0",
  ]);
}

async function artefactOf(name: string) {
  const folder = join(volumes, "models", name);
  const [run] = await readdir(folder);
  const dir = join(folder, run ?? "");
  const artefact = await openArtefact(dir);
  const [weights] = artefact.files.filter(({ path }) => path.endsWith(".bin"));
  const bytes = await readFile(join(dir, weights?.path ?? ""));
  return { artefact, weights: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)) };
}

async function until(worker: Worker, text: RegExp): Promise<void> {
  while (!text.test(worker.said())) {
    if (worker.child.exitCode !== null) throw new Error(`it has ended: ${worker.said()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const distance = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, value, index) => Math.max(most, Math.abs(value - (b[index] ?? NaN))), 0);

it("two workers end with the model of one", async () => {
  expect(await start(await manifest("alone", {})).ended).toBe(0);
  const file = await manifest("two", { workers: 2 });
  const workers = (await placesFor(2)).map((flags) => start(file, ...flags));
  expect(await Promise.all(workers.map(({ ended }) => ended))).toEqual([0, 0]);
  const [alone, two] = [await artefactOf("alone"), await artefactOf("two")];
  expect(distance(two.weights, alone.weights)).toBeLessThan(1e-4);
  const [of, expected] = [two, alone].map(({ artefact }) => artefact.manifest?.evaluation?.["loss"]);
  expect(of).toBeCloseTo(expected ?? NaN, 4);
  // Both processes' energy is that of the run.
  expect(two.artefact.manifest?.energy?.kWh).toBeGreaterThan(0);
}, 240_000);

it.each([
  ["the first", 0],
  ["another", 1],
])(
  "when %s worker is killed the others wait for it, and all end with the bits of an undisturbed training",
  async (_, lost) => {
    const change = { workers: 2, epochs: 6, checkpoint: { everySteps: 5, keep: 2 } };
    const undisturbed = await manifest(`undisturbed-${lost}`, change);
    const whole = (await placesFor(2)).map((flags) => start(undisturbed, ...flags));
    expect(await Promise.all(whole.map(({ ended }) => ended))).toEqual([0, 0]);

    const file = await manifest(`killed-${lost}`, change);
    const places = await placesFor(2);
    const workers = places.map((flags) => start(file, ...flags));
    const [first, second] = workers;
    if (first === undefined || second === undefined) throw new RangeError("there are two");
    await until(first, /epoch 2\/6/);
    const victim = lost === 0 ? first : second;
    const other = lost === 0 ? second : first;
    kill(victim);
    await victim.ended;
    await until(other, /waiting for it to come back/);
    const again = start(file, ...(places[lost] ?? []));
    expect(await Promise.all([other.ended, again.ended])).toEqual([0, 0]);
    const [disturbed, expected] = [await artefactOf(`killed-${lost}`), await artefactOf(`undisturbed-${lost}`)];
    expect(disturbed.weights).toEqual(expected.weights);
  },
  240_000,
);
