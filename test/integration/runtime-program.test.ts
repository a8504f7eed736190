/** The real program on real data, as a user runs it. */
import { execFile, spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { ArtefactManifest } from "../../crds/contract/artefact.ts";
import { Progress } from "../../crds/contract/progress.ts";
import { trainingRun } from "../../crds/contract/run.ts";
import { validateManifest } from "../../crds/kinds.ts";
import type { TrainingJob } from "../../crds/training-job.ts";
import { openArtefact } from "../../runtime/store/artefact.ts";

const MAIN = fileURLToPath(new URL("../../runtime/main.ts", import.meta.url));
const DIGITS = fileURLToPath(new URL("../../examples/digits/", import.meta.url));

const wasm = { engine: "Wasm" };

/** A model that learns in a second. */
const SMALL = {
  layers: [
    { conv2d: { filters: 8, kernelSize: [3, 3], padding: "same", activation: "relu" } },
    { maxPooling2d: {} },
    { flatten: {} },
    { dropout: { rate: 0.25 } },
    { dense: { units: 48, activation: "relu" } },
    { dense: { units: 10, activation: "softmax" } },
  ],
};

let root: string;
let volumes: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "runtime-"));
  volumes = join(root, "volumes");
  await cp(join(DIGITS, "data"), join(volumes, "models", "data"), { recursive: true });
});

afterAll(() => rm(root, { recursive: true }));

const env = { ...process.env, MODELWRIGHT_THREADS: "1", NODE_OPTIONS: "" };

function program(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

type Yaml = { metadata: { name: string }; spec: Record<string, unknown> };

const readYaml = async (name: string) => parse(await readFile(join(DIGITS, name), "utf8")) as Yaml;

/** Writes a changed manifest of the example, and returns its path. */
async function manifest(name: string, newName: string, change: Record<string, unknown>): Promise<string> {
  const yaml = await readYaml(name);
  const file = join(root, `${newName}.yaml`);
  const changed = {
    ...yaml,
    metadata: { name: newName },
    spec: { ...yaml.spec, output: { uri: `pvc://models/${newName}` }, ...change },
  };
  await writeFile(file, stringify(changed));
  return file;
}

async function artefactOf(name: string) {
  const folder = join(volumes, "models", name);
  const [run, ...others] = await readdir(folder);
  expect(others).toEqual([]);
  return openArtefact(join(folder, run ?? ""));
}

describe.each(["TensorFlow", "Wasm"] as const)("On %s", (engine) => {
  const lower = engine.toLowerCase();
  const runtime = { engine };

  it("a model learns the digits, is made smaller, and both artefacts are whole", async () => {
    const training = await manifest("training-job.yaml", `digits-${lower}`, { runtime, epochs: 12, model: SMALL });
    const result = await program("train", "-f", training, "--volumes", volumes);
    expect(result).toMatchObject({ code: 0 });
    expect(result.out).toMatch(/epoch 12\/12 .*val_accuracy/);
    const artefact = await artefactOf(`digits-${lower}`);
    expect(artefact.manifest?.evaluation?.["accuracy"]).toBeGreaterThan(0.9);
    expect(artefact.manifest?.lineage.software["engine"]).toBe(engine);
    expect(artefact.manifest?.signature.inputs[0]?.shape).toEqual([-1, 64]);

    const from = { from: { kind: "TrainingJob", name: `digits-${lower}` } };
    const methods = [
      { prune: { structured: { sparsity: 0.4 }, fineTune: { epochs: 12 } } },
      { quantize: { weights: "Uint8" } },
    ];
    // A hundredth is less than four of the held-out images: too fine for a model this small.
    const goals = { maxAccuracyDrop: 0.03, minSizeRatio: 4, onMiss: "Fail" };
    const small = await manifest("optimization-job.yaml", `small-${lower}`, { runtime, model: from, methods, goals });
    const message = join(root, `message-${lower}.json`);
    const files = ["-f", small, "-f", training, "--termination-message", message];
    const optimized = await program("optimize", ...files, "--volumes", volumes);
    expect(optimized).toMatchObject({ code: 0 });
    const smaller = await artefactOf(`small-${lower}`);
    expect(smaller.manifest?.lineage.parents).toEqual([artefact.digest]);
    expect(smaller.bytes).toBeLessThan(artefact.bytes / 4);
    const progress = Progress.parse(JSON.parse(await readFile(message, "utf8")));
    expect(progress).toMatchObject({
      state: "Succeeded",
      missedGoals: [],
      artefact: { digest: smaller.digest, bytes: smaller.bytes },
    });
    expect(progress).toMatchObject({ before: { bytes: artefact.bytes }, after: { bytes: smaller.bytes } });
  }, 180_000);

  it("the same manifest and seed give the same weights in another process", async () => {
    const shas = [];
    for (const name of ["one", "two"]) {
      const training = await manifest("training-job.yaml", `${name}-${lower}`, { runtime, epochs: 1, model: SMALL });
      expect(await program("train", "-f", training, "--volumes", volumes)).toMatchObject({ code: 0 });
      const { files } = await artefactOf(`${name}-${lower}`);
      shas.push(files.find(({ path }) => path.endsWith(".bin"))?.sha256);
    }
    expect(shas[0]).toBe(shas[1]);
    expect(shas[0]).toMatch(/^[0-9a-f]{64}$/);
  }, 180_000);
});

it("a training that is ended early says after which epoch, also when it is adopted, and leaves its curves", async () => {
  const callbacks = { earlyStopping: { monitor: "loss", patience: 1, minDelta: 10 } };
  const change = { runtime: wasm, epochs: 9, model: SMALL, callbacks };
  const training = await manifest("training-job.yaml", "early", change);
  const message = join(root, "early.json");
  const command = ["train", "-f", training, "--volumes", volumes, "--termination-message", message];
  expect(await program(...command)).toMatchObject({ code: 0 });
  const progress = Progress.parse(JSON.parse(await readFile(message, "utf8")));
  const epoch = 2;
  expect(progress).toMatchObject({ state: "Succeeded", epoch, epochs: 9, stopped: { epoch, bestEpoch: 1 } });
  if (progress.kind !== "TrainingProgress") throw new Error("it is a training");
  expect(progress.history?.map((entry) => entry.epoch)).toEqual([1, 2]);
  expect(progress.examplesPerSecond).toBeGreaterThan(0);
  expect(Object.keys(progress.phaseSeconds ?? {})).toEqual(["Starting", "Training", "Evaluating", "Uploading"]);
  const { manifest: written, files } = await artefactOf("early");
  expect(written?.epochs).toBe(epoch);
  const paths = files.map(({ path }) => path).filter((path) => /training.html|tfevents/.test(path));
  expect(paths.length).toBe(3);

  expect(await program(...command)).toMatchObject({ code: 0 });
  const again = Progress.parse(JSON.parse(await readFile(message, "utf8")));
  expect(again).toMatchObject({ adopted: true, epoch, epochs: 9 });
}, 120_000);

it("a finished run is adopted: nothing is computed again", async () => {
  const training = await manifest("training-job.yaml", "adopted", { runtime: wasm, epochs: 1, model: SMALL });
  const message = join(root, "adopted.json");
  const command = ["train", "-f", training, "--volumes", volumes, "--termination-message", message];
  expect(await program(...command)).toMatchObject({ code: 0 });
  const before = await artefactOf("adopted");
  expect(await program(...command)).toMatchObject({ code: 0 });
  expect((await artefactOf("adopted")).digest).toBe(before.digest);
  const progress = Progress.parse(JSON.parse(await readFile(message, "utf8")));
  expect(progress).toMatchObject({ adopted: true, evaluation: before.manifest?.evaluation });
}, 120_000);

it("a missed goal fails with 78 and the artefact is there all the same; KeepBest succeeds and says what was missed", async () => {
  const training = await manifest("training-job.yaml", "base", { runtime: wasm, epochs: 1, model: SMALL });
  expect(await program("train", "-f", training, "--volumes", volumes)).toMatchObject({ code: 0 });
  const model = { from: { kind: "TrainingJob", name: "base" } };
  const change = { runtime: wasm, model, methods: [{ quantize: { weights: "Uint8" } }] };
  for (const [onMiss, code] of [
    ["Fail", 78],
    ["KeepBest", 0],
  ] as const) {
    const name = `missed-${onMiss.toLowerCase()}`;
    const job = await manifest("optimization-job.yaml", name, { ...change, goals: { minSizeRatio: 50, onMiss } });
    const result = await program("optimize", "-f", job, "-f", training, "--volumes", volumes);
    expect({ onMiss, code: result.code }).toEqual({ onMiss, code });
    expect(`${result.out}${result.err}`).toMatch(/minSizeRatio 50: the artefact is 2\.\d+ times smaller/);
    const artefact = await artefactOf(name);
    expect(ArtefactManifest.safeParse(artefact.manifest).success).toBe(true);
    expect(artefact.files.map(({ path }) => path)).toContain("model.json");
  }
}, 180_000);

it("saves its state on SIGTERM, ends with 143, says so to Kubernetes, and goes on from there", async () => {
  const training = await manifest("training-job.yaml", "terminated", { runtime: wasm, epochs: 5000 });
  const message = join(root, "terminated.json");
  const args = [MAIN, "train", "-f", training, "--volumes", volumes, "--termination-message", message];
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "ignore"] });
  const code = new Promise((resolve) => child.once("exit", resolve));
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (data: Buffer) => data.toString().includes("epoch 1/") && resolve());
  });
  const start = performance.now();
  child.kill("SIGTERM");
  expect(await code).toBe(143);
  expect(performance.now() - start).toBeLessThan(3000);
  const progress = Progress.parse(JSON.parse(await readFile(message, "utf8")));
  if (progress.kind !== "TrainingProgress") throw new Error("it trained");
  const { step, checkpoint, failure } = progress;
  expect(failure).toMatchObject({
    reason: "Terminated",
    exitCode: 143,
    message: expect.stringContaining(`step ${step} `),
  });
  expect(checkpoint?.step).toBe(step);
  const [saved, ...artefacts] = await readdir(join(volumes, "models", "terminated"));
  expect(saved).toMatch(/^\.terminated-.*\.checkpoints$/);
  expect(artefacts).toEqual([]);

  const again = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "ignore"] });
  const ended = new Promise((resolve) => again.once("exit", resolve));
  await new Promise<void>((resolve) => {
    again.stdout.on("data", (data: Buffer) => data.toString().includes("goes on") && resolve());
  });
  again.kill("SIGTERM");
  expect(await ended).toBe(143);
  const next = Progress.parse(JSON.parse(await readFile(message, "utf8")));
  expect(next).toMatchObject({ resumed: { step } });
}, 120_000);

it("answers for a pod's run while it computes", async () => {
  const job = validateManifest<TrainingJob>(
    parse(await readFile(await manifest("training-job.yaml", "pod", { runtime: wasm, epochs: 5000 }), "utf8")),
  );
  if (!job.ok) throw new Error(JSON.stringify(job.errors));
  await writeFile(join(root, "job.json"), JSON.stringify(trainingRun(job.value)));
  const port = 20_000 + (process.pid % 20_000);
  const args = [
    MAIN,
    "train",
    "--job",
    join(root, "job.json"),
    "--volumes",
    volumes,
    "--management-port",
    String(port),
  ];
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "ignore"] });
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (data: Buffer) => data.toString().includes("epoch 1/") && resolve());
  });
  const start = performance.now();
  const response = await fetch(`http://127.0.0.1:${port}/progress`);
  expect(Progress.parse(await response.json())).toMatchObject({
    kind: "TrainingProgress",
    state: "Training",
    engine: "Wasm",
    device: "CPU",
  });
  expect(performance.now() - start).toBeLessThan(1000);
  expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
  expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toMatch(/modelwright_training_steps \d+/);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exited;
}, 120_000);

describe("What is wrong is named with its remedy and exit code:", () => {
  it("a field of a manifest", async () => {
    const file = await manifest("training-job.yaml", "wrong", { runtime: wasm, epochs: 0 });
    expect(await program("validate", "-f", file)).toMatchObject({
      code: 64,
      err: expect.stringContaining("spec.epochs:"),
    });
    expect(await program("train", "-f", file)).toMatchObject({
      code: 64,
      err: expect.stringContaining("spec.epochs:"),
    });
    expect(await program("validate", "-f", join(DIGITS, "training-job.yaml"))).toMatchObject({ code: 0 });
  });

  it("a layer that does not fit", async () => {
    const layers = [{ conv2d: { filters: 4, kernelSize: [3, 3] } }, { dense: { units: 10, activation: "softmax" } }];
    const file = await manifest("training-job.yaml", "layers", { runtime: wasm, model: { layers } });
    const result = await program("train", "-f", file, "--volumes", volumes);
    expect(result).toMatchObject({
      code: 64,
      err: expect.stringContaining("spec.model.layers[1].dense: needs a flat input"),
    });
  });

  it("a value of the data", async () => {
    await mkdir(join(volumes, "models", "bad"), { recursive: true });
    await writeFile(join(volumes, "models", "bad", "train.csv"), "a,label\n1,0\noops,1\n");
    const train = { format: "Csv", uri: "pvc://models/bad/train.csv", label: "label" };
    const file = await manifest("training-job.yaml", "bad", { runtime: wasm, dataset: { train } });
    const result = await program("train", "-f", file, "--volumes", volumes);
    expect(result).toMatchObject({
      code: 65,
      err: expect.stringContaining("pvc://models/bad/train.csv line 3: column 1"),
    });
    expect(result.err).not.toContain("oops");
  });

  it("a file that is not there", async () => {
    const train = { format: "Csv", uri: "pvc://models/none.csv", label: "label" };
    const file = await manifest("training-job.yaml", "none", { runtime: wasm, dataset: { train } });
    const result = await program("train", "-f", file, "--volumes", volumes);
    expect(result).toMatchObject({ code: 66, err: expect.stringContaining("pvc://models/none.csv does not exist") });
  });

  it("a GPU that is not seen", async () => {
    const file = await manifest("training-job.yaml", "gpu", { gpu: { count: 1 } });
    const result = await program("train", "-f", file, "--volumes", volumes);
    expect(result).toMatchObject({ code: 75, err: expect.stringContaining("GpuNotVisible: A GPU was asked for") });
  });

  it("a field of a pod's specification, also to Kubernetes", async () => {
    const [file, message] = [join(root, "wrong-job.json"), join(root, "wrong-message.json")];
    await writeFile(file, JSON.stringify({ kind: "TrainingRun" }));
    const result = await program("train", "--job", file, "--termination-message", message);
    expect(result).toMatchObject({ code: 64, err: expect.stringContaining("wrong-job.json: job:") });
    const progress = Progress.parse(JSON.parse(await readFile(message, "utf8")));
    expect(progress).toMatchObject({ state: "Failed", failure: { reason: "InvalidSpec", exitCode: 64 } });
  });

  it("a call that it does not know", async () => {
    expect(await program("tarin")).toMatchObject({
      code: 64,
      err: expect.stringContaining("there is no command tarin"),
    });
    expect(await program("train", "--fast")).toMatchObject({ code: 64, err: expect.stringContaining("--fast") });
    expect(await program("optimize", "-f", join(DIGITS, "optimization-job.yaml"), "--volumes", volumes)).toMatchObject({
      code: 64,
      err: expect.stringContaining("spec.model.from: TrainingJob digits is not given; add -f"),
    });
  });
});

describe("fetch", () => {
  it("copies files and artefacts between claims and folders, and refuses damaged ones", async () => {
    const out = join(root, "copied");
    expect(
      await program("fetch", "pvc://models/data/test.csv", join(out, "test.csv"), "--volumes", volumes),
    ).toMatchObject({ code: 0 });
    expect(await readFile(join(out, "test.csv"))).toEqual(await readFile(join(DIGITS, "data", "test.csv")));
    const artefact = await artefactOf("base");
    const command = ["fetch", artefact.dir, "pvc://models/elsewhere/base", "--volumes", volumes];
    expect(await program(...command)).toMatchObject({ code: 0 });
    const copy = join(volumes, "models", "elsewhere", "base");
    expect((await openArtefact(copy)).digest).toBe(artefact.digest);
    expect(await program(...command)).toMatchObject({
      code: 75,
      err: expect.stringContaining("exists already; remove it first"),
    });
    await writeFile(join(copy, "model.json"), "{}");
    expect(await program("fetch", copy, join(out, "damaged"))).toMatchObject({ code: 65 });
    expect(await program("fetch", join(root, "nothing"), out)).toMatchObject({ code: 66 });
  });
});
