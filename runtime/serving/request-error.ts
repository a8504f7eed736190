/** Codes of refused requests, stable for metrics and logs, with the HTTP status that each one has. */
export const REQUEST_ERRORS = {
  InvalidRequest: 400,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  SlowRequest: 408,
  TooLarge: 413,
  UnsupportedEncoding: 415,
  QueueFull: 429,
  Cancelled: 499,
  HeadersTooLarge: 431,
  Internal: 500,
  Unsupported: 501,
  NotReady: 503,
  DeadlineExceeded: 504,
} as const;

export type RequestErrorCode = keyof typeof REQUEST_ERRORS;

/** A request that is not answered with a result; the message is meant for the client and never quotes server internals. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly code: RequestErrorCode;
  readonly status: number;
  /** Headers that the answer must carry, such as Allow. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: RequestErrorCode,
    message: string,
    options: { headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = REQUEST_ERRORS[code];
    this.headers = {
      ...(code === "QueueFull" || code === "NotReady" ? { "Retry-After": "1" } : {}),
      ...options.headers,
    };
  }
}

/** Throws a 400 with this message. */
export function refuse(message: string): never {
  throw new RequestError("InvalidRequest", message);
}
