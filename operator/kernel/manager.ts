import type { Clock } from "./clock.ts";
import { sleep, systemClock } from "./clock.ts";
import type { Controller } from "./controller.ts";
import type { EventRecorder } from "./events.ts";
import { EventLoopWatch, type HealthServer } from "./health.ts";
import type { LeaderElection, TermEnd } from "./lease.ts";
import type { Logger } from "./logger.ts";
import type { ResourceName } from "./resource.ts";

/** An Informer of any type. */
export interface ManagedInformer {
  readonly resource: ResourceName;
  readonly hasSynced: boolean;
  whenSynced(signal: AbortSignal): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
}

/** Background work that only the leader does. Ends when its signal aborts, after which it may be called again. */
export type LeaderTask = (signal: AbortSignal) => Promise<void>;

export interface ManagerOptions {
  readonly informers: readonly ManagedInformer[];
  readonly controllers: readonly Controller[];
  readonly tasks?: readonly LeaderTask[] | undefined;
  readonly health?: HealthServer | undefined;
  /** Without it this process counts as the only one. */
  readonly lease?: Pick<LeaderElection, "acquire" | "hold" | "regain" | "release" | "isHealthy"> | undefined;
  readonly events?: EventRecorder | undefined;
  /** Aborts to stop in good order. */
  readonly signal: AbortSignal;
  /** How long running reconciles may take to end; default 30. */
  readonly drainSeconds?: number | undefined;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
}

/** "stopped" after the signal; "lost" when another may lead now: end the process at once, with an error code. */
export type ManagerOutcome = "stopped" | "lost";

/**
 * Starts informers, waits until they are synced and this process leads, and runs the controllers. When the lease cannot be
 * renewed in time all work is aborted, and goes on where nobody else has led meanwhile.
 * When stopped: takes no more keys, lets running reconciles end, writes open events, releases the lease.
 */
export async function runManager(options: ManagerOptions): Promise<ManagerOutcome> {
  const { health, events, logger, signal, clock = systemClock } = options;
  const informing = new AbortController();
  const eventLoop = new EventLoopWatch({ clock, logger });
  eventLoop.start();
  if (health) {
    addChecks(health, eventLoop, options);
    await health.start();
    logger.info("health and metrics", { port: health.port });
  }
  const informers = Promise.all(options.informers.map((informer) => informer.run(informing.signal)));
  try {
    return await lead(options, clock);
  } catch (error) {
    if (signal.aborted) return "stopped";
    throw error;
  } finally {
    informing.abort();
    await informers;
    for (const { queue } of options.controllers) queue.shutdown();
    // Events follow the last reconcile, and the lease is held until they are written.
    await events?.stop();
    await options.lease?.release();
    eventLoop.stop();
    await health?.stop();
  }
}

async function lead(options: ManagerOptions, clock: Clock): Promise<ManagerOutcome> {
  const { lease, logger, signal } = options;
  await Promise.all(options.informers.map((informer) => informer.whenSynced(signal)));
  logger.info("informers synced", { resources: options.informers.map(({ resource }) => resource.plural) });
  if (lease && !(await lease.acquire(signal))) return "stopped";
  for (;;) {
    const end = await term(options, clock);
    if (end !== "interrupted" || lease === undefined) return end === "stopped" ? "stopped" : "lost";
    const next = await lease.regain(signal);
    if (next !== "leading") return next;
  }
}

/** Works for as long as this process leads. */
async function term(options: ManagerOptions, clock: Clock): Promise<TermEnd> {
  const { lease, signal } = options;
  const holding = new AbortController();
  const aborting = new AbortController();
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const held = (lease?.hold(holding.signal) ?? Promise.resolve("stopped" as const)).then((end) => {
    // Another may write soon, so nothing here may go on.
    if (end !== "stopped") aborting.abort(new Error("the lease is lost"));
    if (end !== "stopped") stopping.abort();
    return end;
  });
  const working = Promise.all([
    ...options.controllers.map((controller) => controller.run(stopping.signal, aborting.signal)),
    ...(options.tasks ?? []).map((task) => task(stopping.signal)),
  ]);
  let hasEnded = true;
  try {
    // It goes on without controllers too; a task that fails ends it.
    await Promise.race([working.then(() => aborted(stopping.signal)), aborted(stopping.signal)]);
    if (!aborting.signal.aborted) await drain(working, options, clock, aborting);
    if (aborting.signal.aborted) hasEnded = await endsSoon(working, clock);
  } finally {
    signal.removeEventListener("abort", stop);
    stopping.abort();
    holding.abort();
  }
  const end = await held;
  // What still runs must not meet what would begin anew.
  return end === "interrupted" && !hasEnded ? "lost" : end;
}

async function endsSoon(working: Promise<unknown>, clock: Clock): Promise<boolean> {
  const done = new AbortController();
  const late = sleep(clock, 1000, done.signal).then(() => false);
  const hasEnded = await Promise.race([working.then(() => true), late]);
  done.abort();
  return hasEnded;
}

async function drain(
  working: Promise<unknown>,
  options: ManagerOptions,
  clock: Clock,
  aborting: AbortController,
): Promise<void> {
  const seconds = options.drainSeconds ?? 30;
  const done = new AbortController();
  const late = sleep(clock, seconds * 1000, AbortSignal.any([done.signal, aborting.signal])).then(() => "late");
  const end = await Promise.race([working.then(() => "drained"), late]);
  done.abort();
  if (end !== "late" || aborting.signal.aborted) return;
  options.logger.warn("some reconciles did not end in time and are aborted", { seconds });
  aborting.abort(new Error("the controller stops"));
}

function addChecks(health: HealthServer, eventLoop: EventLoopWatch, options: ManagerOptions): void {
  const { lease } = options;
  health.addLive("event-loop", eventLoop.check);
  if (lease) health.addLive("lease", () => (lease.isHealthy ? undefined : "this process leads without a valid lease"));
  for (const informer of options.informers) {
    health.addReady(`informer ${informer.resource.plural}`, () => (informer.hasSynced ? undefined : "not synced"));
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Aborts at the first SIGTERM or SIGINT; the second ends the process at once. */
export function stopOnSignals(logger: Logger): AbortSignal {
  const stopping = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(1);
      logger.info("stopping; a second signal ends the process at once", { signal: name });
      stopping.abort();
    });
  }
  return stopping.signal;
}
