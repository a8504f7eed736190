/** Gives each request to this version or to the one that is being rolled out beside it; knows no protocol. */
import type { TrafficDirective, TrafficReport } from "../../../crds/contract/traffic.ts";
import type { Clock } from "../clock.ts";
import { RequestError } from "../request-error.ts";
import { Divider } from "./divider.ts";
import { TrafficFigures } from "./figures.ts";

export type Target = NonNullable<TrafficDirective["target"]>;

/** What became of a request at the other version. */
export type Forwarded<R> =
  /** `seconds`: by its own clock, where it told. */
  | { readonly kind: "Answered"; readonly reply: R; readonly seconds: number | undefined }
  /** It found the request wrong; whether it is, this version decides. */
  | { readonly kind: "Refused" }
  /** No connection, no answer in time, or a fault of the server. */
  | { readonly kind: "Failed"; readonly why: string }
  /** The client has gone. */
  | { readonly kind: "Cancelled" };

/** A request as the splitter sees it, whatever the protocol. */
export interface Exchange<R> {
  /** It was diverted to this pod already. */
  readonly diverted: boolean;
  /** Milliseconds before the client gives up. */
  readonly millisecondsLeft: number;
  /** Rejects only with what is wrong with the request itself. */
  forward(target: Target, timeoutMilliseconds: number): Promise<Forwarded<R>>;
  /** Answers it here; rejects with RequestError. */
  local(): Promise<R>;
  /** Whether two answers differ by more than the tolerance. */
  differ(a: R, b: R, tolerance: number): boolean;
}

/** So many requests are at the other version at a time; the others are answered here. */
const MOST_DIVERTED = 256;
/** Copies beyond these are left out: a slow version must not fill this one's memory. */
const MOST_COPIES = 16;

export class TrafficSplitter {
  readonly #clock: Clock;
  readonly #revision: string;
  readonly #divider: Divider;
  readonly #figures: TrafficFigures;
  #directive: TrafficDirective | undefined;
  #diverting = 0;
  #copying = 0;

  /** `start`: see Divider. */
  constructor(options: { clock: Clock; revision: string; start: number }) {
    this.#clock = options.clock;
    this.#revision = options.revision;
    this.#divider = new Divider(options.start);
    this.#figures = new TrafficFigures(options.clock);
  }

  follow(directive: TrafficDirective | undefined): void {
    if (directive?.id !== this.#directive?.id) this.#figures.reset();
    this.#directive = directive;
  }

  report(): TrafficReport {
    const { id, weight = 0 } = this.#directive ?? {};
    return {
      kind: "TrafficReport",
      revision: this.#revision,
      ...(id === undefined ? {} : { directive: id }),
      weight,
      stage: this.#figures.stage,
      recent: this.#figures.recent,
    };
  }

  /** The answer of whichever version it is. Rejects with RequestError, as `local` does. */
  async answer<R>(exchange: Exchange<R>): Promise<R> {
    const { weight = 0, target, shadow } = this.#directive ?? {};
    // What others have diverted counts in their figures.
    if (exchange.diverted) return exchange.local();
    if (target === undefined) return this.#local(exchange);
    const way = this.#divider.next({ weight, shadow: shadow?.percent ?? 0 });
    if (way === "Divert" && this.#diverting < MOST_DIVERTED) return this.#divert(exchange, target);
    if (way === "Shadow" && shadow !== undefined && this.#copying < MOST_COPIES) {
      return this.#copy(exchange, target, shadow.tolerance);
    }
    return this.#local(exchange);
  }

  async #local<R>(exchange: Exchange<R>): Promise<R> {
    const startedAt = this.#clock.now();
    try {
      const reply = await exchange.local();
      this.#figures.count("local", false, this.#secondsSince(startedAt));
      return reply;
    } catch (error) {
      this.#figures.count("local", isFault(error), this.#secondsSince(startedAt));
      throw error;
    }
  }

  async #divert<R>(exchange: Exchange<R>, target: Target): Promise<R> {
    const stage = this.#directive?.id;
    this.#diverting += 1;
    let forwarded: Forwarded<R>;
    try {
      forwarded = await exchange.forward(target, this.#patience(exchange));
    } finally {
      this.#diverting -= 1;
    }
    const count = (failed: boolean, seconds?: number) => {
      if (this.#directive?.id === stage) this.#figures.count("diverted", failed, seconds);
    };
    switch (forwarded.kind) {
      case "Answered":
        count(false, forwarded.seconds);
        return forwarded.reply;
      case "Cancelled":
        return exchange.local();
      case "Failed":
        count(true);
        return exchange.local();
      case "Refused": {
        // What this version can answer is no wrong request.
        const reply = await exchange.local().catch((error: unknown) => {
          count(false);
          throw error;
        });
        count(true);
        return reply;
      }
    }
  }

  async #copy<R>(exchange: Exchange<R>, target: Target, tolerance: number): Promise<R> {
    const stage = this.#directive?.id;
    this.#copying += 1;
    const copied = exchange
      .forward(target, this.#patience(exchange))
      // What is wrong with the request, the client learns from its own answer.
      .catch((): Forwarded<R> => ({ kind: "Cancelled" }))
      .finally(() => (this.#copying -= 1));
    const reply = await this.#local(exchange);
    void copied.then((other) => {
      if (other.kind === "Cancelled" || this.#directive?.id !== stage) return;
      // No answer is no good answer.
      this.#figures.compared(other.kind !== "Answered" || exchange.differ(reply, other.reply, tolerance));
    });
    return reply;
  }

  /** Leaves as much time to answer here as it takes to learn that there is no answer there. */
  #patience({ millisecondsLeft }: Exchange<unknown>): number {
    return Math.min(millisecondsLeft / 2, this.#directive?.timeoutMilliseconds ?? Infinity);
  }

  #secondsSince(startedAt: number): number {
    return (this.#clock.now() - startedAt) / 1000;
  }
}

/** The server's, not the client's; a full queue and a client that has gone are nobody's. */
function isFault(error: unknown): boolean {
  return !(error instanceof RequestError) || error.status >= 500;
}
