import "../engine/test-realm.ts";
import { jest } from "@jest/globals";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LayersModel } from "@tensorflow/tfjs";
import { Layer } from "../../crds/model.ts";
import { Callbacks, Optimizer, type Update } from "../../crds/optimizer.ts";
import { Checkpoint } from "../../crds/training-job.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { CheckpointStore, checkpointFolder } from "../store/checkpoint-store.ts";
import { BestWeights, together } from "./best-weights.ts";
import { type CheckpointOptions, Checkpoints, isDue } from "./checkpoint.ts";
import { compileStep } from "./compiled-step.ts";
import { type ModelDeclaration, buildModel, objectiveOf } from "./layers.ts";
import { type LoopState, trainLoop } from "./loop.ts";
import { type Position, START } from "./position.ts";
import { opByOpStep } from "./op-by-op-step.ts";

const SEED = 3;

const declared: ModelDeclaration = {
  preprocessing: [],
  model: {
    layers: [
      { dense: { units: 8, activation: "tanh" } },
      { dropout: { rate: 0.25 } },
      { dense: { units: 2, activation: "softmax" } },
    ].map((layer) => Layer.parse(layer)),
  },
  loss: "sparseCategoricalCrossentropy",
  metrics: ["accuracy"],
};

const ADAM: Optimizer = { adam: { learningRate: 0.02, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } };
const MOMENTUM: Optimizer = { sgd: { learningRate: 0.05, momentum: 0.9, nesterov: true } };

const SCHEDULE: Omit<Update, "optimizer"> = {
  learningRateSchedule: { exponentialDecay: { decaySteps: 5, decayRate: 0.5, staircase: false } },
};
/** The rate falls after the first epoch, and the best weights are not the last. */
const ACTING = Callbacks.parse({
  earlyStopping: { monitor: "val_loss", patience: 5, baseline: -1 },
  reduceLearningRateOnPlateau: { monitor: "val_loss", patience: 1, minDelta: 10, factor: 0.5 },
});

function points(count: number, seed: number): Dataset {
  const random = new Random(seed);
  const features = Float32Array.from({ length: 2 * count }, () => random.below(2001) / 1000 - 1);
  const labels = Float32Array.from({ length: count }, (_, i) => ((features[2 * i] ?? 0) > 0 ? 1 : 0));
  return { features, labels, exampleShape: [2], count, source: "points" };
}

let root: string;
let dir: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "checkpoint-"));
});

afterAll(() => rm(root, { recursive: true }));

/** Each process of a run compiles its step anew. */
jest.setTimeout(300_000);

let runs = 0;

beforeEach(() => {
  dir = join(root, `run-${(runs += 1)}`);
});

const at = (epoch: number, batch: number, step: number): Position => ({ ...START, epoch, batch, step });

it.each<[string, object, number[]]>([
  ["every epoch", {}, [3, 6]],
  ["every second epoch", { everyEpochs: 2 }, [6]],
  ["every other step, also over the end of an epoch", { everySteps: 2 }, [2, 4, 6]],
])("the state is due %s", (_, policy, steps) => {
  const walk = [at(0, 1, 1), at(0, 2, 2), at(0, 3, 3), at(1, 0, 3), at(1, 1, 4), at(1, 2, 5), at(1, 3, 6), at(2, 0, 6)];
  const due = walk.filter((position) => isDue(position, Checkpoint.parse(policy)));
  expect(due.map(({ step }) => step)).toEqual(steps);
});

const weightsOf = (model: LayersModel) => model.getWeights().map((weight) => Array.from(weight.dataSync()));

/** What depends on the process. */
const PACE = { etaSeconds: 0, throughput: 0 };

class Stopped extends Error {}

const KINDS = [
  { engine: "TensorFlow", kind: "a compiled step" },
  { engine: "TensorFlow", kind: "an interpreted step" },
  { engine: "Wasm", kind: "an interpreted step" },
] as const;

describe.each(KINDS)("On $engine by $kind", ({ engine, kind }) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  interface Attempt {
    optimizer?: Optimizer;
    update?: Omit<Update, "optimizer">;
    callbacks?: Callbacks;
    /** Ends the process at this position. */
    stopAt?: number;
    options?: Partial<CheckpointOptions>;
    policy?: object;
  }

  /** One process of the run: goes on from what is saved, and is stopped or comes to the end. */
  async function attempt({ optimizer = ADAM, update = {}, callbacks, stopAt, options = {}, policy = {} }: Attempt) {
    const model = buildModel(tf, declared, [2], SEED);
    const objective = objectiveOf(declared);
    const examples = points(40, 1);
    const stepOptions = { ...update, model, objective, optimizer, seed: SEED };
    const compiled = kind === "a compiled step" ? await compileStep(tf, { ...stepOptions, examples }) : undefined;
    expect(compiled?.notCompiled).toBeUndefined();
    const step = compiled?.step ?? opByOpStep(tf, stepOptions);
    const best = new BestWeights(tf, model);
    const warnings: string[] = [];
    const checkpoints = new Checkpoints({
      store: await CheckpointStore.open(dir),
      policy: Checkpoint.parse(policy),
      specHash: "spec",
      dataset: "data",
      software: { engine },
      memory: together(step, best),
      now: () => new Date(0),
      onSaved: () => undefined,
      warn: (message) => warnings.push(message),
      ...options,
    });
    const saved = await checkpoints.resume();
    const states: LoopState[] = [];
    let positions = 0;
    let now = 0;
    try {
      await trainLoop(tf, {
        model,
        objective,
        step,
        train: examples,
        validation: points(16, 2),
        epochs: 3,
        batchSize: 12,
        seed: SEED,
        callbacks,
        best,
        from: saved?.position,
        clock: () => (now += 500),
        now: () => 0,
        onState: (state) => states.push(state),
        onPosition: async (position) => {
          positions += 1;
          await checkpoints.passed(position);
          if (positions !== stopAt) return;
          await checkpoints.save();
          throw new Stopped();
        },
      });
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
    const weights = weightsOf(model);
    step.dispose();
    model.dispose();
    return { saved, states, positions, warnings, weights };
  }

  it.each<[string, Omit<Attempt, "stopAt">]>([
    ["adam", { optimizer: ADAM }],
    ["sgd with momentum", { optimizer: MOMENTUM }],
    ["sgd", { optimizer: Optimizer.parse({ sgd: {} }) }],
    ["centered rmsprop with momentum", { optimizer: Optimizer.parse({ rmsprop: { centered: true, momentum: 0.5 } }) }],
    ["nadam and a schedule", { optimizer: Optimizer.parse({ nadam: {} }), update: SCHEDULE }],
    ["averages of sums of gradients", { update: { gradientAccumulation: 3, movingAverage: { decay: 0.8 } } }],
    ["callbacks that act", { callbacks: ACTING, update: { movingAverage: { decay: 0.8 } } }],
  ])("a training with %s that is stopped anywhere ends with the very weights and metrics", async (_, training) => {
    const whole = await attempt(training);
    const positions = 3 * (4 + 1);
    expect(whole.positions).toBe(positions);
    for (let stopAt = 1; stopAt < positions; stopAt += 1) {
      await rm(checkpointFolder(dir), { recursive: true });
      const first = await attempt({ ...training, stopAt });
      const second = await attempt(training);
      expect(first.positions + second.positions).toBe(positions);
      expect({ stopAt, weights: second.weights }).toEqual({ stopAt, weights: whole.weights });
      const [last, expected] = [second.states.at(-1), whole.states.at(-1)];
      expect({ ...last, ...PACE }).toEqual({ ...expected, ...PACE });
    }
  });

  it("the time that is left is told at the pace of the process that goes on", async () => {
    await attempt({ stopAt: 7 });
    const { saved, states } = await attempt({});
    expect(saved?.position).toMatchObject({ epoch: 1, batch: 2, step: 6 });
    expect(states[0]).toMatchObject({ epoch: 1, step: 6, steps: 12, etaSeconds: 0 });
    expect(states[1]).toMatchObject({ step: 7, etaSeconds: 5 * 0.5 });
  });

  it("what has ended goes on at its end: nothing is computed again", async () => {
    const whole = await attempt({});
    const again = await attempt({});
    expect(again.positions).toBe(0);
    expect(again.weights).toEqual(whole.weights);
    expect(again.states).toEqual([{ ...whole.states.at(-1), ...PACE }]);
  });

  it("a damaged state is passed over for the one before it, with the same end", async () => {
    const whole = await attempt({ policy: { everySteps: 1 } });
    await rm(checkpointFolder(dir), { recursive: true });
    await attempt({ stopAt: 6, policy: { everySteps: 1 } });
    const [newest = ""] = (await readdir(checkpointFolder(dir)))
      .filter((name) => name.startsWith("step-"))
      .sort()
      .reverse();
    await writeFile(join(checkpointFolder(dir), newest), "damaged");
    const next = await attempt({});
    expect(next.saved?.position.step).toBe(4);
    expect(next.warnings).toEqual([expect.stringMatching(/^The saved state of step 5 is passed over: /)]);
    expect(next.weights).toEqual(whole.weights);
  });

  it.each<[string, Partial<CheckpointOptions>, RegExp]>([
    ["specification", { specHash: "other" }, /step 4 is passed over: it is of another specification/],
    ["data", { dataset: "other" }, /step 4 is passed over: the training data have changed since/],
  ])("a state of other %s is not gone on from", async (_, options, warning) => {
    await attempt({ stopAt: 5 });
    const { saved, warnings } = await attempt({ options });
    expect(saved).toBeUndefined();
    expect(warnings).toEqual([expect.stringMatching(warning)]);
  });

  it("a state of another model is not gone on from", async () => {
    await attempt({ stopAt: 5, optimizer: MOMENTUM });
    const { saved, warnings } = await attempt({});
    expect(saved).toBeUndefined();
    expect(warnings).toEqual([expect.stringMatching(/it is of another model/)]);
  });

  it("says when the state was computed by other programs or on another machine", async () => {
    await attempt({ stopAt: 5 });
    const { saved, warnings } = await attempt({ options: { software: { engine, threads: "4" } } });
    expect(saved?.position.step).toBe(4);
    expect(warnings).toEqual([expect.stringMatching(/threads none, now 4.*may differ in its last digits/)]);
  });

  it("goes on training when a state cannot be saved, and says so", async () => {
    const store = await CheckpointStore.open(dir);
    const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
    jest.spyOn(store, "save").mockRejectedValue(full);
    const { positions, warnings } = await attempt({ options: { store } });
    expect(positions).toBe(15);
    expect(warnings[0]).toMatch(/step 4 could not be saved \(ENOSPC\); check the volume/);
  });

  it("ends when another process has taken the run over", async () => {
    const store = await CheckpointStore.open(dir);
    await CheckpointStore.open(dir);
    await expect(attempt({ options: { store } })).rejects.toMatchObject({ reason: "Superseded", exitCode: 75 });
  });
});
