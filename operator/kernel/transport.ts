import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { type Clock, sleep, systemClock } from "./clock.ts";
import { ApiError, described, errorFromBody } from "./errors.ts";
import { Connections, textOf } from "./exchange.ts";
import type { Connection, TlsMaterial } from "./kube-config.ts";

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutSeconds?: number | undefined;
  /** Sending it twice does the same as sending it once, so it may be sent again when no answer came. */
  readonly idempotent: boolean;
}

/** What the transport tells about each answer; code is `<error>` when none came. */
export interface CallObserver {
  called(call: { method: string; host: string; code: string; seconds: number }): void;
}

export interface TransportOptions {
  readonly userAgent: string;
  readonly clock?: Clock | undefined;
  readonly observer?: CallObserver | undefined;
  /** Connections for calls; watches have their own, one each. */
  readonly connections?: number | undefined;
}

interface Dispatch {
  readonly over: "calls" | "watches";
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMilliseconds?: number;
  readonly silenceMilliseconds?: number;
}

interface Pool {
  readonly tls: TlsMaterial;
  readonly calls: Connections;
  readonly watches: Connections;
}

const maxTries = 5;
const longestPauseSeconds = 10;
const defaultTimeoutSeconds = 30;

/** HTTP to one API server over kept connections: credentials, retries, deadlines, typed errors. */
export class Transport {
  readonly #connection: Connection;
  readonly #host: string;
  readonly #options: TransportOptions;
  readonly #clock: Clock;
  #pool: Pool | undefined;

  constructor(connection: Connection, options: TransportOptions) {
    this.#connection = connection;
    this.#host = new URL(connection.server).host;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Sends a call and reads its JSON answer. Throws ApiError, or the signal's reason when aborted. */
  async json(call: Call): Promise<unknown> {
    const started = this.#clock.monotonic();
    const deadline = (call.timeoutSeconds ?? defaultTimeoutSeconds) * 1000;
    for (let attempt = 1; ; attempt++) {
      const left = deadline - (this.#clock.monotonic() - started);
      const failure = await this.#attempt(call, Math.max(left, 1)).catch((error: unknown) => {
        call.signal?.throwIfAborted();
        if (error instanceof ApiError) return error;
        throw error;
      });
      if (!(failure instanceof ApiError)) return failure.body;
      const pause = pauseBefore(failure, attempt, call.idempotent);
      if (pause === undefined || pause >= deadline - (this.#clock.monotonic() - started)) throw failure;
      await sleep(this.#clock, pause, call.signal);
      call.signal?.throwIfAborted();
    }
  }

  /** Opens a stream. `silenceSeconds` without a byte ends it with an error. */
  async stream(call: Call, silenceSeconds: number): Promise<Readable> {
    const response = await this.#send(call, {
      over: "watches",
      silenceMilliseconds: silenceSeconds * 1000,
      signal: call.signal,
    });
    if (response.statusCode === 200) return response;
    throw await refusal(call, response);
  }

  close(): void {
    this.#pool?.calls.destroy();
    this.#pool?.watches.destroy();
    this.#pool = undefined;
  }

  async #attempt(call: Call, milliseconds: number): Promise<{ body: unknown }> {
    const limits = { signal: call.signal, deadlineMilliseconds: Math.ceil(milliseconds) };
    const response = await this.#send(call, { over: "calls", ...limits });
    if ((response.statusCode ?? 0) >= 400) throw await refusal(call, response);
    try {
      return { body: JSON.parse(await textOf(response)) as unknown };
    } catch (cause) {
      throw unanswered(call, cause);
    }
  }

  /** A refused token may have been rotated since it was read: it is read again, once. */
  async #send(call: Call, how: Dispatch): Promise<IncomingMessage> {
    const response = await this.#sendAs(call, how, await this.#connection.authorization());
    if (response.statusCode !== 401) return response;
    response.resume();
    return this.#sendAs(call, how, await this.#connection.authorization(true));
  }

  /** So may certificates: after a handshake that failed nothing was sent, so it is safe to try with new ones, once. */
  async #sendAs(call: Call, how: Dispatch, authorization: string | undefined): Promise<IncomingMessage> {
    const pool = await this.#connections();
    try {
      return await this.#sendOver(pool, call, how, authorization);
    } catch (error) {
      if (!isHandshakeFailure(error)) throw error;
      const renewed = await this.#connections(true);
      if (renewed === pool) throw error;
      return this.#sendOver(renewed, call, how, authorization);
    }
  }

  async #sendOver(
    pool: Pool,
    call: Call,
    { over, ...limits }: Dispatch,
    authorization: string | undefined,
  ): Promise<IncomingMessage> {
    const started = this.#clock.monotonic();
    let code = "<error>";
    try {
      const response = await pool[over].send(this.#connection.server + call.path + queryOf(call.query), {
        ...limits,
        method: call.method,
        headers: {
          accept: "application/json",
          "user-agent": this.#options.userAgent,
          ...(authorization ? { authorization } : {}),
          ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
        },
        body: call.body === undefined ? undefined : JSON.stringify(call.body),
      });
      code = String(response.statusCode);
      return response;
    } catch (cause) {
      throw unanswered(call, cause);
    } finally {
      const seconds = (this.#clock.monotonic() - started) / 1000;
      this.#options.observer?.called({ method: call.method, host: this.#host, code, seconds });
    }
  }

  /** New connections when certificates changed; the old ones finish what they carry. */
  async #connections(fresh = false): Promise<Pool> {
    const tls = await this.#connection.tls(fresh);
    if (this.#pool?.tls !== tls) {
      const old = this.#pool;
      this.#pool = {
        tls,
        calls: new Connections(this.#connection.server, tls, this.#options.connections ?? 32),
        watches: new Connections(this.#connection.server, tls),
      };
      old?.calls.retire();
      old?.watches.retire();
    }
    return this.#pool;
  }
}

/** Milliseconds to wait before the next attempt; undefined when there should be none. */
export function pauseBefore(
  error: ApiError,
  attempt: number,
  idempotent: boolean,
  random: () => number = Math.random,
): number | undefined {
  if (attempt >= maxTries) return undefined;
  const asked = error.retryAfterSeconds;
  if (asked !== undefined && asked > longestPauseSeconds) return undefined;
  const serverAsksToRetry = error.isTooManyRequests || (error.status >= 500 && asked !== undefined);
  const safeToRepeat = idempotent && (error.isUnanswered || error.status >= 500);
  if (!serverAsksToRetry && !safeToRepeat) return undefined;
  const growing = 100 * 2 ** (attempt - 1);
  return (asked === undefined ? growing : asked * 1000) * (1 + random() * 0.25);
}

/** One side did not accept the other's certificate. */
function isHandshakeFailure(error: unknown): boolean {
  const cause = error instanceof ApiError ? error.cause : undefined;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "";
  return /CERT|UNABLE_TO_|^ERR_(TLS|SSL)_/.test(code);
}

async function refusal(call: Call, response: IncomingMessage): Promise<ApiError> {
  const text = await textOf(response).catch(() => "");
  const asked = Number(response.headers["retry-after"]);
  const context = `${call.method} ${call.path}`;
  return errorFromBody(response.statusCode ?? 0, parsed(text), context, Number.isFinite(asked) ? asked : undefined);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function unanswered(call: Call, cause: unknown): ApiError {
  const { name, message } = described(cause);
  const reason = name.endsWith("TimeoutError") ? "Timeout" : "ConnectionFailed";
  return new ApiError({ status: 0, reason, message: `${call.method} ${call.path}: no answer: ${message}`, cause });
}

function queryOf(query: Call["query"]): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text ? `?${text}` : "";
}
