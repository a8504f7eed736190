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
import { type Position, START } from "./position.ts";
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
  /** After each step and each epoch, and at the start where it goes on. */
  onState: (state: LoopState) => void;
  /** Where a former process stopped; what `step` depends on has been put back. */
  from?: Position | undefined;
  /** After each step and each epoch; the next waits for it, and what it throws ends the loop. */
  onPosition?: ((position: Position) => Promise<void>) | undefined;
  /** Ends validation. */
  signal?: AbortSignal | undefined;
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
  { model, objective, validation, signal }: LoopOptions,
): Promise<Record<string, number>> {
  if (validation === undefined) return {};
  const values = await evaluate(tf, model, objective, validation, signal);
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`val_${name}`, value]));
}

/** Tells where the loop stands, and how long the rest takes at the pace of this process. */
function stateTeller({ train, epochs, batchSize, clock, from = START }: LoopOptions) {
  const steps = epochs * batchCount(train, batchSize);
  const start = clock();
  return ({ epoch, step, running, finished }: Position): LoopState => {
    const done = step - from.step;
    const etaSeconds = done === 0 ? 0 : ((clock() - start) / 1000 / done) * (steps - step);
    const values = epoch === 0 ? new Averages(running).values() : finished;
    const { loss = NaN, ...metrics } = values;
    return { epoch, epochs, step, steps, loss, metrics, etaSeconds };
  };
}

/** Trains `options.model` in place. Throws Failure InvalidSpec when the loss is not finite. */
export async function trainLoop(tf: Tf, options: LoopOptions): Promise<LoopState> {
  const { step, train, epochs, batchSize, seed, from = START, onState, onPosition } = options;
  const stateAt = stateTeller(options);
  let position = from;
  let state = stateAt(from);
  if (from !== START) onState(state);
  const advance = async (change: Partial<Position>) => {
    position = { ...position, ...change };
    state = stateAt(position);
    onState(state);
    await breathe();
    await onPosition?.(position);
  };
  while (position.epoch < epochs) {
    const { epoch } = position;
    const averages = new Averages(position.running);
    const order = new Random(seed, "order", epoch).permutation(train.count);
    for (const batch of batchesOf(train, batchSize, order, position.batch)) {
      const values = step.run(batch, position.step);
      checkFinite(values, epoch, position.step);
      averages.add(values, batch.count);
      await advance({ batch: position.batch + 1, step: position.step + 1, running: averages.sums() });
    }
    const finished = { ...averages.values(), ...(await validationMetrics(tf, options)) };
    await advance({ epoch: epoch + 1, batch: 0, running: START.running, finished });
  }
  return state;
}
