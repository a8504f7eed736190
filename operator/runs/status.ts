/** The part of status that both kinds of job have, and the events of its changes. */
import type { JobState } from "../../crds/job.ts";
import type { Refusal } from "../children.ts";
import { timestamp } from "../kernel/clock.ts";
import { type Condition, isTrue, removeCondition, setCondition } from "../kernel/conditions.ts";
import { type Admission, QUEUE_REASONS } from "../kueue/admission.ts";
import { type Failure, failureNote, type Note, type ObservedFailure, type Reason } from "../reasons.ts";
import { present } from "../pods/pod-record.ts";
import { currentJob, type JobReport, type ObservedRun, recorded, type RunStatus } from "./observed.ts";
import { reachable, unrecorded } from "./results.ts";
import { queueNotes } from "../kueue/notes.ts";
import { workersStatus } from "./workers.ts";
import { type Verdict, verdict } from "./verdict.ts";

export interface RunOutcome {
  readonly status: RunStatus;
  /** What the pod said that this status is made from; undefined: it said nothing new. */
  readonly report: JobReport | undefined;
  /** The former status is of another run: its numbers go. */
  readonly fresh: boolean;
  /** Of a training with several. */
  readonly workers?: { readonly total: number; readonly running: number } | undefined;
  readonly notes: readonly Note[];
}

/** Reasons that only say what is waited for. */
const WAITS: readonly ObservedFailure[] = [
  "WaitingForGpu",
  "Unschedulable",
  "ClaimUnbound",
  "ClaimInUse",
  "QuotaExceeded",
  "SchedulingGated",
  ...QUEUE_REASONS,
];

export function runStatus(observed: ObservedRun, refusal: Refusal | undefined): RunOutcome {
  const { owner, run } = observed;
  const before: RunStatus = owner.status ?? {};
  const fresh = before.run !== run.job.run;
  const result = recorded(observed);
  if (result !== undefined && refusal === undefined && stands(observed, result)) {
    const kept = { ...before, conditions: conditions(observed, before, keptVerdict(before, result)) };
    return {
      status: present({ ...kept, observedGeneration: owner.metadata.generation }),
      report: undefined,
      fresh,
      notes: [],
    };
  }
  const found = refusal === undefined ? verdict(observed) : refused(refusal);
  const status = present({
    ...numbers(before, fresh, found),
    observedGeneration: owner.metadata.generation,
    run: run.job.run,
    state: stateOf(found, fresh ? undefined : before.state),
    conditions: conditions(observed, before, found),
    startTime: (fresh ? undefined : before.startTime) ?? found.startTime,
    completionTime: found.completionTime,
    restarts: found.restarts,
    queue: queueStatus(observed, found),
    // The newest finished artefact stays until there is a newer one.
    artefact:
      found.phase === "Succeeded"
        ? reachable(found.report, run.output)
        : (unrecorded(observed)?.artefact ?? before.artefact),
    lastFailure: lastFailure(observed, before, fresh, found),
  });
  const workers = workersStatus(observed);
  return { status, report: found.report, fresh, workers, notes: notes(before, status, found, fresh) };
}

function queueStatus({ owner, admission }: ObservedRun, { phase }: Verdict): RunStatus["queue"] {
  const over = phase === "Succeeded" || phase === "Failed" || phase === "Suspended";
  if (owner.spec.queueName === undefined || admission === undefined || over) return undefined;
  const { position, clusterQueue } = admission;
  return position === undefined && clusterQueue === undefined ? undefined : present({ position, clusterQueue });
}

/** A recorded result outlives its Job and its pods; only another attempt replaces it. */
function stands(observed: ObservedRun, result: "Succeeded" | "Failed"): boolean {
  const job = currentJob(observed);
  if (job === undefined || job.metadata.deletionTimestamp !== undefined) return true;
  return result === "Succeeded" ? job.complete : job.failure !== undefined;
}

function refused({ failure, mayPass }: Refusal): Verdict {
  return { phase: mayPass ? "Pending" : "Failed", failure, restarts: 0 };
}

function keptVerdict(before: RunStatus, phase: "Succeeded" | "Failed"): Verdict {
  const { lastFailure: last } = before;
  // What is in status came from this operator's own list.
  const failure = last && { reason: last.reason as ObservedFailure, message: last.message };
  return { phase, failure, restarts: before.restarts ?? 0 };
}

function numbers(before: RunStatus, fresh: boolean, found: Verdict): RunStatus {
  const { report } = found;
  const kept = fresh ? {} : before;
  return {
    progressPercent: found.phase === "Succeeded" ? 100 : (report?.progressPercent ?? kept.progressPercent ?? 0),
    etaSeconds: found.phase === "Running" ? report?.etaSeconds : undefined,
    engine: report?.engine ?? kept.engine,
    device: report?.device ?? kept.device,
  };
}

function stateOf({ phase, report }: Verdict, before: JobState | undefined): JobState {
  if (phase !== "Running") return phase;
  const state = report?.state;
  // A run has ended when its pod has, not when it says so.
  if (state === undefined || state === "Succeeded" || state === "Failed" || state === "Suspended") {
    return before ?? "Starting";
  }
  return state;
}

function lastFailure(
  { now }: ObservedRun,
  before: RunStatus,
  fresh: boolean,
  { phase, failure }: Verdict,
): RunStatus["lastFailure"] {
  if (phase === "Succeeded") return undefined;
  const old = fresh ? undefined : before.lastFailure;
  if (failure === undefined || (WAITS.includes(failure.reason) && phase !== "Failed")) return old;
  const { reason, message, exitCode } = failure;
  const same = old?.reason === reason && old.message === message && old.exitCode === exitCode;
  const time = failure.time ?? (same ? old.time : timestamp(now));
  return present({ reason, message, exitCode, time });
}

const MESSAGES = {
  Queued: "waiting for Kueue",
  Pending: "waiting for the pod to start",
  Starting: "the pod has started and prepares the work",
  Running: "the work is under way",
  Suspended: "spec.suspend is true; set it to false to go on",
  Succeeded: "the artefact is written",
} as const;

/** Complete, Failed and Suspended always; Reconciling and Stalled only while true, as kstatus wants them. */
function conditions(
  { owner, now, admission }: ObservedRun,
  before: RunStatus,
  { phase, failure }: Verdict,
): Condition[] {
  const observedGeneration = owner.metadata.generation;
  const waits = failure !== undefined && (phase === "Queued" || phase === "Pending" || phase === "Failed");
  const reason: Reason = waits
    ? failure.reason
    : phase === "Failed"
      ? "PodFailed"
      : phase === "Queued"
        ? "WaitingForAdmission"
        : phase;
  const message = waits ? failure.message : phase === "Failed" ? "the run failed" : MESSAGES[phase];
  const of = (type: string, holds: boolean) =>
    ({ type, status: holds ? "True" : "False", reason, message, observedGeneration }) as const;

  const kept = knownConditions(before);
  const base = [
    of("Complete", phase === "Succeeded"),
    of("Failed", phase === "Failed"),
    of("Suspended", phase === "Suspended"),
  ];
  const inQueue = { ...of("Queued", phase === "Queued"), ...(phase === "Queued" ? {} : admitted(phase, admission)) };
  const changes = owner.spec.queueName === undefined ? base : [...base, inQueue];
  const known = owner.spec.queueName === undefined ? removeCondition(kept, "Queued") : kept;
  const set = changes.reduce<Condition[]>((all, change) => setCondition(all, change, now), known);
  const needsPerson: readonly (Reason | undefined)[] = ["NameConflict", "KueueNotInstalled", "Inadmissible"];
  const stalled = phase === "Failed" || needsPerson.includes(failure?.reason);
  const abnormal = stalled ? "Stalled" : phase === "Succeeded" || phase === "Suspended" ? undefined : "Reconciling";
  const cleared = ["Stalled", "Reconciling"].filter((type) => type !== abnormal).reduce(removeCondition, set);
  return abnormal === undefined ? cleared : setCondition(cleared, of(abnormal, true), now);
}

/** Of a job that does not wait. */
function admitted(phase: Verdict["phase"], admission: Admission | undefined): Pick<Condition, "reason" | "message"> {
  if (phase !== "Pending" && phase !== "Starting" && phase !== "Running") return { reason: phase, message: "" };
  if (admission?.reason !== "Admitted") return { reason: "NotQueued", message: "" };
  return { reason: "Admitted", message: admission.message };
}

/** Conditions in status, without absent members. */
export function knownConditions(status: { conditions?: RunStatus["conditions"] }): Condition[] {
  return (status.conditions ?? []).map((condition) => present(condition));
}

function notes(before: RunStatus, status: RunStatus, found: Verdict, fresh: boolean): Note[] {
  const state = fresh ? undefined : before.state;
  const all: Note[] = [];
  const was = (type: string) => !fresh && isTrue(knownConditions(before), type);
  if (found.phase === "Suspended" && !isTrue(knownConditions(before), "Suspended")) {
    all.push({ type: "Normal", reason: "Suspended", message: "the run is suspended" });
  }
  if (was("Suspended") && found.phase !== "Suspended") {
    all.push({ type: "Normal", reason: "Resumed", message: "spec.suspend is false again" });
  }
  if (found.phase === "Succeeded" && state !== "Succeeded" && status.artefact !== undefined) {
    const how = found.report?.adopted === true ? "was there already and is adopted" : "is written";
    const { uri, digest } = status.artefact;
    all.push({ type: "Normal", reason: "ArtefactWritten", message: `${uri} ${how}, digest ${digest}` });
  }
  if (found.phase !== "Queued" && found.failure !== undefined && isNews(before, fresh, found.failure)) {
    all.push(failureNote(found.failure));
  }
  return [...all, ...queueNotes(knownConditions(fresh ? {} : before), knownConditions(status))];
}

/** Neither in the last failure nor in the reason of a condition. */
function isNews(before: RunStatus, fresh: boolean, { reason, message }: Failure): boolean {
  if (fresh) return true;
  if (before.lastFailure?.reason === reason && before.lastFailure.message === message) return false;
  return !knownConditions(before).some((condition) => condition.reason === reason && condition.message === message);
}
