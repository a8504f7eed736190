/** One worker of a benchmark, in a process of its own; its part comes as JSON, and its times go as JSON. */
import { z } from "zod";
import { Optimizer } from "../../crds/optimizer.ts";
import { batchesOf } from "../../runtime/data/batches.ts";
import type { Dataset } from "../../runtime/data/dataset.ts";
import { Random } from "../../runtime/data/random.ts";
import { type Group, joinGroup } from "../../runtime/distributed/group.ts";
import { openBackend } from "../../runtime/engine/backend.ts";
import { compileStep } from "../../runtime/training/compiled-step.ts";
import { exchangeOf } from "../../runtime/training/exchange.ts";
import { compileSharedStep } from "../../runtime/training/shared-compiled-step.ts";

const Part = z.strictObject({
  rank: z.int(),
  size: z.int(),
  ports: z.array(z.int()),
  key: z.string(),
  /** Lengths of vectors that are added up. */
  lengths: z.array(z.int()).optional(),
  /** Examples in a batch of all workers. */
  batch: z.int().optional(),
});

const ROWS = 12_800;
const REPEATS = 40;

const part = Part.parse(JSON.parse(process.argv[2] ?? ""));

function join(): Promise<Group> {
  const { rank, size, ports, key } = part;
  const addresses = ports.map((port) => ({ host: "127.0.0.1", port }));
  return joinGroup({ rank, size, run: "bench", key: Buffer.from(key, "hex"), addresses, timeoutMilliseconds: 60_000 });
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Milliseconds of a sum, for each length. */
async function sums(group: Group, lengths: readonly number[]): Promise<number[]> {
  const times: number[] = [];
  for (const length of lengths) {
    const values = new Float32Array(length).fill(1e-3);
    const each: number[] = [];
    for (let repeat = 0; repeat < REPEATS; repeat += 1) each.push(await timed(() => group.sum(values)));
    times.push(median(each.slice(5)));
  }
  return times;
}

function examples(): Dataset {
  const random = new Random(1);
  const features = Float32Array.from({ length: ROWS * 784 }, () => random.next() / 2 ** 32);
  const labels = Float32Array.from({ length: ROWS }, () => random.below(10));
  return { features, labels, exampleShape: [784], count: ROWS, source: "random numbers" };
}

/** Seconds of an epoch of the MLP 784-128-64-10 with Adam, one thread. */
async function epoch(batch: number, group: Group | undefined): Promise<number> {
  const { tf } = await openBackend("TensorFlow", { threads: 1 });
  const { dense } = tf.layers;
  const model = tf.sequential({
    layers: [
      dense({ units: 128, activation: "relu", inputShape: [784] }),
      dense({ units: 64, activation: "relu" }),
      dense({ units: 10, activation: "softmax" }),
    ],
  });
  const objective = { loss: "sparseCategoricalCrossentropy" as const, metrics: ["accuracy" as const] };
  const train = examples();
  const options = { model, objective, seed: 1, optimizer: Optimizer.parse({ adam: {} }), examples: train };
  const compiled =
    group === undefined ? await compileStep(tf, options) : await compileSharedStep(tf, options, exchangeOf(group));
  if (compiled.step === undefined) throw new Error(JSON.stringify(compiled.notCompiled));
  const { step } = compiled;
  const times: number[] = [];
  let number = 0;
  for (let round = 0; round < 4; round += 1) {
    const milliseconds = await timed(async () => {
      for (const one of batchesOf(train, batch)) {
        await step.run(one, number);
        number += 1;
      }
    });
    times.push(milliseconds / 1000);
  }
  return Math.min(...times.slice(1));
}

const group = part.size === 1 ? undefined : await join();
const { lengths, batch } = part;
const result = {
  sums: group === undefined || lengths === undefined ? [] : await sums(group, lengths),
  seconds: batch === undefined ? 0 : await epoch(batch, group),
};
console.log(JSON.stringify(result));
await group?.finish();
process.exit();
