/** What is particular to TrainingJobs: their run, and what their status says of it. */
import { type TrainingRun, trainingRun } from "../../crds/contract/run.ts";
import type { TrainingJob, TrainingJobStatus } from "../../crds/training-job.ts";
import type { Informer } from "../kernel/informer.ts";
import { Kinds } from "../kinds.ts";
import { present } from "../pods/pod-record.ts";
import type { Note } from "../reasons.ts";
import type { JobOwner } from "../runs/objects.ts";
import type { JobKind } from "../runs/reconciler.ts";
import type { RunOutcome } from "../runs/status.ts";

export type TrainingJobOwner = TrainingJob & JobOwner;

export function trainingJobKind(informer: Informer<TrainingJobOwner>): JobKind<TrainingJobOwner> {
  return {
    resource: Kinds.TrainingJob as JobKind<TrainingJobOwner>["resource"],
    informer,
    run: (job) => ({ run: trainingRun(job) }),
    status: (job, run, outcome) => trainingStatus(job, run as TrainingRun, outcome),
    notes: trainingNotes,
  };
}

type Details = Pick<TrainingJobStatus, "epoch" | "epochs" | "step" | "loss" | "metrics" | "evaluation">;

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
  });
}

const MOST_METRICS = 16;

/** The schema bounds the number of metrics, and so does this: what a pod says is not trusted. */
function bounded(metrics: Details["metrics"]): Details["metrics"] {
  return metrics && Object.fromEntries(Object.entries(metrics).slice(0, MOST_METRICS));
}

export function trainingNotes(job: TrainingJob, { status, fresh }: RunOutcome): Note[] {
  const before = fresh ? undefined : job.status?.startTime;
  if (status.startTime === undefined || before !== undefined) return [];
  return [{ type: "Normal", reason: "TrainingStarted", message: `run ${status.run ?? ""} has started` }];
}
