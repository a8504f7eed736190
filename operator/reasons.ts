/** The closed lists of reasons in conditions, failures and events. */
import { truncate } from "./kernel/conditions.ts";
import { printable } from "./presentable.ts";
import { type FailureReason, FAILURE_REASONS } from "../crds/contract/exit-code.ts";

/** Why something failed or waits, as the operator sees it, besides what the runtime reports. */
const OBSERVED_FAILURES = [
  "ImagePullFailed",
  "ContainerCannotStart",
  "PodFailed",
  "Unschedulable",
  "WaitingForGpu",
  "ClaimNotFound",
  "ClaimUnbound",
  "ClaimInUse",
  "DeadlineExceeded",
  "ProgressDeadlineExceeded",
  "QuotaExceeded",
  "AdmissionRefused",
  "NameConflict",
  "ResultMissing",
  "AnalysisFailed",
  "Aborted",
  "SchedulingGated",
  "WaitingForAdmission",
  "WaitingForQuota",
  "Preempted",
  "Evicted",
  "Inadmissible",
  "KueueNotInstalled",
  "GatewayApiMissing",
  "RouteRefused",
] as const;

export const FAILURES = [...FAILURE_REASONS, ...OBSERVED_FAILURES] as const;

/** Reasons of conditions that are no failure. */
export const PHASES = [
  "Pending",
  "Starting",
  "Running",
  "Loading",
  "Succeeded",
  "Suspended",
  "NotSuspended",
  "Admitted",
  "NotQueued",
  "WaitingForModel",
  "Serving",
  "Scaling",
  "Updating",
  "UpdateFailed",
  "RolloutPaused",
  "UpToDate",
  "ScaledToZero",
  "NotScaledToZero",
  "RoutePending",
  "RouteAccepted",
] as const;

export const EVENTS = [
  "RevisionCreated",
  "ModelLoaded",
  "Promoted",
  "RolledBack",
  "CanaryStepStarted",
  "AnalysisFailed",
  "SwapRollout",
  "ScaledUp",
  "ScaledDown",
  "ScaledToZero",
  "ColdStart",
  "WaitingForGpu",
  "TrainingStarted",
  "OptimizationStarted",
  "CheckpointSaved",
  "EarlyStopped",
  "Suspended",
  "Resumed",
  "ArtefactWritten",
  "GuardMissed",
  "InvalidSpec",
  "DataRejected",
  "NameConflict",
  "WaitingForQuota",
  "Admitted",
  "Preempted",
  "Evicted",
  "Inadmissible",
  "KueueNotInstalled",
  "Failed",
] as const;

export type ObservedFailure = FailureReason | (typeof OBSERVED_FAILURES)[number];
export type Reason = ObservedFailure | (typeof PHASES)[number];
export type EventReason = (typeof EVENTS)[number];

/** A failure, or what is waited for. The message names the remedy and never quotes data. */
export interface Failure {
  readonly reason: ObservedFailure;
  readonly message: string;
  readonly exitCode?: number | undefined;
  /** RFC 3339; when it is known. */
  readonly time?: string | undefined;
}

const LONGEST_MESSAGE = 1024;

/** As status may hold it: messages are put together from others, some of which pods have said. */
export function bounded<F extends Pick<Failure, "message">>(failure: F): F {
  return { ...failure, message: truncate(printable(failure.message), LONGEST_MESSAGE).toWellFormed() };
}

/** What users read with kubectl describe. */
export interface Note {
  readonly type: "Normal" | "Warning";
  readonly reason: EventReason;
  readonly message: string;
}

/** The event of a failure: its own reason where the list has it, else Failed. */
export function failureNote(failure: Failure): Note {
  const own = EVENTS.find((reason) => reason === failure.reason);
  return own === undefined
    ? { type: "Warning", reason: "Failed", message: `${failure.reason}: ${failure.message}` }
    : { type: "Warning", reason: own, message: failure.message };
}
