/** The training loop: epochs in an order that the seed gives, validation and callbacks after each, and where it stands. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { Callbacks } from "../../crds/optimizer.ts";
import { batchCount } from "../data/batches.ts";
import type { Examples } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { Averages } from "./averages.ts";
import { BestWeights } from "./best-weights.ts";
import { breathe } from "./breathe.ts";
import { afterEpoch } from "./callbacks.ts";
import { type EpochOptions, epochSteps } from "./epoch-steps.ts";
import { evaluate } from "./evaluate.ts";
import { type HistoryEntry, remember } from "./history.ts";
import { metricValues } from "./metrics.ts";
import { type Objective, outputOf } from "./objective.ts";
import { type Position, START } from "./position.ts";

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
  /** Examples a second, of this process. */
  throughput: number;
  history: readonly HistoryEntry[];
  /** The epoch, from 1, after which it was ended early, and the one whose weights were best. */
  stopped?: { epoch: number; bestEpoch: number };
}

export interface LoopOptions extends EpochOptions {
  model: LayersModel;
  objective: Objective;
  validation?: Examples | undefined;
  epochs: number;
  seed: number;
  callbacks?: Callbacks | undefined;
  /** Weights of the best epoch; where a former process stopped, they have been put back. */
  best?: BestWeights | undefined;
  /** Milliseconds. */
  clock: () => number;
  /** Milliseconds since 1970. */
  now?: (() => number) | undefined;
  /** After each step and each epoch, and at the start where it goes on. */
  onState: (state: LoopState) => void;
  /** Where a former process stopped; what `step` depends on has been put back. */
  from?: Position | undefined;
  /** After each step and each epoch; the next waits for it, and what it throws ends the loop. */
  onPosition?: ((position: Position) => Promise<void>) | undefined;
  /** Several workers decide by what one of them has found out; default: each by itself. */
  share?: (<T>(make: () => Promise<T>) => Promise<T>) | undefined;
  /** Ends validation. */
  signal?: AbortSignal | undefined;
}

const HISTORY = 1024;
const DEFAULTS: Callbacks = { terminateOnNaN: true };

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

/** What is reported of means over examples. */
function reported({ model, objective }: LoopOptions, means: Record<string, number>): Record<string, number> {
  return Object.keys(means).length === 0 ? {} : metricValues(objective.metrics, means, outputOf(model, objective));
}

/** Tells where the loop stands, and how long the rest takes at the pace of this process. */
function stateTeller(options: LoopOptions) {
  const { train, epochs, batchSize, clock, from = START } = options;
  const steps = epochs * batchCount(train, batchSize);
  const start = clock();
  return ({ epoch, step, running, finished, callbacks, history }: Position): LoopState => {
    const done = step - from.step;
    const seconds = done === 0 ? 0 : (clock() - start) / 1000;
    const left = callbacks.stopped === undefined ? steps - step : 0;
    const etaSeconds = done === 0 ? 0 : (seconds / done) * left;
    const throughput = seconds === 0 ? 0 : (done * Math.min(batchSize, train.count)) / seconds;
    const values = epoch === 0 ? reported(options, new Averages(running).values()) : finished;
    const { loss = NaN, ...metrics } = values;
    const { stopped: at, stopping } = callbacks;
    const stopped = at === undefined ? {} : { stopped: { epoch: at, bestEpoch: stopping.bestEpoch } };
    return { epoch, epochs, step, steps, loss, metrics, etaSeconds, throughput, history, ...stopped };
  };
}

const allFinite = (values: Record<string, number>) => Object.values(values).every(Number.isFinite);

const finite = (values: Record<string, number>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)));

/**
 * Trains `options.model` in place. At the end the model has the weights that it is to keep: averages, where they are
 * declared, and those of the best epoch. Throws Failure InvalidSpec when the loss is not finite.
 */
export async function trainLoop(tf: Tf, options: LoopOptions): Promise<LoopState> {
  const { step, train, epochs, seed, callbacks = DEFAULTS, from = START, onState, onPosition } = options;
  const { clock, now = clock, best = new BestWeights(tf, options.model) } = options;
  const { mostSteps = Infinity, share = (make) => make() } = options;
  const restores = callbacks.earlyStopping?.restoreBestWeights === true;
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

  /** Validation, callbacks and history, with the weights that the model would be given. */
  async function finishEpoch(means: Record<string, number>): Promise<Partial<Position>> {
    const { rateFactor } = position.callbacks;
    const epoch = position.epoch + 1;
    const learningRate = step.learningRate(position.step - 1);
    step.publish();
    try {
      const values = finite({ ...reported(options, means), ...(await share(() => validationMetrics(tf, options))) });
      const decided = afterEpoch(callbacks, position.callbacks, { epoch, values }, learningRate);
      const after = position.step >= mostSteps && epoch < epochs ? { ...decided, stopped: epoch } : decided;
      if (restores && after.stopping.bestEpoch === epoch) best.take();
      const entry = { epoch, step: position.step, learningRate: learningRate * rateFactor, values, time: now() };
      const history = remember(position.history, entry, HISTORY);
      return { epoch, batch: 0, running: START.running, finished: values, callbacks: after, history };
    } finally {
      step.withdraw();
    }
  }

  while (position.epoch < epochs && position.callbacks.stopped === undefined) {
    const { epoch } = position;
    const averages = new Averages(position.running);
    const order = new Random(seed, "order", epoch).permutation(train.count);
    for await (const done of epochSteps(options, order, position)) {
      for (const [index, { values, count }] of done.entries()) {
        if (callbacks.terminateOnNaN && count > 0) checkFinite(values, epoch, position.step + index);
        averages.add(allFinite(values) ? values : {}, count);
      }
      const { batch, step: number } = position;
      await advance({ batch: batch + done.length, step: number + done.length, running: averages.sums() });
    }
    await advance(await finishEpoch(averages.values()));
  }
  step.publish();
  if (restores) best.restore();
  return state;
}
