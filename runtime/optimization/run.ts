/** An optimization from its specification to its artefact and to what was measured. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DOCUMENTS_FOLDER } from "../../crds/contract/artefact.ts";
import type { OptimizationProgress } from "../../crds/contract/progress.ts";
import type { OptimizationRun } from "../../crds/contract/run.ts";
import type { Backend } from "../engine/backend.ts";
import { Failure, systemCode } from "../failure.ts";
import type { Interruption } from "../interruption.ts";
import { type Reporter, reporter } from "../reporter.ts";
import type { Artefact } from "../store/artefact.ts";
import { type ArtefactDescription, writeArtefact } from "../store/artefact-writer.ts";
import type { Hold } from "../store/mirror.ts";
import { type Output, withOutput } from "../store/output.ts";
import { type Surroundings, artefactStatus, openEngine, softwareOf } from "../work.ts";
import { type Making, makeCandidates } from "./candidates.ts";
import { choose } from "./choice.ts";
import { type Comparison, compare, missedGoals, worsened } from "./goals.ts";
import { type Inputs, type Source, loadInputs, openSource } from "./inputs.ts";
import { describeProduct } from "./product.ts";
import { reportPage } from "./report/page.ts";
import { Workplace, removeCandidates } from "./workplace.ts";

type Report = Reporter<OptimizationProgress>;

/** The chosen candidate. */
interface Chosen {
  key: string;
  comparison: Comparison;
  candidates: ReturnType<typeof choose>["candidates"];
}

/** What status and events tell of a comparison. */
function told(run: OptimizationRun, comparison: Comparison) {
  const { before, after, sizeRatio, speedup, accuracyDrop } = comparison;
  return {
    before,
    after,
    sizeRatio,
    speedup,
    ...(accuracyDrop === undefined ? {} : { accuracyDrop }),
    missedGoals: missedGoals(run.optimization.goals, comparison),
    worse: worsened(comparison),
  };
}

/** Passes on how far candidates are. */
function following(run: OptimizationRun, report: Report, workplace: Workplace): Partial<Making> {
  const start = performance.now();
  const { goals, search } = run.optimization;
  const place = (step: number, time: string) => ({ candidates: workplace.count, step, time });
  let first: number | undefined;
  return {
    onStep: (step, share) => {
      first ??= share;
      const passed = share - first;
      // Too early an estimate is none: the first steps prepare the engine.
      const seconds = (performance.now() - start) / 1000;
      const eta = passed < 0.05 ? {} : { etaSeconds: Math.ceil((seconds * (1 - share)) / passed) };
      report.update({ step, progressPercent: Math.floor(95 * share), ...eta }, step !== report.current().step);
    },
    onSaved: (step, time) => report.update({ checkpoint: place(step, time) }),
    onResumed: (step, time) => {
      report.update({ checkpoint: place(step, time), resumed: place(step, new Date().toISOString()) });
    },
    onTried: (tried) => {
      if (tried.every(({ comparison }) => comparison === undefined)) return;
      const { candidates } = choose(tried, goals, search !== undefined);
      report.update({ candidates, checkpoint: place(0, new Date().toISOString()) });
    },
  };
}

async function describe(
  run: OptimizationRun,
  backend: Backend,
  { source: artefact, trainDigest }: Inputs,
  { comparison, candidates }: Chosen,
  staging: string,
): Promise<ArtefactDescription> {
  const { kind, namespace, name, uid, run: id, specHash } = run.job;
  const licence = run.output.licence ?? artefact.manifest?.licence;
  const training = artefact.manifest?.training;
  const { accuracy, loss } = comparison.after;
  return {
    name,
    ...(await describeProduct(backend.tf, staging, run.output.uri)),
    parameters: comparison.after.parameters,
    ...(training === undefined ? {} : { training }),
    evaluation: { ...(loss === undefined ? {} : { loss }), ...(accuracy === undefined ? {} : { accuracy }) },
    optimization: { before: comparison.before, after: comparison.after, candidates },
    lineage: {
      job: { kind, namespace, name, uid },
      run: id,
      specHash,
      parents: [artefact.digest],
      ...(trainDigest === undefined ? {} : { dataset: trainDigest }),
      software: softwareOf(backend),
    },
    ...(licence === undefined ? {} : { licence }),
    createdAt: new Date().toISOString(),
  };
}

async function chooseCandidate(run: OptimizationRun, making: Making): Promise<Chosen> {
  const { tried, keys } = await makeCandidates(making);
  const { goals, search } = run.optimization;
  const { chosen, candidates } = choose(tried, goals, search !== undefined);
  const [comparison, key] = [tried[chosen]?.comparison, keys[chosen]];
  if (comparison === undefined || key === undefined) throw new RangeError("the chosen candidate was not measured");
  return { key, comparison, candidates };
}

async function optimizeAndWrite(
  run: OptimizationRun,
  folder: string,
  surroundings: Surroundings,
  { report, fence, interruption }: { report: Report; fence: Hold; interruption: Interruption },
): Promise<Artefact> {
  const { volumes, threads } = surroundings;
  const { uri } = run.output;
  const inputs = await loadInputs(run, volumes);
  report.update({ modelDigest: inputs.source.digest });
  const backend = await openEngine(run.compute, threads);
  report.update({ engine: backend.engine, device: backend.device });
  const source: Source = await openSource(backend.tf, run, inputs);
  const workplace = await Workplace.open(folder, uri, fence);
  if (workplace.count > 0) {
    report.update({ resumed: { candidates: workplace.count, step: 0, time: new Date().toISOString() } });
  }
  report.update({ state: "Optimizing" });
  const chosen = await chooseCandidate(run, {
    backend,
    compute: run.compute,
    threads,
    optimization: run.optimization,
    specHash: run.job.specHash,
    source,
    inputs,
    workplace,
    fence,
    signal: interruption.watch(),
    ...following(run, report, workplace),
  } as Making);
  report.update({ state: "Uploading", progressPercent: 99, candidates: chosen.candidates });
  return writeArtefact(
    folder,
    async (staging) => {
      await workplace.copy(chosen.key, staging);
      await mkdir(join(staging, DOCUMENTS_FOLDER));
      const page = reportPage({ run, ...chosen, ...told(run, chosen.comparison) });
      await writeFile(join(staging, DOCUMENTS_FOLDER, "optimization.html"), page);
      return describe(run, backend, inputs, chosen, staging);
    },
    { shownAs: uri, fence },
  );
}

/** Judges what was measured. Throws Failure GuardMissed when a goal was missed and the specification says Fail. */
function judge(run: OptimizationRun, artefact: Artefact, report: Report): OptimizationProgress {
  const { goals } = run.optimization;
  const record = artefact.manifest?.optimization;
  const [modelDigest] = artefact.manifest?.lineage.parents ?? [];
  const known = {
    modelDigest,
    ...(record === undefined ? undefined : told(run, compare(record.before, record.after))),
    ...(record === undefined ? {} : { candidates: record.candidates }),
    artefact: artefactStatus(run.output.uri, artefact),
  };
  const missed = known.missedGoals ?? [];
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

/** The artefact stands without them; what cannot be removed does no harm. */
async function forgetCandidates({ folder, uri, mirror }: Output): Promise<void> {
  await removeCandidates(folder, mirror).catch((error: unknown) => {
    console.warn(`Candidates beside ${uri} could not be removed (${systemCode(error) ?? String(error)})`);
  });
}

/**
 * Runs the optimization, writes its artefact and judges the goals; a complete artefact of the same specification is
 * adopted instead. `onProgress` hears where it stands. Throws Failure; Terminated when it is interrupted.
 */
export async function optimize(
  run: OptimizationRun,
  surroundings: Surroundings,
  onProgress: (progress: OptimizationProgress) => void,
  interruption: Interruption,
): Promise<OptimizationProgress> {
  const initial: OptimizationProgress = {
    kind: "OptimizationProgress",
    run: run.job.run,
    state: "Starting",
    progressPercent: 0,
  };
  const report = reporter(initial, onProgress, () => performance.now());
  return withOutput(run.output, surroundings.volumes, async (output) => {
    const former = await output.finished(run.job.specHash);
    if (former !== undefined) {
      report.update({ adopted: true }, false);
      await forgetCandidates(output);
      return judge(run, former, report);
    }
    const fence = await output.take();
    try {
      const artefact = await optimizeAndWrite(run, output.folder, surroundings, { report, fence, interruption });
      await forgetCandidates(output);
      return judge(run, artefact, report);
    } finally {
      await fence.release();
    }
  });
}
