import "../engine/test-realm.ts";
import type { LayersModel, layers } from "@tensorflow/tfjs";
import { randomBytes } from "node:crypto";
import { Optimizer, type Update } from "../../crds/optimizer.ts";
import { type Batch, batchesOf } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { PeerLost } from "../distributed/channel.ts";
import { type Group, joinGroup } from "../distributed/group.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { exchangeOf } from "./exchange.ts";
import type { Objective } from "./objective.ts";
import { type StepOptions, opByOpStep } from "./op-by-op-step.ts";
import { compileSharedStep } from "./shared-compiled-step.ts";
import { sharedOpByOpStep } from "./shared-op-by-op-step.ts";
import type { TrainStep } from "./train-step.ts";
import { freePort } from "../../test/cluster/ports.ts";

let tf: Tf;
const open: Group[] = [];

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((group) => group.close()));
});

/** Workers that are connected as pods are. */
async function groupOf(size: number): Promise<Group[]> {
  const addresses = [];
  for (let rank = 0; rank < size; rank += 1) addresses.push({ host: "127.0.0.1", port: await freePort() });
  const key = randomBytes(32);
  const options = { run: "digits-1", size, key, addresses, timeoutMilliseconds: 20_000 };
  const groups = await Promise.all(addresses.map((_, rank) => joinGroup({ ...options, rank })));
  open.push(...groups);
  return groups;
}

const numbers = (count: number, purpose: string) => {
  const random = new Random(7, purpose);
  return Float32Array.from({ length: count }, () => random.below(2000) / 1000 - 1);
};

const EXAMPLES: Dataset = {
  features: numbers(24 * 6, "features"),
  labels: Float32Array.from({ length: 24 }, (_, index) => index % 3),
  exampleShape: [6],
  count: 24,
  source: "examples",
};

const CLASSES: Objective = { loss: "sparseCategoricalCrossentropy", metrics: ["accuracy"] };

/** The same weights each time. */
function model(...between: layers.Layer[]): LayersModel {
  const made = tf.sequential();
  const seeded = (seed: number) => ({ kernelInitializer: tf.initializers.glorotUniform({ seed }) });
  made.add(tf.layers.dense({ units: 8, activation: "tanh", inputShape: [6], ...seeded(1) }));
  for (const layer of between) made.add(layer);
  made.add(tf.layers.dense({ units: 3, activation: "softmax", ...seeded(2) }));
  return made;
}

async function learn(step: TrainStep, batches: readonly Batch[]) {
  const values = [];
  for (const [index, batch] of batches.entries()) values.push(await step.run(batch, index));
  return { values, state: step.read() };
}

const distance = (a: Float32Array[], b: Float32Array[]) =>
  Math.max(...a.flatMap((part, index) => Array.from(part, (value, at) => Math.abs(value - (b[index]?.[at] ?? NaN)))));

const UPDATES: [name: string, update: Update][] = [
  ["sgd", { optimizer: Optimizer.parse({ sgd: { learningRate: 0.1, momentum: 0.9 } }) }],
  ["adam", { optimizer: Optimizer.parse({ adam: {} }) }],
  ["sums of gradients", { optimizer: Optimizer.parse({ sgd: {} }), gradientAccumulation: 2, globalClipNorm: 0.5 }],
];

type Make = (options: StepOptions, group: Group) => Promise<TrainStep>;

const opByOp: Make = (options, group) => Promise.resolve(sharedOpByOpStep(tf, options, exchangeOf(group)));

async function compiled(options: StepOptions, group: Group): Promise<TrainStep> {
  const { step, notCompiled } = await compileSharedStep(tf, { ...options, examples: EXAMPLES }, exchangeOf(group));
  if (step === undefined) throw new Error(JSON.stringify(notCompiled));
  return step;
}

describe.each([
  ["operation by operation", opByOp],
  ["by compiled steps", compiled],
])("Workers that share batches %s", (_, make) => {
  // Seven and ten examples are no equal parts.
  it.each(UPDATES.flatMap(([name, update]) => [2, 3].map((size) => [size, name, update] as const)))(
    "%i follow one that computes whole batches, with %s",
    async (size, __, update) => {
      const options = { ...update, objective: CLASSES, seed: 3 };
      const batches = [...batchesOf(EXAMPLES, 7), ...batchesOf(EXAMPLES, 10)];
      const alone = await learn(opByOpStep(tf, { ...options, model: model() }), batches);
      const groups = await groupOf(size);
      const steps = await Promise.all(groups.map((group) => make({ ...options, model: model() }, group)));
      const all = await Promise.all(steps.map((step) => learn(step, batches)));
      for (const one of all) {
        expect(one.state).toEqual(all[0]?.state);
        expect(one.values).toEqual(all[0]?.values);
      }
      expect(distance(all[0]?.state ?? [], alone.state)).toBeLessThan(1e-5);
      alone.values.forEach((values, index) => {
        expect(Object.keys(values)).toHaveLength(2);
        for (const [name, value] of Object.entries(values)) {
          expect(all[0]?.values[index]?.[name]).toBeCloseTo(value, 5);
        }
      });
    },
  );

  it("have the same moving statistics, the mean of those of their parts", async () => {
    const options = { optimizer: Optimizer.parse({ sgd: {} }), objective: CLASSES, seed: 3 };
    const groups = await groupOf(2);
    const steps = await Promise.all(
      groups.map((group) => make({ ...options, model: model(tf.layers.batchNormalization()) }, group)),
    );
    const [one, two] = await Promise.all(steps.map((step) => learn(step, [...batchesOf(EXAMPLES, 8)])));
    expect(one?.state).toEqual(two?.state);
  });

  it("a step in which one is lost changes nothing, so that it can be done again", async () => {
    const [group, other] = await groupOf(2);
    if (group === undefined || other === undefined) throw new RangeError("there are two");
    const options = { optimizer: Optimizer.parse({ adam: {} }), objective: CLASSES, seed: 3 };
    const net = model(tf.layers.batchNormalization());
    const step = await make({ ...options, model: net }, group);
    const before = step.read();
    const [batch] = [...batchesOf(EXAMPLES, 8)];
    if (batch === undefined) throw new RangeError("there is a batch");
    const running = step.run(batch, 0);
    await other.close();
    await expect(running).rejects.toThrow(PeerLost);
    expect(step.read()).toEqual(before);
  });
});
