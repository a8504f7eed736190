/** Exit codes of the runtime; the Job's podFailurePolicy is written from this table. */
export const EXIT = {
  done: 0,
  /** The specification is wrong; never retried. */
  specification: 64,
  /** The data are wrong; never retried. */
  data: 65,
  /** An input is missing; never retried. */
  missingInput: 66,
  /** A fault of ours. */
  internal: 70,
  /** May pass; retried. */
  temporary: 75,
  /** A goal was not met; never retried. */
  guard: 78,
  /** After SIGTERM; not counted as a failure. */
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A run that ended with one of these is not tried again. */
export const NOT_RETRIED: readonly ExitCode[] = [EXIT.specification, EXIT.data, EXIT.missingInput, EXIT.guard];

/** Reasons of failures that the runtime reports; part of the closed list in docs/reference.md. */
export const FAILURE_REASONS = [
  "InvalidSpec",
  "DataRejected",
  "InputMissing",
  "DigestMismatch",
  "ModelUnsupported",
  "LicenceForbidsDerivatives",
  "GpuNotVisible",
  "GuardMissed",
  "OutOfMemory",
  "AccessDenied",
  "StoreUnavailable",
  "OutputNotWritable",
  "Superseded",
  "WorkersMissing",
  "Terminated",
  "InternalError",
] as const;

export type FailureReason = (typeof FAILURE_REASONS)[number];
