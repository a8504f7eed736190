/** The parts of a metav1.Status that callers look at. */
export interface StatusDetails {
  readonly name?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly retryAfterSeconds?: number;
  readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
}

export interface ApiErrorOptions {
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** The `reason` of the Status, such as NotFound; ConnectionFailed or Timeout when no answer came. */
  readonly reason: string;
  readonly message: string;
  readonly details?: StatusDetails | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly cause?: unknown;
}

/** An API call that failed: refused by the API server, or never answered. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly reason: string;
  /** Stable, for programs: `Api` and the reason. */
  readonly code: string;
  readonly details: StatusDetails;
  /** What the server asked to wait, in seconds. */
  readonly retryAfterSeconds: number | undefined;

  constructor(options: ApiErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = options.status;
    this.reason = options.reason;
    this.code = `Api${options.reason}`;
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds ?? options.details?.retryAfterSeconds;
  }

  get isNotFound(): boolean {
    return this.status === 404;
  }
  get isConflict(): boolean {
    return this.status === 409 && this.reason !== "AlreadyExists";
  }
  get isAlreadyExists(): boolean {
    return this.reason === "AlreadyExists";
  }
  /** The resourceVersion or continue token is too old: list again. */
  get isExpired(): boolean {
    return this.status === 410;
  }
  get isInvalid(): boolean {
    return this.status === 422;
  }
  get isForbidden(): boolean {
    return this.status === 403;
  }
  get isTooManyRequests(): boolean {
    return this.status === 429;
  }
  /** Refused because the namespace is being deleted: there is nothing to retry. */
  get isNamespaceTerminating(): boolean {
    return this.status === 403 && (this.details.causes ?? []).some((cause) => cause.reason === "NamespaceTerminating");
  }
  /** No answer came, so the call may or may not have taken effect. */
  get isUnanswered(): boolean {
    return this.status === 0;
  }
}

/** Thrown by a reconcile when trying again cannot help until the object changes. */
export class TerminalError extends Error {
  override readonly name = "TerminalError";
  readonly code: string;

  constructor(message: string, options: { code?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code ?? "Terminal";
  }
}

const reasonByStatus: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  405: "MethodNotAllowed",
  406: "NotAcceptable",
  409: "Conflict",
  410: "Expired",
  413: "RequestEntityTooLarge",
  415: "UnsupportedMediaType",
  422: "Invalid",
  429: "TooManyRequests",
  500: "InternalError",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** Reads a Status from the body of a refused call; any other body becomes a short message. */
export function errorFromBody(status: number, body: unknown, context: string, retryAfterSeconds?: number): ApiError {
  const record: { reason?: unknown; message?: unknown; details?: unknown } =
    typeof body === "object" && body !== null ? body : {};
  const reason =
    typeof record.reason === "string" && record.reason ? record.reason : (reasonByStatus[status] ?? "Unknown");
  const text = typeof record.message === "string" ? record.message : typeof body === "string" ? body.slice(0, 200) : "";
  const details =
    typeof record.details === "object" && record.details !== null ? (record.details as StatusDetails) : undefined;
  return new ApiError({
    status,
    reason,
    message: `${context}: ${status} ${reason}: ${text}`,
    details,
    retryAfterSeconds,
  });
}

/** Reads an ERROR event of a watch, which holds a Status. */
export function errorFromStatus(status: unknown, context: string): ApiError {
  const code = typeof status === "object" && status !== null && "code" in status ? Number(status.code) : 500;
  return errorFromBody(Number.isInteger(code) ? code : 500, status, context);
}

/** Name and message of anything thrown; errors of other realms are no instances of Error here. */
export function described(thrown: unknown): { readonly name: string; readonly message: string } {
  const record = typeof thrown === "object" && thrown !== null ? (thrown as { name?: unknown; message?: unknown }) : {};
  const name = typeof record.name === "string" ? record.name : typeof thrown;
  return { name, message: typeof record.message === "string" && record.message ? record.message : String(thrown) };
}
