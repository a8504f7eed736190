/** What is particular to TrainingJobs: their run, and what their status says of it. */
import type { Position } from "../../crds/contract/progress.ts";
import { type TrainingRun, trainingRun } from "../../crds/contract/run.ts";
import type { TrainingJob, TrainingJobStatus } from "../../crds/training-job.ts";
import type { Informer } from "../kernel/informer.ts";
import { Kinds } from "../kinds.ts";
import { type JobLookup, resolveModel } from "../model-reference.ts";
import { present } from "../pods/pod-record.ts";
import type { Note } from "../reasons.ts";
import type { JobOwner } from "../runs/objects.ts";
import type { JobKind } from "../runs/reconciler.ts";
import type { RunOutcome } from "../runs/status.ts";
import { withoutModel } from "../runs/without-model.ts";

export type TrainingJobOwner = TrainingJob & JobOwner;

export function trainingJobKind(
  informer: Informer<TrainingJobOwner>,
  lookup: (namespace: string) => JobLookup,
): JobKind<TrainingJobOwner> {
  return {
    resource: Kinds.TrainingJob as JobKind<TrainingJobOwner>["resource"],
    informer,
    run: (job, now) => {
      const { base } = job.spec.model;
      if (base?.from === undefined) return { run: trainingRun(job) };
      const resolution = resolveModel(base, job, lookup(job.metadata.namespace), "spec.model.base");
      if (resolution.state === "Known") return { run: trainingRun(job, resolution.model) };
      return withoutModel(job, resolution, now);
    },
    status: (job, run, outcome) => trainingStatus(job, run as TrainingRun, outcome),
    notes: trainingNotes,
  };
}

type Details = Pick<
  TrainingJobStatus,
  | "epoch"
  | "epochs"
  | "step"
  | "loss"
  | "metrics"
  | "evaluation"
  | "accuracy"
  | "history"
  | "stopped"
  | "examplesPerSecond"
  | "phaseSeconds"
  | "privacy"
  | "energy"
  | "checkpoint"
  | "resumed"
  | "compiled"
  | "notCompiled"
>;

/** The whole status: numbers of another run are dropped, those of this one kept while its pod says nothing new. */
export function trainingStatus(job: TrainingJob, run: TrainingRun, outcome: RunOutcome): TrainingJobStatus {
  const { report, fresh, status } = outcome;
  const before: Details = fresh ? {} : (job.status ?? {});
  const said: Details = report?.kind === "TrainingProgress" ? report : {};
  return present({
    ...status,
    epoch: said.epoch ?? before.epoch ?? 0,
    epochs: run.training.epochs,
    step: said.step ?? before.step ?? 0,
    loss: said.loss ?? before.loss,
    metrics: bounded(said.metrics ?? before.metrics),
    evaluation: bounded(said.evaluation ?? before.evaluation),
    accuracy: accuracyOf(said) ?? before.accuracy,
    history: said.history?.map((entry) => ({ ...entry, values: bounded(entry.values) ?? {} })) ?? before.history,
    stopped: said.stopped ?? before.stopped,
    examplesPerSecond: said.examplesPerSecond ?? before.examplesPerSecond,
    phaseSeconds: said.phaseSeconds ?? before.phaseSeconds,
    privacy: said.privacy ?? before.privacy,
    energy: said.energy ?? before.energy,
    workers: outcome.workers,
    compiled: said.compiled ?? before.compiled,
    // A pod that compiles what the one before could not has no reason to tell.
    notCompiled: said.compiled === true ? undefined : (said.notCompiled ?? before.notCompiled),
    checkpoint: said.checkpoint ?? before.checkpoint,
    resumed: said.resumed ?? before.resumed,
  });
}

/** On data that the model has not learned from, where there are such. */
function accuracyOf({ evaluation, metrics }: Details): number | undefined {
  return evaluation?.["accuracy"] ?? metrics?.["val_accuracy"] ?? metrics?.["accuracy"];
}

const MOST_METRICS = 16;

/** The schema bounds the number of metrics, and so does this: what a pod says is not trusted. */
function bounded(metrics: Details["metrics"]): Details["metrics"] {
  return metrics && Object.fromEntries(Object.entries(metrics).slice(0, MOST_METRICS));
}

export function trainingNotes(job: TrainingJob, { status, fresh, report }: RunOutcome): Note[] {
  const before: TrainingJobStatus = fresh ? {} : (job.status ?? {});
  const run = status.run ?? "";
  const all: Note[] = [];
  if (status.startTime !== undefined && before.startTime === undefined) {
    all.push({ type: "Normal", reason: "TrainingStarted", message: `run ${run} has started` });
  }
  if (report?.kind !== "TrainingProgress") return all;
  const { resumed, checkpoint, stopped } = report;
  if (resumed !== undefined && resumed.time !== before.resumed?.time) {
    all.push({ type: "Normal", reason: "Resumed", message: `run ${run} goes on from ${place(resumed)}` });
  }
  // The first, and the one with which a pod ended: not each of many.
  const telling = before.checkpoint === undefined || report.failure?.reason === "Terminated";
  if (checkpoint !== undefined && checkpoint.step !== before.checkpoint?.step && telling) {
    all.push({ type: "Normal", reason: "CheckpointSaved", message: `run ${run} is saved at ${place(checkpoint)}` });
  }
  if (stopped !== undefined && stopped.epoch !== before.stopped?.epoch) {
    const message = `run ${run} ends after epoch ${stopped.epoch}: epoch ${stopped.bestEpoch} was best`;
    all.push({ type: "Normal", reason: "EarlyStopped", message });
  }
  return all;
}

const place = ({ epoch, step }: Position) => `epoch ${epoch}, step ${step}`;
