/** Seconds per epoch of a workload in this process: WORKLOAD (compiled|interpreted|wasm) EPOCHS THREADS; prints JSON. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { LayersModel, SymbolicTensor, layers } from "@tensorflow/tfjs";
import { z } from "zod";
import { Optimizer } from "../../crds/optimizer.ts";
import type { Dataset } from "../../runtime/data/dataset.ts";
import { Random } from "../../runtime/data/random.ts";
import { type Tf, openBackend } from "../../runtime/engine/backend.ts";
import { registerLayers } from "../../runtime/formats/layers/register.ts";
import { compileStep } from "../../runtime/training/compiled-step.ts";
import { trainLoop } from "../../runtime/training/loop.ts";
import { opByOpStep } from "../../runtime/training/op-by-op-step.ts";
import { kerasGru } from "./gru.ts";

const Workload = z.strictObject({
  model: z.enum(["mlp", "cnn", "lstm", "gru"]),
  exampleShape: z.array(z.int()),
  rows: z.int(),
  batch: z.int(),
});

type Workload = z.output<typeof Workload>;

function stack(tf: Tf, model: Workload["model"]): layers.Layer[] {
  const { dense, conv2d, maxPooling2d, flatten, lstm } = tf.layers;
  switch (model) {
    case "mlp":
      return [dense({ units: 128, activation: "relu" }), dense({ units: 64, activation: "relu" })];
    case "cnn":
      return [
        conv2d({ filters: 32, kernelSize: 3, activation: "relu" }),
        maxPooling2d({ poolSize: 2 }),
        conv2d({ filters: 64, kernelSize: 3, activation: "relu" }),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        dense({ units: 128, activation: "relu" }),
      ];
    case "lstm":
      return [lstm({ units: 64, recurrentActivation: "sigmoid" })];
    case "gru":
      return [kerasGru(tf, 64)];
  }
}

function build(tf: Tf, { model, exampleShape }: Workload): LayersModel {
  const input = tf.input({ shape: exampleShape });
  const chain = [...stack(tf, model), tf.layers.dense({ units: 10, activation: "softmax" })];
  // A layer applied to one symbolic tensor gives one.
  const output = chain.reduce<SymbolicTensor>((tensor, layer) => layer.apply(tensor) as SymbolicTensor, input);
  return tf.model({ inputs: input, outputs: output });
}

function examples({ exampleShape, rows }: Workload): Dataset {
  const random = new Random(1);
  const size = exampleShape.reduce((product, one) => product * one, 1);
  const features = Float32Array.from({ length: rows * size }, () => random.next() / 2 ** 32);
  const labels = Float32Array.from({ length: rows }, () => random.below(10));
  return { features, labels, exampleShape, count: rows, source: "random numbers" };
}

const [name = "", kind = "compiled", epochs = "2", threads = "1"] = process.argv.slice(2);
const all = z
  .record(z.string(), Workload)
  .parse(JSON.parse(await readFile(join(import.meta.dirname, "workloads.json"), "utf8")));
const work = Workload.parse(all[name]);
const { tf } = await openBackend(kind === "wasm" ? "Wasm" : "TensorFlow", { threads: Number(threads) });
registerLayers(tf);
const model = build(tf, work);
const train = examples(work);
const objective = { loss: "sparseCategoricalCrossentropy" as const, metrics: ["accuracy" as const] };
const options = { model, objective, seed: 1, optimizer: Optimizer.parse({ adam: {} }) };
const compiled = kind === "compiled" ? await compileStep(tf, { ...options, examples: train }) : undefined;
if (compiled?.notCompiled !== undefined) throw new Error(`not compiled: ${JSON.stringify(compiled.notCompiled)}`);
const times: number[] = [];
let began = performance.now();
await trainLoop(tf, {
  model,
  objective,
  step: compiled?.step ?? opByOpStep(tf, options),
  train,
  epochs: Number(epochs) + 1,
  batchSize: work.batch,
  seed: 1,
  clock: () => performance.now(),
  onState: ({ epoch }) => {
    if (epoch === times.length) return;
    times.push((performance.now() - began) / 1000);
    began = performance.now();
  },
});
// The first epoch prepares the graph.
console.log(JSON.stringify({ seconds: Math.min(...times.slice(1)), first: times[0] }));
process.exit();
