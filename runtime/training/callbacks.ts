/** What callbacks decide after each epoch, from what was reported, as those of Keras do; plain data between epochs. */
import { z } from "zod";
import type { Callbacks } from "../../crds/optimizer.ts";

const Watch = z.strictObject({
  best: z.number().optional(),
  /** Epochs since the last improvement. */
  wait: z.int().min(0),
});

export const CallbackState = z.strictObject({
  stopping: Watch.extend({ bestEpoch: z.int().min(0) }),
  plateau: Watch.extend({ cooldown: z.int().min(0) }),
  /** What the learning rate is multiplied by. */
  rateFactor: z.number().gt(0),
  /** The epoch, from 1, after which the training was ended early. */
  stopped: z.int().min(1).optional(),
});

export type CallbackState = z.output<typeof CallbackState>;

export const NO_CALLBACKS: CallbackState = {
  stopping: { wait: 0, bestEpoch: 0 },
  plateau: { wait: 0, cooldown: 0 },
  rateFactor: 1,
};

type Stopping = NonNullable<Callbacks["earlyStopping"]>;
type Plateau = NonNullable<Callbacks["reduceLearningRateOnPlateau"]>;

const LARGER_IS_BETTER = /(accuracy|precision|recall|f1Score|r2Score|cosineSimilarity)$/i;

/** Is `value` better than `best` by more than `minDelta`? Everything is better than nothing. */
function improves(monitor: string, value: number, best: number | undefined, minDelta: number): boolean {
  if (best === undefined) return true;
  return LARGER_IS_BETTER.test(monitor) ? value - minDelta > best : value + minDelta < best;
}

interface Epoch {
  /** From 1. */
  epoch: number;
  /** Loss and metrics that were reported. */
  values: Readonly<Record<string, number>>;
}

function afterStopping(settings: Stopping, state: CallbackState, { epoch, values }: Epoch): CallbackState {
  const { monitor, minDelta, patience, baseline, startFromEpoch } = settings;
  const value = values[monitor];
  if (value === undefined || Number.isNaN(value) || epoch <= startFromEpoch) return state;
  const { best, bestEpoch } = state.stopping;
  const better = improves(monitor, value, best, minDelta);
  const passes = better && (baseline === undefined || improves(monitor, value, baseline, minDelta));
  const wait = passes ? 0 : state.stopping.wait + 1;
  const stopping = { best: better ? value : best, bestEpoch: better ? epoch : bestEpoch, wait };
  const ends = !passes && wait >= patience && epoch > 1;
  return { ...state, stopping, ...(ends ? { stopped: epoch } : {}) };
}

function afterPlateau(
  { monitor, factor, patience, minDelta, cooldown, minLearningRate }: Plateau,
  state: CallbackState,
  { values }: Epoch,
  learningRate: number,
): CallbackState {
  const value = values[monitor];
  if (value === undefined || Number.isNaN(value)) return state;
  const before = state.plateau;
  const cool = Math.max(0, before.cooldown - 1);
  const waited = before.cooldown > 0 ? 0 : before.wait;
  if (improves(monitor, value, before.best, minDelta)) {
    return { ...state, plateau: { best: value, wait: 0, cooldown: cool } };
  }
  if (cool > 0) return { ...state, plateau: { ...before, wait: waited, cooldown: cool } };
  const rate = learningRate * state.rateFactor;
  if (waited + 1 < patience || rate <= minLearningRate) {
    return { ...state, plateau: { ...before, wait: waited + 1, cooldown: cool } };
  }
  const rateFactor = Math.max(rate * factor, minLearningRate) / learningRate;
  return { ...state, rateFactor, plateau: { ...before, wait: 0, cooldown } };
}

/** The state after an epoch. `learningRate`: the optimizer's, before any change. */
export function afterEpoch(
  { earlyStopping, reduceLearningRateOnPlateau }: Callbacks,
  state: CallbackState,
  epoch: Epoch,
  learningRate: number,
): CallbackState {
  const stopped = earlyStopping === undefined ? state : afterStopping(earlyStopping, state, epoch);
  return reduceLearningRateOnPlateau === undefined
    ? stopped
    : afterPlateau(reduceLearningRateOnPlateau, stopped, epoch, learningRate);
}

/** Names that callbacks watch, with the field that says so. */
export function monitors({
  earlyStopping,
  reduceLearningRateOnPlateau,
}: Callbacks): { field: string; monitor: string }[] {
  return Object.entries({ earlyStopping, reduceLearningRateOnPlateau }).flatMap(([name, callback]) =>
    callback === undefined ? [] : [{ field: `spec.callbacks.${name}.monitor`, monitor: callback.monitor }],
  );
}
