import { randomUUID } from "node:crypto";
import type { Clock } from "./clock.ts";
import type { ConsistencyTracker } from "./consistency.ts";
import { ApiError, TerminalError } from "./errors.ts";
import { type Logger, withLogFields } from "./logger.ts";
import type { Work, WorkQueue } from "./queue.ts";

export interface ReconcileContext {
  /** Aborts when the controller stops or the reconcile exceeds its time. */
  readonly signal: AbortSignal;
  /** Its lines carry controller, key and reconcileId; so do those of any other logger used meanwhile. */
  readonly logger: Logger;
  readonly reconcileId: string;
}

export interface ReconcileResult {
  /** Look again after this time though nothing changed. */
  readonly requeueAfterSeconds?: number | undefined;
}

/** Makes the world of one key as it should be. Called again and again, so it starts from what it observes. */
export type Reconcile = (key: string, context: ReconcileContext) => Promise<ReconcileResult | void>;

export type ReconcileOutcome = "success" | "requeue_after" | "requeue" | "error" | "terminal_error" | "timeout";

export interface ControllerObserver {
  workers(count: number): void;
  started(): void;
  finished(outcome: ReconcileOutcome, seconds: number): void;
  /** Put off, as a store had not yet seen an earlier write. */
  skippedAsStale(): void;
}

export interface ControllerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  /** Reconciles at a time, of different keys; default 4. */
  readonly concurrency?: number | undefined;
  readonly reconcile: Reconcile;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: ControllerObserver | undefined;
  readonly consistency?: ConsistencyTracker | undefined;
  /** Longest reconcile; default 120 seconds. */
  readonly timeoutSeconds?: number | undefined;
}

const staleRetrySeconds = 0.1;

/** Takes keys from a queue and reconciles them, never one key twice at a time, until it is told to stop. */
export class Controller {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly #options: ControllerOptions;
  readonly #logger: Logger;

  constructor(options: ControllerOptions) {
    this.name = options.name;
    this.queue = options.queue;
    this.#options = options;
    this.#logger = options.logger.child({ controller: options.name });
  }

  /**
   * Resolves when all workers have finished. `stop` ends the taking of keys and lets running reconciles end; `abort` aborts
   * these too, and their keys come again. Whoever stops it for good shuts its queue down; otherwise it may run again.
   */
  async run(stop: AbortSignal, abort: AbortSignal = new AbortController().signal): Promise<void> {
    const concurrency = this.#options.concurrency ?? 4;
    this.#options.metrics?.workers(concurrency);
    const dismiss = () => this.queue.dismiss();
    stop.addEventListener("abort", dismiss, { once: true });
    await Promise.all(Array.from({ length: concurrency }, () => this.#work(stop, abort)));
    stop.removeEventListener("abort", dismiss);
  }

  async #work(stop: AbortSignal, abort: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const work = await this.queue.take();
      if (work === undefined) return;
      try {
        await this.#handle(work, abort);
      } finally {
        this.queue.done(work.key);
      }
    }
  }

  async #handle(work: Work, abort: AbortSignal): Promise<void> {
    const { consistency, metrics, clock } = this.#options;
    if (consistency && !consistency.isReady(work.key)) {
      metrics?.skippedAsStale();
      this.queue.add(work.key, { priority: work.priority, afterSeconds: staleRetrySeconds });
      return;
    }
    const reconcileId = randomUUID();
    const fields = { controller: this.name, key: work.key, reconcileId };
    const started = clock.monotonic();
    metrics?.started();
    const outcome = await withLogFields(fields, () => this.#reconcile(work, reconcileId, abort));
    metrics?.finished(outcome, (clock.monotonic() - started) / 1000);
  }

  async #reconcile(work: Work, reconcileId: string, abort: AbortSignal): Promise<ReconcileOutcome> {
    const limit = new AbortController();
    const { clock, timeoutSeconds = 120, reconcile } = this.#options;
    const timer = clock.setTimeout(() => limit.abort(new Error(`exceeded ${timeoutSeconds} s`)), timeoutSeconds * 1000);
    try {
      const context = { signal: AbortSignal.any([abort, limit.signal]), logger: this.#logger, reconcileId };
      const result = await reconcile(work.key, context);
      this.queue.forget(work.key);
      const after = result?.requeueAfterSeconds;
      if (after === undefined) return "success";
      this.queue.add(work.key, { afterSeconds: after });
      return "requeue_after";
    } catch (error) {
      if (abort.aborted) {
        this.queue.add(work.key, { priority: work.priority });
        return "requeue";
      }
      return this.#failed(work, error, limit.signal.aborted);
    } finally {
      clock.clearTimeout(timer);
    }
  }

  #failed(work: Work, error: unknown, timedOut: boolean): ReconcileOutcome {
    if (error instanceof TerminalError) {
      this.queue.forget(work.key);
      this.#logger.error("reconcile failed for good, until the object changes", { error });
      return "terminal_error";
    }
    // Somebody else wrote first: the news is on its way, and looking again is all there is to do.
    const isConflict = error instanceof ApiError && error.isConflict;
    const atLeastSeconds = error instanceof ApiError ? error.retryAfterSeconds : undefined;
    const retryInSeconds = this.queue.addAfterFailure(work.key, {
      priority: work.priority,
      ...(atLeastSeconds === undefined ? {} : { atLeastSeconds }),
    });
    if (isConflict) {
      this.#logger.debug("conflict, trying again", () => ({ retryInSeconds }));
      return "requeue";
    }
    this.#logger.error("reconcile failed", { error, retryInSeconds, failures: this.queue.failures(work.key) });
    return timedOut ? "timeout" : "error";
  }
}
