/** The training itself: from where a former process stopped to the weights that the model is to keep. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { Privacy } from "../../crds/accounts.ts";
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import type { TrainingRun } from "../../crds/contract/run.ts";
import type { EnergyModel } from "../../crds/contract/energy-model.ts";
import type { Account } from "../accounting/account.ts";
import { energyOf } from "../accounting/energy.ts";
import { HISTORY_LIMIT } from "../../crds/training-job.ts";
import { batchCount } from "../data/batches.ts";
import type { Group } from "../distributed/group.ts";
import { PeerLost } from "../distributed/channel.ts";
import type { Backend } from "../engine/backend.ts";
import type { Reporter } from "../reporter.ts";
import type { CheckpointStore } from "../store/checkpoint-store.ts";
import { softwareOf } from "../work.ts";
import { BestWeights, together } from "./best-weights.ts";
import { type CheckpointOptions, Checkpoints, type Saved, isDue } from "./checkpoint.ts";
import type { Datasets } from "./datasets.ts";
import { chooseStep } from "./choose-step.ts";
import { thinned } from "./history.ts";
import { type LoopOptions, type LoopState, trainLoop } from "./loop.ts";
import type { Objective } from "./objective.ts";
import type { Position } from "./position.ts";
import { type PrivacyPlan, poissonBatches, privacyPlan } from "./privacy/privacy-plan.ts";
import { shareMemory } from "./team.ts";

/** The model as it begins, and what it learns from. */
export interface Prepared {
  model: LayersModel;
  objective: Objective;
  datasets: Datasets;
  /** Digest of the model that it was made from. */
  parent?: string;
}

export interface Surroundings {
  backend: Backend;
  run: TrainingRun;
  /** Where states are saved; absent in all but the first of several workers. */
  store?: CheckpointStore | undefined;
  /** Asks the training to end. */
  signal: AbortSignal;
  report: Reporter<TrainingProgress>;
  /** What the run has used so far. */
  account: Account;
  /** What energy is reckoned with. */
  energy: EnergyModel;
  /** The other workers. */
  group?: Group | undefined;
}

export interface Fitted {
  privacy?: Privacy;
  /** Where the training ended. */
  state: LoopState;
}

/** The moment of a position, for progress. */
const momentOf = ({ epoch, step }: Position, time: string) => ({ epoch, step, time });

function resumedAt({ position, savedAt }: Saved) {
  const resumed = momentOf(position, new Date().toISOString());
  return { resumed, checkpoint: momentOf(position, savedAt) };
}

function checkpointsOf(
  { run, report }: Surroundings,
  datasets: Datasets,
  means: Pick<CheckpointOptions, "store" | "software" | "memory" | "consumption">,
): Checkpoints {
  return new Checkpoints({
    ...means,
    policy: run.checkpoint,
    specHash: run.job.specHash,
    dataset: datasets.digest,
    now: () => new Date(),
    onSaved: ({ position, savedAt }) => report.update({ checkpoint: momentOf(position, savedAt) }),
    warn: (message) => console.warn(message),
  });
}

/** What the last bits of a result depend on: a compiled step rounds in another way than an interpreted one. */
const softwareWith = (backend: Backend, notCompiled: string | undefined) => ({
  ...softwareOf(backend),
  step: notCompiled === undefined ? "compiled" : "interpreted",
});

/** What is given away after so many steps. */
function spent(plan: PrivacyPlan | undefined, step: number): { privacy?: Privacy } {
  if (plan === undefined) return {};
  // Rounded up: less would be a promise that is not kept.
  const epsilon = Math.ceil(plan.accountant.epsilon(step) * 1e4) / 1e4;
  return { privacy: { epsilon, delta: plan.delta } };
}

/** What is used so far; of several workers all together is known at the end. */
const usedSoFar = ({ account, energy, group }: Surroundings) =>
  group === undefined ? { energy: energyOf(account.read(), energy) } : {};

function onState(surroundings: Surroundings, plan: PrivacyPlan | undefined): (state: LoopState) => void {
  const { report } = surroundings;
  return ({ epoch, step, steps, loss, metrics, etaSeconds, throughput, history, stopped }) => {
    const progressPercent = Math.min(99, Math.floor((100 * step) / steps));
    const pace = throughput === 0 ? {} : { examplesPerSecond: Number(throughput.toPrecision(4)) };
    const change = { epoch, step, loss, metrics, progressPercent, etaSeconds: Math.ceil(etaSeconds), ...pace };
    const ended = epoch !== report.current().epoch;
    const past = ended ? { history: shownHistory(history), ...(stopped === undefined ? {} : { stopped }) } : {};
    report.update({ ...change, ...past, ...spent(plan, step), ...(ended ? usedSoFar(surroundings) : {}) }, ended);
  };
}

/** As status shows it. */
function shownHistory(history: LoopState["history"]): TrainingProgress["history"] {
  return thinned(history, HISTORY_LIMIT).map(({ epoch, learningRate, values }) => ({ epoch, learningRate, values }));
}

function privacyOf({ training }: TrainingRun, { datasets }: Prepared): PrivacyPlan | undefined {
  const { privacy, batchSize, epochs } = training;
  return privacy && privacyPlan(privacy.differentialPrivacy, datasets.train, batchSize, epochs);
}

/** How the loop of a private training differs. */
function privateLoop(plan: PrivacyPlan | undefined, { datasets }: Prepared, batchSize: number): Partial<LoopOptions> {
  if (plan === undefined) return {};
  const { train } = datasets;
  const count = batchCount(train, batchSize);
  return { mostSteps: plan.steps, batches: (first) => poissonBatches(train, plan, count, first) };
}

/**
 * Trains the model; returns what that gives away. When it is asked to end, or another worker is lost, it saves where it stands and throws the signal's
 * reason, or PeerLost; the model is then to be trained again from the same beginning.
 */
export async function fit(surroundings: Surroundings, prepared: Prepared): Promise<Fitted> {
  const { run, backend, store, signal, report, account, group } = surroundings;
  const { tf } = backend;
  const { model, objective, datasets } = prepared;
  const { epochs, batchSize, seed, callbacks } = run.training;
  const plan = privacyOf(run, prepared);
  const { step, notCompiled } = await chooseStep(tf, run.training, prepared, group);
  report.update({ compiled: notCompiled === undefined, ...(notCompiled === undefined ? {} : { notCompiled }) });
  const best = new BestWeights(tf, model);
  const memory = together(step, best);
  const software = softwareWith(backend, notCompiled);
  const checkpoints =
    store &&
    checkpointsOf(surroundings, datasets, {
      store,
      software,
      memory,
      consumption: () => account.read(),
    });
  try {
    const own = await checkpoints?.resume();
    account.goOn(own?.consumption);
    // Worker 0 alone has a store; the others begin where it begins.
    const saved = group === undefined ? own : ((await group.share(() => own ?? null)) ?? undefined);
    if (group !== undefined) await shareMemory(group, memory);
    report.update({ state: "Training", ...(saved === undefined ? {} : resumedAt(saved)) }, saved === undefined);
    const state = await trainLoop(tf, {
      model,
      objective,
      step,
      train: datasets.train,
      validation: datasets.validation,
      epochs,
      batchSize,
      seed,
      callbacks,
      best,
      from: saved?.position,
      signal,
      stopsAt: (position) => isDue(position, run.checkpoint),
      ...(group === undefined ? {} : { share: (make) => group.share(make) }),
      ...privateLoop(plan, prepared, batchSize),
      clock: () => performance.now(),
      now: () => Date.now(),
      onState: onState(surroundings, plan),
      onPosition: async (position) => {
        await checkpoints?.passed(position);
        signal.throwIfAborted();
      },
    });
    return { ...spent(plan, state.step), state };
  } catch (error) {
    if (error === signal.reason || error instanceof PeerLost) await checkpoints?.save();
    throw error;
  } finally {
    step.dispose();
  }
}
