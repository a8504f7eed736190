/** What has become of a run, from its Job, its pods and what they say. */
import { EXIT } from "../../crds/contract/exit-code.ts";
import { bounded, type Failure } from "../reasons.ts";
import { endedFailure, podProblem } from "../pods/problem.ts";
import { quotaFailure } from "../pods/refusal.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import type { Admission } from "../kueue/admission.ts";
import type { JobRecord } from "./job-record.ts";
import { currentJob, type JobReport, type ObservedRun } from "./observed.ts";
import { queueOf } from "./objects.ts";
import { reportOn } from "./results.ts";

export interface Verdict {
  readonly phase: "Queued" | "Pending" | "Starting" | "Running" | "Suspended" | "Succeeded" | "Failed";
  /** Why it failed, what it waits for, or how the last try ended. */
  readonly failure?: Failure | undefined;
  readonly report?: JobReport | undefined;
  readonly startTime?: string | undefined;
  readonly completionTime?: string | undefined;
  readonly restarts: number;
}

export function verdict(observed: ObservedRun): Verdict {
  const { failure, ...found } = phaseOf(observed);
  return failure === undefined ? found : { ...found, failure: bounded(failure) };
}

function phaseOf(observed: ObservedRun): Verdict {
  const job = currentJob(observed);
  if (job === undefined || job.metadata.deletionTimestamp !== undefined) {
    return { phase: observed.owner.spec.suspend ? "Suspended" : "Pending", restarts: 0 };
  }
  const times = { startTime: firstStart(observed), restarts: job.failed };
  if (job.complete) return { ...times, ...completed(observed, job) };
  if (job.failure !== undefined) return { ...times, ...failed(observed, job, job.failure) };
  if (job.suspend && queueOf(job.metadata) !== undefined && !observed.owner.spec.suspend) {
    return { ...times, ...queued(observed) };
  }
  if (job.suspend) return { ...times, phase: "Suspended", report: lastWords(observed) };
  return { ...times, ...active(observed) };
}

/** Waiting for Kueue, before it starts or after it was preempted. */
function queued(observed: ObservedRun): Omit<Verdict, "restarts"> {
  const { reason, message } = observed.admission ?? UNTOLD;
  const failure: Failure =
    reason === "Admitted" ? { reason: "WaitingForAdmission", message: `${message}; it starts` } : { reason, message };
  return { phase: "Queued", failure, report: lastWords(observed) };
}

const UNTOLD: Admission = { reason: "WaitingForAdmission", message: "waiting for Kueue" };

/** When the first pod began to work. */
function firstStart({ pods }: ObservedRun): string | undefined {
  return pods.flatMap((pod) => (pod.startedAt === undefined ? [] : [pod.startedAt])).toSorted()[0];
}

function jobReport(pod: PodRecord, { run }: ObservedRun): JobReport | undefined {
  return reportOn(pod, { name: run.job.run, uri: run.output.uri });
}

/** What the newest pod said when it ended; the first of several workers speaks for all. */
function lastWords(observed: ObservedRun): JobReport | undefined {
  const speakers = observed.pods.filter(({ worker = 0 }) => worker === 0);
  const [newest] = speakers.toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  return newest?.ended === undefined ? undefined : jobReport(newest, observed);
}

function succeeded(observed: ObservedRun): JobReport | undefined {
  return observed.pods
    .map((pod) => jobReport(pod, observed))
    .find((report) => report?.state === "Succeeded" && report.artefact !== undefined);
}

function completed(observed: ObservedRun, job: JobRecord): Omit<Verdict, "restarts"> {
  const report = succeeded(observed);
  if (report !== undefined) return { phase: "Succeeded", report, completionTime: job.completionTime };
  const ended = observed.pods.some((pod) => pod.ended?.exitCode === 0);
  if (!ended) return { phase: "Running", report: observed.report };
  const message =
    "the pod ended well but left no valid result; is spec.runtime.image an image of Modelwright's runtime?";
  return { phase: "Failed", failure: { reason: "ResultMissing", message }, completionTime: job.completionTime };
}

/** The Job is done, but nobody saw its result: a new one finds the artefact and reports it. */
export function isLost(observed: ObservedRun, job: JobRecord): boolean {
  const { owner, run } = observed;
  return (
    job.complete && observed.pods.length === 0 && !(owner.status?.run === run.job.run && isFinal(owner.status.state))
  );
}

function isFinal(state: string | undefined): boolean {
  return state === "Succeeded" || state === "Failed";
}

/** How the newest pod that failed ended. */
function lastTry(observed: ObservedRun): { failure: Failure; report: JobReport | undefined } | undefined {
  const tries = observed.pods
    .map((pod) => ({ failure: endedFailure(pod, pod.ended), report: jobReport(pod, observed), pod }))
    .filter((end) => end.failure !== undefined && end.failure.reason !== "Terminated" && !end.pod.disrupted)
    .toSorted((a, b) => ((a.failure?.time ?? "") < (b.failure?.time ?? "") ? 1 : -1));
  const [newest] = tries;
  return newest?.failure === undefined ? undefined : { failure: newest.failure, report: newest.report };
}

function failed(
  observed: ObservedRun,
  job: JobRecord,
  end: NonNullable<JobRecord["failure"]>,
): Omit<Verdict, "restarts"> {
  const last = lastTry(observed);
  const common = { phase: "Failed", completionTime: end.time, report: last?.report } as const;
  if (end.reason === "DeadlineExceeded") {
    const seconds = job.activeDeadlineSeconds;
    const message = `the job took longer than spec.activeDeadlineSeconds (${seconds ?? "unset"}); raise it, or ask for faster resources`;
    return { ...common, failure: { reason: "DeadlineExceeded", message, time: end.time } };
  }
  if (last === undefined) {
    const message = `the Job failed (${end.reason}) and its pods have gone; see the events of Job ${job.metadata.name}`;
    return { ...common, failure: { reason: "PodFailed", message, time: end.time } };
  }
  if (end.reason !== "BackoffLimitExceeded") return { ...common, failure: last.failure };
  const message = `${last.failure.message} (${job.failed === 1 ? "tried once" : `tried ${job.failed} times`})`;
  return { ...common, failure: { ...last.failure, message } };
}

/** Several workers begin when all are there: one that waits decides. */
const waits = (pod: PodRecord): number => (pod.running ? 0 : 1);

function active(observed: ObservedRun): Omit<Verdict, "restarts"> {
  const pod = observed.pods
    .filter((candidate) => candidate.ended === undefined && candidate.phase !== "Failed")
    .toSorted((a, b) => waits(b) - waits(a) || (a.createdAt < b.createdAt ? 1 : -1))[0];
  const last = lastTry(observed)?.failure;
  if (pod === undefined) {
    // The Job learns of its end in a moment.
    if (observed.pods.some((candidate) => candidate.ended?.exitCode === EXIT.done)) {
      return { phase: "Running", report: lastWords(observed), failure: last };
    }
    return { phase: "Pending", failure: refused(observed.podRefusal) ?? last, report: lastWords(observed) };
  }
  if (!pod.running) return { phase: "Pending", failure: podProblem(pod)?.failure ?? last };
  const { report } = observed;
  // A pod that starts does not know yet where it goes on.
  if (report === undefined || report.state === "Starting") return { phase: "Starting", failure: last };
  return { phase: "Running", report, failure: last };
}

/** The Job controller's own words about pods that it may not create. */
function refused(message: string | undefined): Failure | undefined {
  if (message === undefined) return undefined;
  const quota = quotaFailure(message);
  if (quota !== undefined) return quota;
  return {
    reason: "AdmissionRefused",
    message: `${message}; correct spec.pod, or ask the administrator of the cluster`,
  };
}
