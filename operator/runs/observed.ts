/** What decisions about a run look at. */
import type { OptimizationProgress, TrainingProgress } from "../../crds/contract/progress.ts";
import type { JobState, jobStatusShape } from "../../crds/job.ts";
import type { TrainingJobStatus } from "../../crds/training-job.ts";
import type { OperatorConfig } from "../config.ts";
import type { Admission } from "../kueue/admission.ts";
import type { Identified } from "../kernel/meta.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import type { ConfigMapRecord, JobRecord } from "./job-record.ts";
import type { JobOwner, JobRun } from "./objects.ts";

export type JobReport = TrainingProgress | OptimizationProgress;

/** The part of status that both kinds of job have. */
export type RunStatus = Pick<TrainingJobStatus, keyof typeof jobStatusShape>;

export interface ObservedRun {
  readonly owner: JobOwner;
  readonly run: JobRun;
  readonly config: OperatorConfig;
  /** Milliseconds. */
  readonly now: number;
  /** Of all runs of the owner. */
  readonly configMaps: readonly ConfigMapRecord[];
  readonly jobs: readonly JobRecord[];
  /** Headless ones, of runs with several workers. */
  readonly services: readonly Identified[];
  /** Of the current run's Job, with those that have gone since it was last looked at. */
  readonly pods: readonly PodRecord[];
  /** Of the Jobs of former runs. */
  readonly formerPods: readonly PodRecord[];
  /** What the running pod says. */
  readonly report?: JobReport | undefined;
  /** What Kueue has decided of the current Job, where it is in a queue. */
  readonly admission?: Admission | undefined;
  /** Why the Job controller cannot create pods, in its own words. */
  readonly podRefusal?: string | undefined;
}

export function currentJob({ run, jobs }: ObservedRun): JobRecord | undefined {
  return jobs.find((job) => job.metadata.name === run.job.run);
}

const FINAL: readonly JobState[] = ["Succeeded", "Failed"];

/** The result of this run is in status, so its Job is no longer needed. */
export function recorded({ owner, run }: ObservedRun): "Succeeded" | "Failed" | undefined {
  const { status } = owner;
  if (status?.run !== run.job.run || status.state === undefined || !FINAL.includes(status.state)) return undefined;
  return status.state === "Succeeded" ? "Succeeded" : "Failed";
}
