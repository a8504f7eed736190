/** What is particular to OptimizationJobs: the model they start from, and what their status says. */
import { type OptimizationRun, optimizationRun } from "../../crds/contract/run.ts";
import type { OptimizationJob, OptimizationJobStatus } from "../../crds/optimization-job.ts";
import { setCondition } from "../kernel/conditions.ts";
import type { Informer } from "../kernel/informer.ts";
import { Kinds } from "../kinds.ts";
import { type JobLookup, type Resolution, resolveModel } from "../model-reference.ts";
import { present } from "../pods/pod-record.ts";
import { failureNote, type Note } from "../reasons.ts";
import type { JobOwner } from "../runs/objects.ts";
import type { JobKind } from "../runs/reconciler.ts";
import { knownConditions, type RunOutcome } from "../runs/status.ts";
import { timestamp } from "../kernel/clock.ts";

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

/** The status of a job whose model cannot be known: a result that is recorded stands. */
export function withoutModel(
  job: OptimizationJobOwner,
  resolution: Exclude<Resolution, { state: "Known" }>,
  now: number,
): { status: OptimizationJobStatus; notes: Note[] } {
  const before: OptimizationJobStatus = job.status ?? {};
  const observedGeneration = job.metadata.generation;
  if (before.state === "Succeeded" && before.observedGeneration === observedGeneration) {
    return { status: before, notes: [] };
  }
  const wrong = resolution.state === "Wrong";
  const reason = wrong ? resolution.failure.reason : "WaitingForModel";
  const message = wrong ? resolution.failure.message : resolution.message;
  const known = knownConditions(before).filter(({ type }) => type !== (wrong ? "Reconciling" : "Stalled"));
  const conditions = [
    { type: "Complete", status: "False" },
    { type: "Failed", status: wrong ? "True" : "False" },
    { type: "Suspended", status: job.spec.suspend ? "True" : "False" },
    { type: wrong ? "Stalled" : "Reconciling", status: "True" },
  ] as const;
  const status = present({
    ...before,
    observedGeneration,
    state: wrong ? ("Failed" as const) : ("Pending" as const),
    conditions: conditions.reduce(
      (all, condition) => setCondition(all, { ...condition, reason, message, observedGeneration }, now),
      known,
    ),
    lastFailure: wrong
      ? before.lastFailure?.message === message
        ? before.lastFailure
        : { reason, message, time: timestamp(now) }
      : before.lastFailure,
  });
  const isNews = !knownConditions(before).some((condition) => condition.message === message);
  return { status, notes: wrong && isNews ? [failureNote(resolution.failure)] : [] };
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

export function optimizationNotes(job: OptimizationJob, { status, fresh, report }: RunOutcome): Note[] {
  const notes: Note[] = [];
  const before = fresh ? undefined : job.status;
  if (status.startTime !== undefined && before?.startTime === undefined) {
    notes.push({ type: "Normal", reason: "OptimizationStarted", message: `run ${status.run ?? ""} has started` });
  }
  const missed = report?.kind === "OptimizationProgress" ? (report.missedGoals ?? []) : [];
  if (status.state === "Succeeded" && before?.state !== "Succeeded" && missed.length > 0) {
    notes.push({
      type: "Warning",
      reason: "GuardMissed",
      message: `kept although goals were missed: ${missed.join("; ")}`,
    });
  }
  return notes;
}
