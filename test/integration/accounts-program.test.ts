/** What a training accounts for, by the real program: privacy that is spent, and energy. */
import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { Progress, type TrainingProgress } from "../../crds/contract/progress.ts";
import { openArtefact } from "../../runtime/store/artefact.ts";
import { Accountant } from "../../runtime/training/privacy/accountant.ts";
import { smallTraining } from "../e2e/platform.ts";

const MAIN = fileURLToPath(new URL("../../runtime/main.ts", import.meta.url));
const DIGITS = fileURLToPath(new URL("../../examples/digits/data", import.meta.url));

let root: string;
let volumes: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "accounts-"));
  volumes = join(root, "volumes");
  await cp(DIGITS, join(volumes, "models", "data"), { recursive: true });
});
afterAll(() => rm(root, { recursive: true }));

async function manifest(name: string, change: Record<string, unknown>): Promise<string> {
  const file = join(root, `${name}.yaml`);
  await writeFile(file, stringify(smallTraining(name, { runtime: { engine: "TensorFlow" }, ...change })));
  return file;
}

interface Running {
  child: ChildProcess;
  said: () => string;
  ended: Promise<{ code: number | null; progress: TrainingProgress }>;
}

function start(file: string): Running {
  const message = `${file}.json`;
  const env = {
    ...process.env,
    MODELWRIGHT_THREADS: "1",
    MODELWRIGHT_ENERGY: "gramsPerKWh=100,pue=2",
    NODE_OPTIONS: "",
  };
  const args = [MAIN, "train", "-f", file, "--volumes", volumes, "--termination-message", message];
  const child = spawn(process.execPath, args, { env });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (text += data.toString()));
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const ended = code.then(async (value) => {
    const progress = Progress.parse(JSON.parse(await readFile(message, "utf8")));
    if (progress.kind !== "TrainingProgress") throw new TypeError(text);
    return { code: value, progress };
  });
  return { child, said: () => text, ended };
}

async function artefactOf(name: string) {
  const folder = join(volumes, "models", name);
  const [run = ""] = await readdir(folder);
  const dir = join(folder, run);
  const { manifest: facts } = await openArtefact(dir);
  return { facts, card: await readFile(join(dir, "documents", "model-card.md"), "utf8") };
}

/** The digits' training file has so many examples. */
const EXAMPLES = 1437;
const BATCH = 64;
const STEPS_OF_EPOCH = Math.ceil(EXAMPLES / BATCH);
const PRIVACY = { noiseMultiplier: 1.1, l2NormClip: 1, delta: 1e-5 };

function epsilonAfter(steps: number): number {
  const mechanism = { samplingRate: BATCH / EXAMPLES, noiseMultiplier: PRIVACY.noiseMultiplier };
  return new Accountant(mechanism, PRIVACY.delta).epsilon(steps);
}

it("a private training learns, and one that was interrupted has spent what all its steps cost", async () => {
  const training = {
    privacy: { differentialPrivacy: PRIVACY },
    epochs: 8,
    batchSize: BATCH,
    checkpoint: { everySteps: 10, keep: 2 },
  };
  const file = await manifest("private", training);
  const first = start(file);
  while (!/epoch 3\/8/.test(first.said()) && first.child.exitCode === null) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  first.child.kill("SIGTERM");
  expect(await first.ended).toMatchObject({ code: 143 });

  const { code, progress } = await start(file).ended;
  expect({ code, failure: progress.failure }).toEqual({ code: 0, failure: undefined });
  expect(progress.resumed?.epoch).toBeGreaterThanOrEqual(2);
  const epsilon = epsilonAfter(8 * STEPS_OF_EPOCH);
  expect(progress.privacy?.epsilon).toBeGreaterThanOrEqual(epsilon);
  expect(progress.privacy?.epsilon).toBeCloseTo(epsilon, 3);
  expect(progress).toMatchObject({ compiled: false, notCompiled: expect.stringContaining("spec.privacy") as string });
  const { facts, card } = await artefactOf("private");
  expect(facts?.privacy).toEqual(progress.privacy);
  expect(facts?.evaluation?.["accuracy"]).toBeGreaterThan(0.5);
  expect(card).toContain(`epsilon ${progress.privacy?.epsilon} at delta 0.00001`);
}, 120_000);

it("a training ends, complete, with the last step that its privacy budget allows", async () => {
  const maxEpsilon = 1.5;
  const privacy = { differentialPrivacy: { ...PRIVACY, maxEpsilon } };
  const { code, progress } = await start(await manifest("limited", { privacy, epochs: 50, batchSize: BATCH })).ended;
  expect({ code, failure: progress.failure }).toEqual({ code: 0, failure: undefined });
  expect(epsilonAfter(progress.step)).toBeLessThanOrEqual(maxEpsilon);
  expect(epsilonAfter(progress.step + 1)).toBeGreaterThan(maxEpsilon);
  expect(progress.step).toBeLessThan(50 * STEPS_OF_EPOCH);
}, 120_000);

it("tells the energy that it took, by which source, with the grid and the data centre that it was told", async () => {
  const { code, progress } = await start(await manifest("counted", { epochs: 1 })).ended;
  expect(code).toBe(0);
  const { energy } = progress;
  expect(energy).toMatchObject({ source: "CpuModel", gramsPerKWh: 100, pue: 2 });
  expect(energy?.kWh).toBeGreaterThan(0);
  expect((energy?.gCO2e ?? NaN) / (energy?.kWh ?? NaN)).toBeCloseTo(100, 0);
  const { facts, card } = await artefactOf("counted");
  expect(facts?.energy).toEqual(energy);
  expect(card).toContain("CpuModel, 100 g/kWh, PUE 2");
}, 60_000);
