/** What is particular to OptimizationJobs: the model they start from, and what their status says. */
import { type OptimizationRun, optimizationRun } from "../../crds/contract/run.ts";
import type { OptimizationJob, OptimizationJobStatus } from "../../crds/optimization-job.ts";
import type { Informer } from "../kernel/informer.ts";
import { Kinds } from "../kinds.ts";
import { type JobLookup, resolveModel } from "../model-reference.ts";
import { present } from "../pods/pod-record.ts";
import type { Note } from "../reasons.ts";
import type { JobOwner } from "../runs/objects.ts";
import type { JobKind } from "../runs/reconciler.ts";
import type { RunOutcome } from "../runs/status.ts";
import { withoutModel } from "../runs/without-model.ts";

export type OptimizationJobOwner = OptimizationJob & JobOwner;

export function optimizationJobKind(
  informer: Informer<OptimizationJobOwner>,
  lookup: (namespace: string) => JobLookup,
): JobKind<OptimizationJobOwner> {
  return {
    resource: Kinds.OptimizationJob as JobKind<OptimizationJobOwner>["resource"],
    informer,
    run: (job, now) => {
      const resolution = resolveModel(job.spec.model, job, lookup(job.metadata.namespace));
      if (resolution.state === "Known") return { run: optimizationRun(job, resolution.model) };
      return withoutModel(job, resolution, now);
    },
    status: (job, run, outcome) => optimizationStatus(job, run as OptimizationRun, outcome),
    notes: optimizationNotes,
  };
}

type Details = Pick<
  OptimizationJobStatus,
  | "model"
  | "step"
  | "before"
  | "after"
  | "sizeRatio"
  | "speedup"
  | "accuracyDrop"
  | "missedGoals"
  | "worse"
  | "candidates"
  | "checkpoint"
  | "resumed"
>;

export function optimizationStatus(
  job: OptimizationJob,
  run: OptimizationRun,
  outcome: RunOutcome,
): OptimizationJobStatus {
  const { report, fresh, status } = outcome;
  const before: Details = fresh ? {} : (job.status ?? {});
  const said = report?.kind === "OptimizationProgress" ? report : undefined;
  const { uri, digest = said?.modelDigest ?? before.model?.digest } = run.model;
  return present({
    ...status,
    model: present({ uri, digest }),
    step: status.state === "Succeeded" ? undefined : (said?.step ?? before.step),
    before: said?.before ?? before.before,
    after: said?.after ?? before.after,
    sizeRatio: said?.sizeRatio ?? before.sizeRatio,
    speedup: said?.speedup ?? before.speedup,
    accuracyDrop: said?.accuracyDrop ?? before.accuracyDrop,
    missedGoals: said?.missedGoals ?? before.missedGoals,
    worse: said?.worse ?? before.worse,
    candidates: said?.candidates ?? before.candidates,
    checkpoint: said?.checkpoint ?? before.checkpoint,
    resumed: said?.resumed ?? before.resumed,
  });
}

type Saved = NonNullable<OptimizationJobStatus["checkpoint"]>;

const place = ({ candidates, step }: Saved) =>
  `${candidates} finished candidates${step === 0 ? "" : `, step ${step} of the next one's training`}`;

export function optimizationNotes(job: OptimizationJob, { status, fresh, report }: RunOutcome): Note[] {
  const notes: Note[] = [];
  const before = fresh ? undefined : job.status;
  const run = status.run ?? "";
  if (status.startTime !== undefined && before?.startTime === undefined) {
    notes.push({ type: "Normal", reason: "OptimizationStarted", message: `run ${run} has started` });
  }
  if (report?.kind !== "OptimizationProgress") return notes;
  const { resumed, checkpoint, missedGoals: missed = [] } = report;
  if (resumed !== undefined && resumed.time !== before?.resumed?.time) {
    notes.push({ type: "Normal", reason: "Resumed", message: `run ${run} goes on from ${place(resumed)}` });
  }
  // The first, and the one with which a pod ended: not each of many.
  const telling = before?.checkpoint === undefined || report.failure?.reason === "Terminated";
  if (checkpoint !== undefined && checkpoint.time !== before?.checkpoint?.time && telling) {
    notes.push({ type: "Normal", reason: "CheckpointSaved", message: `run ${run} is saved at ${place(checkpoint)}` });
  }
  if (status.state === "Succeeded" && before?.state !== "Succeeded" && missed.length > 0) {
    notes.push({
      type: "Warning",
      reason: "GuardMissed",
      message: `kept although goals were missed: ${missed.join("; ")}`,
    });
  }
  return notes;
}
