/** A training from its specification to its artefact. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import type { TrainingRun } from "../../crds/contract/run.ts";
import type { Backend, Tf } from "../engine/backend.ts";
import { runsGraphs } from "../engine/session.ts";
import { signatureOf } from "../formats/signature.ts";
import { saveLayersModel } from "../formats/tfjs-layers.ts";
import { Failure, systemCode } from "../failure.ts";
import { type Reporter, reporter } from "../reporter.ts";
import type { Interruption } from "../interruption.ts";
import type { Artefact } from "../store/artefact.ts";
import { type ArtefactDescription, findFinished, writeArtefact } from "../store/artefact-writer.ts";
import { CheckpointStore, removeCheckpoints } from "../store/checkpoint-store.ts";
import { Fence } from "../store/fence.ts";
import { resolveUri } from "../store/uri.ts";
import { type Surroundings, artefactStatus, openEngine, softwareOf } from "../work.ts";
import { BestWeights, together } from "./best-weights.ts";
import { monitors } from "./callbacks.ts";
import { Checkpoints, type Memory, type Saved, isDue } from "./checkpoint.ts";
import { compileStep } from "./compiled-step.ts";
import { type Datasets, loadDatasets } from "./datasets.ts";
import { evaluate } from "./evaluate.ts";
import { buildModel, checkModel, objectiveOf } from "./layers.ts";
import { type LoopState, trainLoop } from "./loop.ts";
import { type Objective, checkLabels, withClassWeights } from "./objective.ts";
import type { Position } from "./position.ts";
import { opByOpStep } from "./op-by-op-step.ts";
import type { TrainStep } from "./train-step.ts";

interface Trained {
  model: LayersModel;
  objective: Objective;
  datasets: Datasets;
  /** Loss and metrics on the test data. */
  evaluation?: Record<string, number>;
}

type Report = Reporter<TrainingProgress>;

/** The model as it begins, and the data. */
async function prepare(tf: Tf, run: TrainingRun, volumes: string): Promise<Trained> {
  const { dataset, seed } = run.training;
  const objective = objectiveOf(run.training);
  const datasets = await loadDatasets(dataset, volumes, seed);
  const { train, validation, test } = datasets;
  const output = checkModel(run.training, train);
  checkMonitors(run.training, validation !== undefined);
  for (const part of [train, validation, test]) {
    if (part !== undefined) checkLabels(objective, output.size, part);
  }
  datasets.train = withClassWeights(objective, train, run.training.classWeights);
  return { model: buildModel(tf, run.training, train.exampleShape, seed), objective, datasets };
}

/** Throws Failure InvalidSpec when a callback watches what is not reported. */
function checkMonitors({ callbacks, metrics }: TrainingRun["training"], validated: boolean): void {
  const names = ["loss", ...metrics];
  const reported = [...names, ...(validated ? names.map((name) => `val_${name}`) : [])];
  for (const { field, monitor } of monitors(callbacks)) {
    if (reported.includes(monitor)) continue;
    throw new Failure("InvalidSpec", `${field}: nothing is reported as ${monitor}; it may be ${reported.join(", ")}`);
  }
}

/** The moment of a position, for progress. */
const momentOf = ({ epoch, step }: Position, time: string) => ({ epoch, step, time });

function resumedAt({ position, savedAt }: Saved) {
  const resumed = momentOf(position, new Date().toISOString());
  return { resumed, checkpoint: momentOf(position, savedAt) };
}

function checkpointsOf(
  run: TrainingRun,
  software: Record<string, string>,
  { store, memory, datasets }: { store: CheckpointStore; memory: Memory; datasets: Datasets },
  report: Report,
): Checkpoints {
  return new Checkpoints({
    store,
    policy: run.checkpoint,
    specHash: run.job.specHash,
    dataset: datasets.digest,
    software,
    memory,
    now: () => new Date(),
    onSaved: ({ position, savedAt }) => report.update({ checkpoint: momentOf(position, savedAt) }),
    warn: (message) => console.warn(message),
  });
}

function onState(report: Report): (state: LoopState) => void {
  return ({ epoch, step, steps, loss, metrics, etaSeconds }) => {
    const progressPercent = Math.min(99, Math.floor((100 * step) / steps));
    const change = { epoch, step, loss, metrics, progressPercent, etaSeconds: Math.ceil(etaSeconds) };
    report.update(change, epoch !== report.current().epoch);
  };
}

/** What the last bits of a result depend on: a compiled step rounds in another way than an interpreted one. */
const softwareWith = (backend: Backend, notCompiled: string | undefined) => ({
  ...softwareOf(backend),
  step: notCompiled === undefined ? "compiled" : "interpreted",
});

/** A compiled step where the engine and the model allow it, else one that goes operation by operation, and why. */
async function stepOf(
  tf: Tf,
  run: TrainingRun,
  { model, objective, datasets }: Trained,
): Promise<{ step: TrainStep; notCompiled?: string }> {
  const options = { ...run.training, model, objective };
  const interpreted = (notCompiled: string) => ({ step: opByOpStep(tf, options), notCompiled });
  if (!runsGraphs(tf)) return interpreted("only the TensorFlow engine runs compiled steps");
  const { step, notCompiled } = await compileStep(tf, { ...options, examples: datasets.train });
  if (step !== undefined) return { step };
  const { layer, className, reason } = notCompiled;
  return interpreted(`layer ${layer} (${className}): ${reason}`.slice(0, 512));
}

/** Trains and evaluates, from where a former process stopped. When it is interrupted it saves where it stands. */
async function fit(
  backend: Backend,
  run: TrainingRun,
  prepared: Trained,
  { store, signal, report }: { store: CheckpointStore; signal: AbortSignal; report: Report },
): Promise<Trained> {
  const { tf } = backend;
  const { model, objective, datasets } = prepared;
  const { epochs, batchSize, seed, callbacks } = run.training;
  const { train, validation, test } = datasets;
  const { step, notCompiled } = await stepOf(tf, run, prepared);
  report.update({ compiled: notCompiled === undefined, ...(notCompiled === undefined ? {} : { notCompiled }) });
  const best = new BestWeights(tf, model);
  const checkpoints = checkpointsOf(
    run,
    softwareWith(backend, notCompiled),
    { store, memory: together(step, best), datasets },
    report,
  );
  const saved = await checkpoints.resume();
  const from = saved?.position;
  report.update({ state: "Training", ...(saved === undefined ? {} : resumedAt(saved)) }, saved === undefined);
  try {
    await trainLoop(tf, {
      model,
      objective,
      step,
      train,
      validation,
      epochs,
      batchSize,
      seed,
      callbacks,
      best,
      from,
      signal,
      stopsAt: (position) => isDue(position, run.checkpoint),
      clock: () => performance.now(),
      now: () => Date.now(),
      onState: onState(report),
      onPosition: async (position) => {
        await checkpoints.passed(position);
        signal.throwIfAborted();
      },
    });
    report.update({ state: "Evaluating" });
    if (test === undefined) return prepared;
    return { ...prepared, evaluation: await evaluate(tf, model, objective, test, signal) };
  } catch (error) {
    if (error === signal.reason) await checkpoints.save();
    throw error;
  } finally {
    step.dispose();
  }
}

function describe(run: TrainingRun, backend: Backend, trained: Trained) {
  const { model, objective, datasets, evaluation } = trained;
  const { kind, namespace, name, uid, run: id, specHash } = run.job;
  const { licence } = run.output;
  const description: ArtefactDescription = {
    name,
    format: "TfjsLayers",
    signature: signatureOf(model),
    parameters: model.countParams(),
    training: objective,
    ...(evaluation === undefined ? {} : { evaluation }),
    lineage: {
      job: { kind, namespace, name, uid },
      run: id,
      specHash,
      parents: [],
      dataset: datasets.digest,
      software: softwareOf(backend),
    },
    ...(licence === undefined ? {} : { licence }),
    createdAt: new Date().toISOString(),
  };
  return description;
}

function finished(run: TrainingRun, artefact: Artefact, report: Report): TrainingProgress {
  const evaluation = artefact.manifest?.evaluation;
  report.update({
    state: "Succeeded",
    progressPercent: 100,
    etaSeconds: 0,
    epoch: run.training.epochs,
    artefact: artefactStatus(run.output.uri, artefact),
    ...(evaluation === undefined ? {} : { evaluation }),
  });
  return report.current();
}

/** The artefact stands without them; what cannot be removed does no harm. */
async function forgetCheckpoints(folder: string): Promise<void> {
  await removeCheckpoints(folder).catch((error: unknown) => {
    console.warn(`Saved states beside ${folder} could not be removed (${systemCode(error) ?? String(error)})`);
  });
}

async function trainAndWrite(
  run: TrainingRun,
  folder: string,
  { volumes, threads }: Surroundings,
  { report, interruption, fence }: { report: Report; interruption: Interruption; fence: Fence },
): Promise<Artefact> {
  const { uri } = run.output;
  const backend = await openEngine(run.compute, threads);
  report.update({ engine: backend.engine, device: backend.device });
  const prepared = await prepare(backend.tf, run, volumes);
  const store = await CheckpointStore.open(folder, uri, fence);
  const trained = await fit(backend, run, prepared, { store, signal: interruption.watch(), report });
  report.update({ state: "Uploading" });
  return writeArtefact(
    folder,
    async (staging) => {
      await saveLayersModel(backend.tf, trained.model, staging);
      return describe(run, backend, trained);
    },
    { shownAs: uri, fence },
  );
}

/**
 * Runs the training and writes its artefact; a complete artefact of the same specification is adopted instead.
 * `onProgress` hears where it stands. Throws Failure; Terminated when it is interrupted.
 */
export async function train(
  run: TrainingRun,
  { volumes, threads }: Surroundings,
  onProgress: (progress: TrainingProgress) => void,
  interruption: Interruption,
): Promise<TrainingProgress> {
  const initial: TrainingProgress = {
    kind: "TrainingProgress",
    run: run.job.run,
    state: "Starting",
    progressPercent: 0,
    epoch: 0,
    epochs: run.training.epochs,
    step: 0,
  };
  const report = reporter(initial, onProgress, () => performance.now());
  const { uri } = run.output;
  const folder = await resolveUri(uri, volumes);
  const former = await findFinished(folder, run.job.specHash, uri);
  if (former !== undefined) {
    report.update({ adopted: true }, false);
    await forgetCheckpoints(folder);
    return finished(run, former, report);
  }
  const fence = await Fence.take(folder, uri);
  try {
    const artefact = await trainAndWrite(run, folder, { volumes, threads }, { report, interruption, fence });
    await forgetCheckpoints(folder);
    return finished(run, artefact, report);
  } finally {
    await fence.release();
  }
}
