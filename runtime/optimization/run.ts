/** An optimization from its specification to its artefact and to what was measured. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { OptimizationProgress } from "../../crds/contract/progress.ts";
import type { OptimizationRun } from "../../crds/contract/run.ts";
import type { Measurement } from "../../crds/optimization-job.ts";
import type { Dataset } from "../data/dataset.ts";
import { loadDataset } from "../data/load.ts";
import type { Backend } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { signatureOf } from "../formats/signature.ts";
import { loadLayers } from "../formats/model.ts";
import { loadLayersModel, writeLayersModel } from "../formats/tfjs-layers.ts";
import { type Reporter, reporter } from "../reporter.ts";
import { type Artefact, openArtefact } from "../store/artefact.ts";
import { type ArtefactDescription, findFinished, writeArtefact } from "../store/artefact-writer.ts";
import { Fence } from "../store/fence.ts";
import { fileRecords, filesDigest } from "../store/files.ts";
import { resolveInput, resolveUri } from "../store/uri.ts";
import { evaluate } from "../training/evaluate.ts";
import { type Objective, checkLabels } from "../training/objective.ts";
import { type Surroundings, artefactStatus, openEngine, softwareOf } from "../work.ts";
import { requireSameShape } from "../training/datasets.ts";
import { type Comparison, compare, missedGoals } from "./goals.ts";
import { applyMethods } from "./methods.ts";
import { exampleShapeOf, objectiveOf } from "./objective.ts";
import { fromNumbers, toNumbers } from "./record.ts";
import { measureSpeed } from "./speed.ts";

type Report = Reporter<OptimizationProgress>;

interface Inputs {
  source: Artefact;
  test: Dataset;
  train?: Dataset;
  /** Digest of the files that fine-tuning learns from. */
  trainDigest?: string;
}

async function loadInputs({ model, optimization }: OptimizationRun, volumes: string): Promise<Inputs> {
  const folder = await resolveInput(model.uri, volumes);
  const source = await openArtefact(folder, { digest: model.digest, shownAs: model.uri });
  const { dataset: test } = await loadDataset(optimization.dataset.test, volumes, "spec.dataset.test");
  if (optimization.dataset.train === undefined) return { source, test };
  const { dataset: train, files } = await loadDataset(optimization.dataset.train, volumes, "spec.dataset.train");
  requireSameShape(train, test);
  return { source, test, train, trainDigest: filesDigest(files) };
}

function checkInputs(run: OptimizationRun, model: LayersModel, objective: Objective, { test, train }: Inputs): void {
  const shape = exampleShapeOf(model);
  const size = model.outputs[0]?.shape.at(-1) ?? 1;
  for (const dataset of [test, train]) {
    if (dataset === undefined) continue;
    if (dataset.exampleShape.join() !== shape.join()) {
      const [found, wanted] = [dataset.exampleShape, shape].map((part) => `[${part.join(", ")}]`);
      throw new Failure(
        "DataRejected",
        `${dataset.source} has examples of shape ${found}, but the model takes ${wanted}; use the data that it was trained for`,
      );
    }
    checkLabels(objective, size, dataset);
  }
  if (run.optimization.goals.maxAccuracyDrop !== undefined && objective.metrics.length === 0) {
    throw new Failure(
      "InvalidSpec",
      `spec.goals.maxAccuracyDrop: a model with loss ${objective.loss} has no accuracy; remove it`,
    );
  }
}

/** Measures both models: what they are, what they get right, and, in turns, how fast they are. */
async function measure(
  { tf }: Backend,
  models: { before: LayersModel; after: LayersModel },
  bytes: { before: number; after: number },
  objective: Objective,
  test: Dataset,
): Promise<Comparison> {
  const speed = await measureSpeed(tf, models, test, () => performance.now());
  const measurementOf = async (which: "before" | "after"): Promise<Measurement> => {
    const { loss = NaN, accuracy } = await evaluate(tf, models[which], objective, test);
    return {
      bytes: bytes[which],
      parameters: models[which].countParams(),
      ...(accuracy === undefined ? {} : { accuracy }),
      loss,
      ...speed[which],
    };
  };
  return compare(await measurementOf("before"), await measurementOf("after"));
}

function describe(
  run: OptimizationRun,
  backend: Backend,
  { source, trainDigest }: Inputs,
  after: LayersModel,
  comparison: Comparison,
): ArtefactDescription {
  const { kind, namespace, name, uid, run: id, specHash } = run.job;
  const licence = run.output.licence ?? source.manifest?.licence;
  const training = source.manifest?.training;
  return {
    name,
    format: "TfjsLayers",
    signature: signatureOf(after),
    parameters: after.countParams(),
    ...(training === undefined ? {} : { training }),
    evaluation: toNumbers(comparison),
    lineage: {
      job: { kind, namespace, name, uid },
      run: id,
      specHash,
      parents: [source.digest],
      ...(trainDigest === undefined ? {} : { dataset: trainDigest }),
      software: softwareOf(backend),
    },
    ...(licence === undefined ? {} : { licence }),
    createdAt: new Date().toISOString(),
  };
}

async function optimizeAndWrite(
  run: OptimizationRun,
  folder: string,
  surroundings: Surroundings,
  { report, fence }: { report: Report; fence: Fence },
): Promise<Artefact> {
  const { volumes, threads } = surroundings;
  const inputs = await loadInputs(run, volumes);
  const { source, test, train } = inputs;
  report.update({ modelDigest: source.digest });
  const backend = await openEngine(run.compute, threads);
  const { tf } = backend;
  report.update({ engine: backend.engine, device: backend.device });
  const load = () => loadLayers(tf, source.dir, run.model.uri);
  const before = await load();
  const objective = objectiveOf(source, before, run.model.uri);
  checkInputs(run, before, objective, inputs);
  report.update({ state: "Optimizing" });
  const { methods, seed } = run.optimization;
  const start = performance.now();
  const onStep = (step: string, share: number) => {
    // Too early an estimate is none: the first step prepares the engine.
    const eta = share < 0.1 ? {} : { etaSeconds: Math.ceil(((performance.now() - start) / 1000) * (1 / share - 1)) };
    report.update({ step, progressPercent: Math.floor(90 * share), ...eta }, step !== report.current().step);
  };
  const stored = await applyMethods(await load(), methods, { backend, objective, seed, train, onStep });
  return writeArtefact(
    folder,
    async (staging) => {
      await writeLayersModel(stored, staging);
      // What is measured is what was written.
      const after = await loadLayersModel(tf, staging, run.output.uri);
      const written = (await fileRecords(staging)).reduce((sum, file) => sum + file.bytes, 0);
      report.update({ state: "Evaluating", step: "measure", progressPercent: 90 });
      const comparison = await measure(
        backend,
        { before, after },
        { before: source.bytes, after: written },
        objective,
        test,
      );
      report.update({ state: "Uploading", progressPercent: 99 });
      return describe(run, backend, inputs, after, comparison);
    },
    { shownAs: run.output.uri, fence },
  );
}

/** Judges what was measured. Throws Failure GuardMissed when a goal was missed and the specification says Fail. */
function judge(run: OptimizationRun, artefact: Artefact, report: Report): OptimizationProgress {
  const { goals } = run.optimization;
  const comparison = fromNumbers(artefact.manifest?.evaluation);
  const missed = comparison === undefined ? [] : missedGoals(goals, comparison);
  const [modelDigest] = artefact.manifest?.lineage.parents ?? [];
  const known = { modelDigest, ...comparison, missedGoals: missed, artefact: artefactStatus(run.output.uri, artefact) };
  if (missed.length > 0 && goals.onMiss === "Fail") {
    report.update(known);
    throw new Failure(
      "GuardMissed",
      `The artefact was written, but misses spec.goals: ${missed.join("; ")}; relax the goals or the methods`,
    );
  }
  report.update({ ...known, state: "Succeeded", progressPercent: 100, etaSeconds: 0 });
  return report.current();
}

/**
 * Runs the optimization, writes its artefact and judges the goals; a complete artefact of the same specification is
 * adopted instead. `onProgress` hears where it stands. Throws Failure.
 */
export async function optimize(
  run: OptimizationRun,
  surroundings: Surroundings,
  onProgress: (progress: OptimizationProgress) => void,
): Promise<OptimizationProgress> {
  const initial: OptimizationProgress = {
    kind: "OptimizationProgress",
    run: run.job.run,
    state: "Starting",
    progressPercent: 0,
  };
  const report = reporter(initial, onProgress, () => performance.now());
  const { uri } = run.output;
  const folder = await resolveUri(uri, surroundings.volumes);
  const former = await findFinished(folder, run.job.specHash, uri);
  if (former !== undefined) {
    report.update({ adopted: true }, false);
    return judge(run, former, report);
  }
  const fence = await Fence.take(folder, uri);
  try {
    return judge(run, await optimizeAndWrite(run, folder, surroundings, { report, fence }), report);
  } finally {
    await fence.release();
  }
}
