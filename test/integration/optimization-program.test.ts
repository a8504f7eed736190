/** The real program optimizes a real model, as a user runs it. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { Progress } from "../../crds/contract/progress.ts";
import { closePrograms, startServer } from "../../runtime/serving/testing/program.ts";
import { openArtefact } from "../../runtime/store/artefact.ts";

const MAIN = fileURLToPath(new URL("../../runtime/main.ts", import.meta.url));
const DIGITS = fileURLToPath(new URL("../../examples/digits/", import.meta.url));

/** Ends what hangs. */
const LIMIT = 600_000;

const MODEL = {
  layers: [
    { conv2d: { filters: 8, kernelSize: [3, 3], padding: "same", activation: "relu" } },
    { flatten: {} },
    { dense: { units: 32, activation: "relu" } },
    { dense: { units: 10, activation: "softmax" } },
  ],
};

let root: string;
let volumes: string;
let training: string;

interface Result {
  code: number | null;
  said: string;
}

interface Running {
  child: ChildProcess;
  ended: Promise<Result>;
  said: () => string;
}

function start(...args: string[]): Running {
  const env = { ...process.env, MODELWRIGHT_THREADS: "1", NODE_OPTIONS: "" };
  const child = spawn(process.execPath, [MAIN, ...args, "--volumes", volumes], { env });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (text += data.toString()));
  const ended = new Promise<Result>((resolve) => child.once("close", (code) => resolve({ code, said: text })));
  return { child, ended, said: () => text };
}

type Spec = Record<string, unknown>;

/** Writes the example with changes, and returns its path. */
async function manifest(example: string, name: string, change: Spec): Promise<string> {
  const yaml = parse(await readFile(join(DIGITS, example), "utf8")) as { spec: Spec };
  const spec = { ...yaml.spec, output: { uri: `pvc://models/${name}` }, ...change };
  const file = join(root, `${name}.yaml`);
  await writeFile(file, stringify({ ...yaml, metadata: { name }, spec }));
  return file;
}

const FROM = { from: { kind: "TrainingJob", name: "source" } };

const optimization = (name: string, change: Spec) =>
  manifest("optimization-job.yaml", name, { model: FROM, goals: { onMiss: "KeepBest" }, ...change });

async function artefactOf(name: string) {
  const folder = join(volumes, "models", name);
  const [run = "", ...others] = await readdir(folder);
  expect(others).toEqual([]);
  return openArtefact(join(folder, run));
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "optimization-"));
  volumes = join(root, "volumes");
  await cp(join(DIGITS, "data"), join(volumes, "models", "data"), { recursive: true });
  const change = { epochs: 3, model: MODEL, output: { uri: "pvc://models/source", licence: "CC-BY-4.0" } };
  training = await manifest("training-job.yaml", "source", change);
  expect(await start("train", "-f", training).ended).toMatchObject({ code: 0 });
}, LIMIT);
afterAll(async () => {
  await closePrograms();
  await rm(root, { recursive: true });
});

it(
  "a search keeps the candidate with most gain, says why, and leaves a report; licence and lineage pass on",
  async () => {
    const job = await optimization("searched", {
      methods: [
        { prune: { structured: { sparsity: 0.5 }, fineTune: { epochs: 2 } } },
        { quantize: { weights: "Float16" } },
        { quantize: { weights: "Uint8" } },
      ],
      search: { timeBudget: "5m" },
      goals: { maxAccuracyDrop: 0.2, onMiss: "Fail" },
    });
    const message = join(root, "searched.json");
    const { code, said } = await start("optimize", "-f", job, "-f", training, "--termination-message", message).ended;
    expect({ code, said }).toMatchObject({ code: 0 });
    expect(said).toMatch(/kept: prune 50 % of the units > quantize Uint8: most gain/);
    const progress = Progress.parse(JSON.parse(await readFile(message, "utf8")));
    expect(progress).toMatchObject({ state: "Succeeded", missedGoals: [] });

    const source = await artefactOf("source");
    const { dir, manifest: written, bytes } = await artefactOf("searched");
    expect(bytes).toBeLessThan(source.bytes / 4);
    expect(written).toMatchObject({ licence: "CC-BY-4.0", lineage: { parents: [source.digest] } });
    const { candidates = [], before, after } = written?.optimization ?? {};
    expect(candidates.map(({ methods }) => methods)).toEqual([
      "prune 50 % of the units",
      "prune 50 % of the units > quantize Float16",
      "prune 50 % of the units > quantize Uint8",
      "quantize Float16",
      "quantize Uint8",
    ]);
    expect(candidates.filter(({ chosen }) => chosen)).toHaveLength(1);
    expect(after?.bytes).toBe(bytes);
    expect(before?.bytes).toBe(source.bytes);
    const report = await readFile(join(dir, "documents", "optimization.html"), "utf8");
    expect(report).toContain("quantize Uint8");
    expect(report).not.toMatch(/(src|href)="?http/);
  },
  LIMIT,
);

it(
  "what was written answers as accurately as was reported",
  async () => {
    const job = await optimization("exact", { methods: [{ quantize: { weights: "Uint8" } }] });
    expect(await start("optimize", "-f", job, "-f", training).ended).toMatchObject({ code: 0 });
    const again = await manifest("optimization-job.yaml", "measured-again", {
      model: { uri: `pvc://models/exact/${(await readdir(join(volumes, "models", "exact"))).join("")}` },
      methods: [{ quantize: { weights: "Float16" } }],
      goals: { onMiss: "KeepBest" },
    });
    expect(await start("optimize", "-f", again).ended).toMatchObject({ code: 0 });
    const reported = (await artefactOf("exact")).manifest?.optimization?.after.accuracy;
    expect((await artefactOf("measured-again")).manifest?.optimization?.before.accuracy).toBe(reported);
  },
  LIMIT,
);

/** Share of the held-out digits that a server of this folder reads correctly, asked for a few at a time. */
async function servedAccuracy(dir: string): Promise<number> {
  const { url, program } = await startServer([dir, "--name", "digits"]);
  const rows = (await readFile(join(DIGITS, "data", "test.csv"), "utf8")).trim().split("\n").slice(1);
  const digits = rows.map((row) => row.split(",").map(Number));
  let right = 0;
  for (let start = 0; start < digits.length; start += 7) {
    const asked = digits.slice(start, start + 7);
    const body = JSON.stringify({ instances: asked.map((digit) => digit.slice(0, 64)) });
    const answer = await fetch(`${url}/v1/models/digits:predict`, { method: "POST", body });
    const { predictions } = (await answer.json()) as { predictions: number[][] };
    right += predictions.filter((scores, row) => scores.indexOf(Math.max(...scores)) === asked[row]?.[64]).length;
  }
  await program.close();
  return right / digits.length;
}

it(
  "a model in integers is served by ONNX Runtime as accurately as was reported, and as the source was",
  async () => {
    const quantize = { weights: "Int8", activations: "Static", calibration: { method: "Percentile", examples: 300 } };
    const job = await optimization("integers", { methods: [{ quantize }], goals: { maxAccuracyDrop: 0.02 } });
    expect(await start("optimize", "-f", job, "-f", training).ended).toMatchObject({ code: 0 });
    const [source, { dir, manifest: written, bytes, files }] = [
      await artefactOf("source"),
      await artefactOf("integers"),
    ];
    const { before, after } = written?.optimization ?? {};
    expect(files.map(({ path }) => path)).toContain("model.onnx");
    expect(written).toMatchObject({ format: "Onnx", signature: source.manifest?.signature });
    expect([before?.engine, after?.engine]).toEqual(["OnnxRuntime", "OnnxRuntime"]);
    expect(source.bytes / bytes).toBeGreaterThan(3);
    expect(await servedAccuracy(dir)).toBeCloseTo(after?.accuracy ?? NaN, 6);
    expect(await servedAccuracy(source.dir)).toBeCloseTo(before?.accuracy ?? NaN, 6);
  },
  LIMIT,
);

describe("A licence that forbids derivatives", () => {
  it(
    "is a reason to refuse, before anything is computed",
    async () => {
      const output = { uri: "pvc://models/closed", licence: "CC-BY-NC-ND-4.0" };
      const closed = await manifest("training-job.yaml", "closed", { epochs: 1, model: MODEL, output });
      expect(await start("train", "-f", closed).ended).toMatchObject({ code: 0 });
      const job = await optimization("derived", { model: { from: { kind: "TrainingJob", name: "closed" } } });
      const { code, said } = await start("optimize", "-f", job, "-f", closed).ended;
      expect(code).toBe(64);
      expect(said).toMatch(
        /LicenceForbidsDerivatives: .* is licensed under CC-BY-NC-ND-4.0, which forbids derivatives/,
      );
      expect(await readdir(join(volumes, "models", "derived"))).toEqual([]);
    },
    LIMIT,
  );
});

/** Waits until the program has said it. */
async function until({ child, said, ended }: Running, form: RegExp): Promise<void> {
  await Promise.race([
    ended,
    new Promise<void>((resolve) => {
      const look = () => {
        if (form.test(said())) resolve();
      };
      child.stdout?.on("data", look);
      look();
    }),
  ]);
}

const modelOf = async (name: string) =>
  (await artefactOf(name)).files.filter(({ path }) => !path.startsWith("documents/"));

describe("An optimization that is ended", () => {
  const methods = [
    { prune: { structured: { sparsity: 0.5 }, fineTune: { epochs: 2 } } },
    { prune: { magnitude: { sparsity: 0.6 }, fineTune: { epochs: 5 } } },
  ];
  beforeAll(async () => {
    const reference = await optimization("whole", { methods });
    expect(await start("optimize", "-f", reference, "-f", training).ended).toMatchObject({ code: 0 });
  }, LIMIT);

  it.each(["SIGTERM", "SIGKILL"] as const)(
    "by %s goes on after the candidates that were finished, within the training of the next, and ends in the same model",
    async (signal) => {
      const name = `cut-${signal.toLowerCase()}`;
      const job = await optimization(name, { methods });
      const running = start("optimize", "-f", job, "-f", training);
      // The second fine-tuning has begun.
      await until(running, /measure[\s\S]*fineTune/);
      if (signal === "SIGKILL") await new Promise((resolve) => setTimeout(resolve, 700));
      running.child.kill(signal);
      const { code } = await running.ended;
      expect(code).toBe(signal === "SIGKILL" ? null : 143);
      const again = await start("optimize", "-f", job, "-f", training).ended;
      expect(again).toMatchObject({ code: 0 });
      expect(again.said).toMatch(/goes on from 1 finished candidates/);
      // What was finished is neither pruned nor trained again.
      expect(again.said.match(/: fineTune/g)).toHaveLength(1);
      expect(await modelOf(name)).toEqual(await modelOf("whole"));
    },
    LIMIT,
  );
});
