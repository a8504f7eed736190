/** The training loop: epochs in an order that the seed gives, validation after each, and where it stands. */
import type { LayersModel } from "@tensorflow/tfjs";
import { batchCount, batchesOf } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { Averages } from "./averages.ts";
import { breathe } from "./breathe.ts";
import { evaluate } from "./evaluate.ts";
import type { Objective } from "./objective.ts";
import type { TrainStep } from "./train-step.ts";

export interface LoopState {
  /** Finished epochs. */
  epoch: number;
  epochs: number;
  /** Finished steps of all epochs. */
  step: number;
  steps: number;
  /** Mean over the last finished epoch, or over the current one while it is the first. */
  loss: number;
  /** Metrics of the same epoch; those of validation begin with `val_`. */
  metrics: Record<string, number>;
  etaSeconds: number;
}

export interface LoopOptions {
  model: LayersModel;
  objective: Objective;
  step: TrainStep;
  train: Dataset;
  validation?: Dataset | undefined;
  epochs: number;
  batchSize: number;
  seed: number;
  /** Milliseconds. */
  clock: () => number;
  /** After each step and each epoch. */
  onState: (state: LoopState) => void;
}

function checkFinite(values: Record<string, number>, epoch: number, step: number): void {
  if (Number.isFinite(values["loss"])) return;
  throw new Failure(
    "InvalidSpec",
    `The loss is not finite any more in epoch ${epoch + 1}, step ${step + 1}; lower the learning rate, or rescale the features (spec.preprocessing)`,
  );
}

async function validationMetrics(
  tf: Tf,
  { model, objective, validation }: LoopOptions,
): Promise<Record<string, number>> {
  if (validation === undefined) return {};
  const values = await evaluate(tf, model, objective, validation);
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`val_${name}`, value]));
}

/** Trains `options.model` in place. Throws Failure InvalidSpec when the loss is not finite. */
export async function trainLoop(tf: Tf, options: LoopOptions): Promise<LoopState> {
  const { step, train, epochs, batchSize, seed, clock, onState } = options;
  const steps = epochs * batchCount(train, batchSize);
  const start = clock();
  let state: LoopState = { epoch: 0, epochs, step: 0, steps, loss: NaN, metrics: {}, etaSeconds: 0 };
  const advance = (change: Partial<LoopState>) => {
    const done = change.step ?? state.step;
    const etaSeconds = done === 0 ? 0 : ((clock() - start) / 1000 / done) * (steps - done);
    state = { ...state, ...change, etaSeconds };
    onState(state);
  };
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    const averages = new Averages();
    const order = new Random(seed, "order", epoch).permutation(train.count);
    for (const batch of batchesOf(train, batchSize, order)) {
      const values = step.run(batch, state.step);
      checkFinite(values, epoch, state.step);
      averages.add(values, batch.count);
      const { loss = NaN, ...metrics } = epoch === 0 ? averages.values() : { loss: state.loss, ...state.metrics };
      advance({ step: state.step + 1, loss, metrics });
      await breathe();
    }
    const { loss = NaN, ...metrics } = averages.values();
    advance({ epoch: epoch + 1, loss, metrics: { ...metrics, ...(await validationMetrics(tf, options)) } });
  }
  return state;
}
