/** A training from its specification to its artefact. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import type { TrainingRun } from "../../crds/contract/run.ts";
import type { Backend } from "../engine/backend.ts";
import { signatureOf } from "../formats/signature.ts";
import { saveLayersModel } from "../formats/tfjs-layers.ts";
import { type Reporter, reporter } from "../reporter.ts";
import type { Artefact } from "../store/artefact.ts";
import { type ArtefactDescription, findFinished, writeArtefact } from "../store/artefact-writer.ts";
import { resolveUri } from "../store/uri.ts";
import { type Surroundings, artefactStatus, openEngine, softwareOf } from "../work.ts";
import { type Datasets, loadDatasets } from "./datasets.ts";
import { evaluate } from "./evaluate.ts";
import { buildModel, checkModel, objectiveOf } from "./layers.ts";
import { trainLoop } from "./loop.ts";
import { type Objective, checkLabels } from "./objective.ts";
import { opByOpStep } from "./train-step.ts";

interface Trained {
  model: LayersModel;
  objective: Objective;
  datasets: Datasets;
}

type Report = Reporter<TrainingProgress>;

async function fit(backend: Backend, run: TrainingRun, volumes: string, report: Report): Promise<Trained> {
  const { tf } = backend;
  const { dataset, optimizer, epochs, batchSize, seed } = run.training;
  const objective = objectiveOf(run.training);
  const datasets = await loadDatasets(dataset, volumes, seed);
  const { train, validation, test } = datasets;
  const output = checkModel(run.training, train.exampleShape);
  for (const part of [train, validation, test]) {
    if (part !== undefined) checkLabels(objective, output.size, part);
  }
  const model = buildModel(tf, run.training, train.exampleShape, seed);
  const step = opByOpStep(tf, { model, objective, optimizer, seed });
  report.update({ state: "Training" });
  await trainLoop(tf, {
    model,
    objective,
    step,
    train,
    validation,
    epochs,
    batchSize,
    seed,
    clock: () => performance.now(),
    onState: (state) => {
      const { epoch, loss, metrics } = state;
      const progressPercent = Math.min(99, Math.floor((100 * state.step) / state.steps));
      const change = {
        epoch,
        step: state.step,
        loss,
        metrics,
        progressPercent,
        etaSeconds: Math.ceil(state.etaSeconds),
      };
      report.update(change, epoch !== report.current().epoch);
    },
  });
  step.dispose();
  return { model, objective, datasets };
}

function describe(
  run: TrainingRun,
  backend: Backend,
  trained: Trained,
  evaluation: Record<string, number> | undefined,
) {
  const { model, objective, datasets } = trained;
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

/**
 * Runs the training and writes its artefact; a complete artefact of the same specification is adopted instead.
 * `onProgress` hears where it stands. Throws Failure.
 */
export async function train(
  run: TrainingRun,
  { volumes, threads }: Surroundings,
  onProgress: (progress: TrainingProgress) => void,
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
    return finished(run, former, report);
  }
  const backend = await openEngine(run.compute, threads);
  report.update({ engine: backend.engine, device: backend.device });
  const trained = await fit(backend, run, volumes, report);
  const { model, objective, datasets } = trained;
  report.update({ state: "Evaluating" });
  const evaluation =
    datasets.test === undefined ? undefined : await evaluate(backend.tf, model, objective, datasets.test);
  report.update({ state: "Uploading" });
  const artefact = await writeArtefact(
    folder,
    async (staging) => {
      await saveLayersModel(backend.tf, model, staging);
      return describe(run, backend, trained, evaluation);
    },
    { shownAs: uri },
  );
  return finished(run, artefact, report);
}
