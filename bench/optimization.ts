/**
 * What each method makes of a model that was trained on real digits: files, accuracy and speed, before and after, beside
 * ONNX Runtime's quantizer and TFLite's converter on the same model.
 *
 *     node bench/optimization.ts [--only mlp|cnn|mobilenet] [--candidates FORM] [--epochs N] [--tune N] [--lessons N]
 *         [--python PATH]
 *
 * FORM is a regular expression of candidates' names. The source learns for --epochs, a model without half of its units
 * for --tune, and what keeps zeros or learns from a teacher, operation by operation and so more slowly, for --lessons.
 * PATH is a Python with tensorflow, onnx and onnxruntime, without which only ours are measured. One thread. Our models
 * and ONNX Runtime's are measured in turns with the source on the same engine; TFLite's by itself, after them.
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { Method } from "../crds/optimization-methods.ts";
import type { Dataset } from "../runtime/data/dataset.ts";
import { openBackend } from "../runtime/engine/backend.ts";
import { lowerModel } from "../runtime/compiler/lowering/model.ts";
import { emitOnnx } from "../runtime/compiler/onnx/emit.ts";
import { buildLayersModel, storeLayersModel } from "../runtime/formats/tfjs-layers.ts";
import { signatureOf } from "../runtime/formats/signature.ts";
import { measure } from "../runtime/optimization/measure.ts";
import { applyMethod } from "../runtime/optimization/methods.ts";
import { type Product, writeProduct } from "../runtime/optimization/product.ts";
import { type Watch, tune } from "../runtime/optimization/tuning.ts";
import type { Objective } from "../runtime/training/objective.ts";
import { readDigits } from "./optimization/digits.ts";
import { EDGE, type ModelName, build } from "./optimization/models.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    epochs: { type: "string", default: "12" },
    tune: { type: "string", default: "8" },
    lessons: { type: "string", default: "4" },
    candidates: { type: "string", default: "" },
    python: { type: "string" },
  },
});

const CALIBRATED = 256;
const SEED = 1;
const OBJECTIVE: Objective = { loss: "sparseCategoricalCrossentropy", metrics: ["accuracy"] };
const Peer = z.object({
  bytes: z.number(),
  compressedBytes: z.number(),
  accuracy: z.number(),
  single: z.number(),
  batch: z.number(),
});

type Row = z.output<typeof Peer>;

const watch: Watch = {
  signal: new AbortController().signal,
  resume: () => Promise.resolve(undefined),
  passed: () => Promise.resolve(),
  save: () => Promise.resolve(),
  onShare: () => undefined,
};

const fineTune = { epochs: Number(values.tune), learningRate: 0.001 };
const lessons = { epochs: Number(values.lessons), learningRate: 0.001 };
const structured = { prune: { structured: { sparsity: 0.5 }, fineTune } };
const magnitude = { prune: { magnitude: { sparsity: 0.8 }, fineTune: lessons } };
const int8 = (activations: "Dynamic" | "Static", calibration?: object) => ({
  quantize: { weights: "Int8", activations, ...(calibration === undefined ? {} : { calibration }) },
});
const calibrated = (method: string) => int8("Static", { method, examples: CALIBRATED });

const CANDIDATES: Record<string, object[]> = {
  "uint8 files": [{ quantize: { weights: "Uint8" } }],
  "int8 dynamic": [int8("Dynamic")],
  "int8 static, min-max": [calibrated("MinMax")],
  "int8 static, percentile": [calibrated("Percentile")],
  "int8 static, entropy": [calibrated("Entropy")],
  "80 % of weights zero": [magnitude],
  "50 % of units": [structured],
  "50 % of units, int8 static": [structured, calibrated("MinMax")],
  "half a student, 50 % of units, int8 static": [
    { distil: { student: { scale: 0.5 }, ...lessons } },
    structured,
    calibrated("MinMax"),
  ],
};

const { tf } = await openBackend("TensorFlow", { threads: 2 });

const times = (was: number, is: number) => (was / is).toFixed(2);

function print(name: string, after: Row, before: Row): void {
  const points = (100 * (before.accuracy - after.accuracy)).toFixed(2);
  const cells = [
    `${after.bytes} (${times(before.bytes, after.bytes)} x)`,
    `${after.compressedBytes} (${times(before.compressedBytes, after.compressedBytes)} x)`,
    `${(100 * after.accuracy).toFixed(2)} % (${points} lost)`,
    `${after.single.toFixed(4)} ms (${times(before.single, after.single)} x)`,
    `${after.batch.toFixed(3)} ms (${times(before.batch, after.batch)} x)`,
  ];
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}

async function writeExamples(dir: string, name: string, { features, labels }: Dataset): Promise<void> {
  await writeFile(join(dir, `${name}-features.bin`), features);
  await writeFile(join(dir, `${name}-labels.bin`), labels);
}

/** What the peers' program is given: the weights, the same model as ONNX in float32, and the examples. */
async function writeForPeers(dir: string, { stored }: Product, train: Dataset, test: Dataset): Promise<void> {
  const weightsManifest = [{ weights: stored.weightSpecs }];
  await writeFile(join(dir, "model.json"), JSON.stringify({ modelTopology: stored.topology, weightsManifest }));
  await writeFile(join(dir, "weights.bin"), Buffer.from(stored.weightData));
  const layers = await buildLayersModel(tf, stored);
  const { model } = lowerModel(layers);
  if (model === undefined) throw new Error("the model is not compiled");
  await writeFile(join(dir, "model.onnx"), await emitOnnx(model));
  layers.dispose();
  await writeFile(join(dir, "shapes.json"), JSON.stringify({ example: train.exampleShape }));
  await writeExamples(dir, "train", train);
  await writeExamples(dir, "test", test);
}

async function bench(name: ModelName, root: string): Promise<void> {
  const [train, test] = [await readDigits("train", EDGE[name]), await readDigits("test", EDGE[name])];
  const untrained = build(tf, name);
  const signature = signatureOf(untrained);
  const tuning = { objective: OBJECTIVE, train, epochs: Number(values.epochs), batchSize: 32, seed: SEED };
  const began = performance.now();
  const stored = await tune(tf, await storeLayersModel(tf, untrained), { ...tuning, learningRate: 0.001 }, watch);
  console.log(`\n${name}: trained in ${((performance.now() - began) / 1000).toFixed(0)} s\n`);
  console.log("| | bytes | gzip | accuracy | one example | 32 examples |\n|---|---|---|---|---|---|");
  const source: Product = { stored, sparse: false };
  const options = { examples: train, seed: SEED, signature };
  const sourceDir = join(root, name, "source");
  await writeProduct(tf, source, sourceDir, options);

  /** Measured in turns with the source. */
  async function compared(dir: string): Promise<{ before: Row; after: Row }> {
    const [was, is] = [sourceDir, dir].map((one) => ({ dir: one, shownAs: one, parameters: 0 }));
    if (was === undefined || is === undefined) throw new Error("nothing to measure");
    const { comparison } = await measure(was, is, {
      tf,
      objective: OBJECTIVE,
      test,
      compute: { engine: "Auto" },
      threads: 1,
    });
    const [before, after] = [comparison.before, comparison.after].map((one) => ({
      bytes: one.bytes,
      compressedBytes: one.compressedBytes ?? NaN,
      accuracy: one.accuracy ?? NaN,
      single: one.latencyP50Milliseconds,
      batch: 32_000 / one.throughputPerSecond,
    }));
    if (before === undefined || after === undefined) throw new Error("nothing was measured");
    return { before, after };
  }

  let shown = false;
  const show = async (label: string, dir: string) => {
    const { before, after } = await compared(dir);
    if (!shown) print("source, float32", before, before);
    shown = true;
    print(label, after, before);
  };
  const made = new Map<string, Product>();
  for (const [label, methods] of Object.entries(CANDIDATES)) {
    if (!new RegExp(values.candidates).test(label)) continue;
    let product = source;
    for (const [index, given] of methods.entries()) {
      const key = JSON.stringify(methods.slice(0, index + 1));
      const circumstances = { tf, objective: OBJECTIVE, seed: SEED, train, watch, onStep: () => undefined };
      product = made.get(key) ?? (await applyMethod(product, Method.parse(given), circumstances));
      made.set(key, product);
    }
    const dir = join(root, name, label.replaceAll(/[^a-z0-9]+/g, "-"));
    await writeProduct(tf, product, dir, options);
    await show(label, dir);
  }
  if (values.python !== undefined) await peers(values.python, join(root, name, "peers"), source, { train, test, show });
}

interface PeersOptions {
  train: Dataset;
  test: Dataset;
  show: (label: string, dir: string) => Promise<void>;
}

async function peers(python: string, dir: string, source: Product, { train, test, show }: PeersOptions): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeForPeers(dir, source, train, test);
  const script = join(import.meta.dirname, "optimization", "peer.py");
  const { status, stdout, stderr } = spawnSync(python, [script, dir, String(CALIBRATED)], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: "3" },
  });
  if (status !== 0) throw new Error(`peer.py failed: ${stderr.slice(-4000)}`);
  for (const kind of ["dynamic", "static"]) await show(`ONNX Runtime's quantizer, ${kind}`, join(dir, `ort-${kind}`));
  const text = /^RESULT (.*)$/m.exec(stdout)?.[1] ?? "{}";
  const { float32, ...others } = z.record(z.string(), Peer).parse(JSON.parse(text));
  if (float32 === undefined) throw new Error("TFLite was not measured");
  print("TFLite, float32", float32, float32);
  for (const [kind, row] of Object.entries(others)) print(`TFLite, ${kind}, against its float32`, row, float32);
}

const root = await mkdtemp(join(tmpdir(), "optimization-bench-"));
try {
  for (const name of Object.keys(EDGE) as ModelName[]) {
    if (values.only === undefined || values.only === name) await bench(name, root);
  }
} finally {
  await rm(root, { recursive: true });
}
