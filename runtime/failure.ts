import { EXIT, type ExitCode, type FailureReason } from "../crds/contract/exit-code.ts";

const EXIT_CODES: Record<FailureReason, ExitCode> = {
  InvalidSpec: EXIT.specification,
  ModelUnsupported: EXIT.specification,
  LicenceForbidsDerivatives: EXIT.specification,
  DataRejected: EXIT.data,
  DigestMismatch: EXIT.data,
  InputMissing: EXIT.missingInput,
  AccessDenied: EXIT.missingInput,
  // Another node may have the GPU, the memory or the space: these are tried again.
  GpuNotVisible: EXIT.temporary,
  OutOfMemory: EXIT.temporary,
  StoreUnavailable: EXIT.temporary,
  OutputNotWritable: EXIT.temporary,
  Superseded: EXIT.temporary,
  WorkersMissing: EXIT.temporary,
  GuardMissed: EXIT.guard,
  Terminated: EXIT.terminated,
  InternalError: EXIT.internal,
};

/** What went wrong, for the user: a reason from the closed list, and a message that names the field or file and the remedy. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }

  get exitCode(): ExitCode {
    return EXIT_CODES[this.reason];
  }
}

/** `error` as a Failure; what nobody foresaw is an InternalError. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Failure("InternalError", message, { cause: error });
}

/** The code of a system error such as ENOENT. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
