/** A training from its specification to its artefact. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Energy, Privacy } from "../../crds/accounts.ts";
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import type { TrainingRun } from "../../crds/contract/run.ts";
import { workerAddresses } from "../../crds/contract/workers.ts";
import { Account } from "../accounting/account.ts";
import { type Consumption, energyOf } from "../accounting/energy.ts";
import { startMeter } from "../accounting/meter.ts";
import type { Examples } from "../data/dataset.ts";
import type { Group } from "../distributed/group.ts";
import type { Backend, Tf } from "../engine/backend.ts";
import { signatureOf } from "../formats/signature.ts";
import { saveLayersModel } from "../formats/tfjs-layers.ts";
import { Failure, systemCode } from "../failure.ts";
import { type Reporter, reporter } from "../reporter.ts";
import type { Interruption } from "../interruption.ts";
import type { Artefact } from "../store/artefact.ts";
import { type ArtefactDescription, writeArtefact } from "../store/artefact-writer.ts";
import { CheckpointStore, removeCheckpoints } from "../store/checkpoint-store.ts";
import type { Hold } from "../store/mirror.ts";
import { type Output, withOutput } from "../store/output.ts";
import { type Surroundings, artefactStatus, openEngine, softwareOf } from "../work.ts";
import { type BegunModel, modelFromBase } from "./base.ts";
import { BestWeights } from "./best-weights.ts";
import { monitors } from "./callbacks.ts";
import { loadDatasets } from "./datasets.ts";
import { evaluate } from "./evaluate.ts";
import { type Prepared, fit } from "./fit.ts";
import type { LoopState } from "./loop.ts";
import { timed } from "./phases.ts";
import { fitSteps } from "./preprocessing.ts";
import type { Reported } from "./report/page.ts";
import { writeReport } from "./report/report.ts";
import { buildModel, checkModel, objectiveOf } from "./layers.ts";
import { checkLabels, withClassWeights } from "./objective.ts";
import { type Seat, together } from "./team.ts";
import { modelFromTopology } from "./topology.ts";

interface Trained extends Prepared {
  state: LoopState;
  /** Loss and metrics on the test data. */
  evaluation?: Record<string, number> | undefined;
  privacy?: Privacy | undefined;
  energy: Energy;
}

type Report = Reporter<TrainingProgress>;

/** The model with the weights that it begins with. */
async function begin(tf: Tf, training: TrainingRun["training"], train: Examples, volumes: string): Promise<BegunModel> {
  const { base } = training.model;
  if (base !== undefined) return modelFromBase(tf, training, base, { train, volumes });
  const { topology } = training.model;
  if (topology !== undefined) return modelFromTopology(tf, training, topology, train);
  const output = checkModel(training, train);
  const fitted = fitSteps(training.preprocessing, train);
  return { model: buildModel(tf, training, train.exampleShape, training.seed, fitted), output };
}

/** The model as it begins, and the data. */
async function prepare(tf: Tf, run: TrainingRun, volumes: string): Promise<Prepared> {
  const { dataset, seed } = run.training;
  const objective = objectiveOf(run.training);
  const datasets = await loadDatasets(dataset, volumes, seed);
  const { train, validation, test } = datasets;
  const { model, output, parent } = await begin(tf, run.training, train, volumes);
  checkMonitors(run.training, validation !== undefined);
  for (const part of [train, validation, test]) {
    if (part !== undefined) checkLabels(objective, output.size, part);
  }
  datasets.train = withClassWeights(objective, train, run.training.classWeights);
  return { model, objective, datasets, ...(parent === undefined ? {} : { parent }) };
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

function describe(run: TrainingRun, backend: Backend, trained: Trained) {
  const { model, objective, datasets, evaluation, privacy, energy } = trained;
  const { kind, namespace, name, uid, run: id, specHash } = run.job;
  const { licence } = run.output;
  const description: ArtefactDescription = {
    name,
    format: "TfjsLayers",
    signature: signatureOf(model),
    parameters: model.countParams(),
    training: objective,
    epochs: trained.state.epoch,
    ...(evaluation === undefined ? {} : { evaluation }),
    lineage: {
      job: { kind, namespace, name, uid },
      run: id,
      specHash,
      parents: trained.parent === undefined ? [] : [trained.parent],
      dataset: datasets.digest,
      software: softwareOf(backend),
    },
    ...(licence === undefined ? {} : { licence }),
    ...(privacy === undefined ? {} : { privacy }),
    energy,
    createdAt: new Date().toISOString(),
  };
  return description;
}

function reportedOf(run: TrainingRun, trained: Trained, phaseSeconds: Reported["phaseSeconds"]): Reported {
  const { model, datasets, state, evaluation, privacy, energy } = trained;
  const { train, validation, test } = datasets;
  return {
    run,
    state,
    parameters: model.countParams(),
    examples: { train: train.count, validation: validation?.count, test: test?.count },
    exampleShape: train.exampleShape,
    evaluation,
    phaseSeconds,
    privacy,
    energy,
  };
}

function finished(run: TrainingRun, artefact: Artefact, report: Report): TrainingProgress {
  const { evaluation, privacy, energy } = artefact.manifest ?? {};
  report.update({
    state: "Succeeded",
    progressPercent: 100,
    etaSeconds: 0,
    epoch: artefact.manifest?.epochs ?? report.current().epoch,
    artefact: artefactStatus(run.output.uri, artefact),
    ...(evaluation === undefined ? {} : { evaluation }),
    ...(privacy === undefined ? {} : { privacy }),
    ...(energy === undefined ? {} : { energy }),
  });
  return report.current();
}

/** The artefact stands without them; what cannot be removed does no harm. */
async function forgetCheckpoints({ folder, uri, mirror }: Output): Promise<void> {
  await removeCheckpoints(folder, mirror).catch((error: unknown) => {
    console.warn(`Saved states beside ${uri} could not be removed (${systemCode(error) ?? String(error)})`);
  });
}

/** Names of the classes, a line each, as a ModelDeployment's processing reads them. */
async function writeClasses(folder: string, classes: readonly string[]): Promise<void> {
  await writeFile(join(folder, "labels.txt"), classes.map((name) => `${name}\n`).join(""));
}

interface Means {
  report: Report;
  interruption: Interruption;
  /** Absent in all but the first of several workers: they write nothing. */
  fence?: Hold | undefined;
}

/** All workers' consumption together. */
async function ofAll(group: Group | undefined, own: Consumption): Promise<Consumption> {
  if (group === undefined) return own;
  const { allottedCpuSeconds, cpuSeconds, gpuJoules } = own;
  const sums = new Float32Array([allottedCpuSeconds, cpuSeconds, gpuJoules ?? 0]);
  await group.sum(sums);
  const [allotted = 0, cpu = 0, joules = 0] = sums;
  const all = { allottedCpuSeconds: allotted, cpuSeconds: cpu };
  return gpuJoules === undefined ? all : { ...all, gpuJoules: joules };
}

/** Trains, with the other workers if there are any; the first of them evaluates and writes. */
async function trainAndWrite(
  run: TrainingRun,
  folder: string,
  { volumes, threads, energy, worker }: Surroundings,
  { report, interruption, fence }: Means,
): Promise<Artefact | undefined> {
  const { uri } = run.output;
  const backend = await openEngine(run.compute, threads);
  const { tf } = backend;
  report.update({ engine: backend.engine, device: backend.device });
  const meter = startMeter({ cpus: backend.threads, gpu: backend.device !== "CPU" });
  const account = new Account(meter);
  const prepared = await prepare(tf, run, volumes);
  const { model, objective, datasets } = prepared;
  const initial = new BestWeights(tf, model);
  initial.take();
  const signal = interruption.watch();
  const store = fence && (await CheckpointStore.open(folder, uri, fence));

  async function work(group?: Group): Promise<Artefact | undefined> {
    initial.restore();
    const { privacy, state } = await fit({ backend, run, store, signal, report, account, energy, group }, prepared);
    report.update({ state: "Evaluating" });
    const consumption = await ofAll(group, account.read());
    if (fence === undefined) {
      await group?.finish();
      return undefined;
    }
    const { test } = datasets;
    const evaluation = test && (await evaluate(tf, model, objective, test, signal));
    const trained = { ...prepared, evaluation, state, privacy, energy: energyOf(consumption, energy) };
    report.update({ state: "Uploading" });
    const artefact = await writeArtefact(
      folder,
      async (staging) => {
        await saveLayersModel(tf, model, staging);
        if (datasets.train.classes !== undefined) await writeClasses(staging, datasets.train.classes);
        await writeReport(staging, reportedOf(run, trained, report.current().phaseSeconds));
        return describe(run, backend, trained);
      },
      { shownAs: uri, fence },
    );
    await group?.finish();
    return artefact;
  }

  try {
    const seat = seatOf(run, worker);
    return seat === undefined ? await work() : await together(seat, signal, work);
  } finally {
    meter.stop();
  }
}

/** Without a number among the workers, as on a laptop, one process does the whole of it. */
function seatOf({ training, job }: TrainingRun, worker: Surroundings["worker"]): Seat | undefined {
  const { workers: size = 1 } = training;
  if (size === 1 || worker === undefined) return undefined;
  const { index: rank, keyFile, addresses = workerAddresses(job.run, size) } = worker;
  if (addresses.length === size) return { rank, size, run: job.run, keyFile, addresses };
  throw new Failure("InvalidSpec", `spec.workers is ${size}, but there are ${addresses.length} addresses of workers`);
}

const clock = () => performance.now();

/**
 * Runs the training and writes its artefact; a complete artefact of the same specification is adopted instead.
 * `onProgress` hears where it stands. Throws Failure; Terminated when it is interrupted.
 */
export async function train(
  run: TrainingRun,
  surroundings: Surroundings,
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
  const report = timed(reporter(initial, onProgress, clock), clock);
  return withOutput(run.output, surroundings.volumes, async (output) => {
    const { folder } = output;
    const former = await output.finished(run.job.specHash);
    if (former !== undefined) {
      report.update({ adopted: true }, false);
      await forgetCheckpoints(output);
      return finished(run, former, report);
    }
    if ((surroundings.worker?.index ?? 0) > 0 && seatOf(run, surroundings.worker) !== undefined) {
      await trainAndWrite(run, folder, surroundings, { report, interruption });
      report.update({ state: "Succeeded", progressPercent: 100, etaSeconds: 0 });
      return report.current();
    }
    const fence = await output.take();
    try {
      const artefact = await trainAndWrite(run, folder, surroundings, { report, interruption, fence });
      if (artefact === undefined) throw new TypeError("the first worker writes the artefact");
      await forgetCheckpoints(output);
      return finished(run, artefact, report);
    } finally {
      await fence.release();
    }
  });
}
