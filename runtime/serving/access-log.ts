/** One line for each request, written in batches so that a line costs next to nothing. */
import type { ServingSettings } from "../../crds/serving.ts";
import type { Clock } from "./clock.ts";
import type { RequestIdentity } from "./request-identity.ts";

export type AccessLevel = NonNullable<ServingSettings["logging"]>["access"];

export interface AccessEntry extends RequestIdentity {
  readonly protocol: string;
  readonly call: string;
  /** HTTP status, or the name of a gRPC status. */
  readonly code: number | string;
  readonly seconds: number;
  /** Address. */
  readonly client: string;
  readonly model?: string | undefined;
  readonly version?: string | undefined;
  /** Of the bodies, as far as they were read and written. */
  readonly bytesIn?: number | undefined;
  readonly bytesOut?: number | undefined;
}

export interface AccessLogOptions {
  readonly level: AccessLevel;
  readonly clock: Clock;
  /** Whole lines. */
  readonly write: (text: string) => void;
  /** Default: the time. */
  readonly now?: () => Date;
}

const FLUSH_MILLISECONDS = 200;
/** Under an overload of refused requests the log must not become the load. */
const MOST_LINES_A_SECOND = 1000;

export class AccessLog {
  readonly #options: AccessLogOptions;
  #lines: string[] = [];
  #flushing: ReturnType<Clock["setTimeout"]> | undefined;
  #second = -Infinity;
  #written = 0;
  #leftOut = 0;

  constructor(options: AccessLogOptions) {
    this.#options = options;
  }

  record(entry: AccessEntry): void {
    const { level, clock, now = () => new Date() } = this.#options;
    if (level === "None" || (level === "Errors" && isGood(entry.code))) return;
    if (!this.#hasRoom()) {
      this.#leftOut += 1;
      return;
    }
    this.#lines.push(JSON.stringify({ time: now().toISOString(), level: "info", message: "request", ...entry }));
    this.#flushing ??= clock.setTimeout(() => this.flush(), FLUSH_MILLISECONDS);
  }

  flush(): void {
    const { clock, write, now = () => new Date() } = this.#options;
    if (this.#flushing !== undefined) clock.clearTimeout(this.#flushing);
    this.#flushing = undefined;
    if (this.#leftOut > 0) {
      const line = { time: now().toISOString(), level: "warn", message: "requests were not logged" };
      this.#lines.push(JSON.stringify({ ...line, count: this.#leftOut }));
    }
    this.#leftOut = 0;
    if (this.#lines.length > 0) write(`${this.#lines.join("\n")}\n`);
    this.#lines = [];
  }

  #hasRoom(): boolean {
    const second = Math.floor(this.#options.clock.now() / 1000);
    if (second !== this.#second) this.#written = 0;
    this.#second = second;
    this.#written += 1;
    return this.#written <= MOST_LINES_A_SECOND;
  }
}

function isGood(code: number | string): boolean {
  return typeof code === "number" ? code < 400 : code === "OK";
}
