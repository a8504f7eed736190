import { PassThrough } from "node:stream";
import { ConsistencyTracker } from "./consistency.ts";
import { Controller, type Reconcile, type ReconcileOutcome } from "./controller.ts";
import { ApiError, TerminalError } from "./errors.ts";
import { createLogger, type Logger, silentLogger } from "./logger.ts";
import { WorkQueue } from "./queue.ts";
import { FakeClock, settle } from "./testing/fake-clock.ts";

function start(reconcile: Reconcile, options: { concurrency?: number; consistency?: ConsistencyTracker } = {}) {
  const clock = new FakeClock();
  const queue = new WorkQueue({ name: "test", clock, random: () => 1, backoff: { baseSeconds: 1, maxSeconds: 100 } });
  const stop = new AbortController();
  const abort = new AbortController();
  const outcomes: ReconcileOutcome[] = [];
  const errors: string[] = [];
  const logger: Logger = { ...silentLogger, error: (message) => errors.push(message), child: () => logger };
  let skipped = 0;
  const controller = new Controller({
    name: "test",
    queue,
    reconcile,
    clock,
    logger,
    ...options,
    metrics: {
      workers: () => undefined,
      started: () => undefined,
      finished: (outcome) => outcomes.push(outcome),
      skippedAsStale: () => skipped++,
    },
  });
  const running = controller.run(stop.signal, abort.signal);
  return { clock, controller, queue, stop, abort, outcomes, errors, running, skipped: () => skipped };
}

const conflict = new ApiError({ status: 409, reason: "Conflict", message: "somebody wrote first" });

describe("a controller", () => {
  it("never reconciles one key twice at a time, but different keys together", async () => {
    const running = new Map<string, number>();
    let most = 0;
    const gates: (() => void)[] = [];
    const {
      queue,
      stop,
      running: ended,
    } = start(async (key) => {
      running.set(key, (running.get(key) ?? 0) + 1);
      expect(running.get(key)).toBe(1);
      most = Math.max(most, [...running.values()].filter((count) => count > 0).length);
      await new Promise<void>((resolve) => gates.push(resolve));
      running.set(key, 0);
    });
    queue.add("a");
    await settle();
    queue.add("a");
    queue.add("b");
    await settle();
    expect(gates).toHaveLength(2);
    expect(most).toBe(2);
    for (const open of gates.splice(0)) open();
    await settle();
    expect(gates).toHaveLength(1);
    for (const open of gates.splice(0)) open();
    stop.abort();
    await ended;
  });

  it("tries a failed key again, later each time, and forgets that after a success", async () => {
    let failures = 2;
    const calls: number[] = [];
    const { clock, queue, outcomes, errors, stop, running } = start(async () => {
      calls.push(clock.monotonic());
      if (failures-- > 0) throw new Error("no luck");
    });
    queue.add("a");
    await clock.advance(10_000);
    expect(calls).toEqual([0, 1000, 3000]);
    expect(outcomes).toEqual(["error", "error", "success"]);
    expect(errors).toEqual(["reconcile failed", "reconcile failed"]);
    expect(queue.failures("a")).toBe(0);
    stop.abort();
    await running;
  });

  it("lets every line of the log say which controller, key and reconcile it is about", async () => {
    const stream = new PassThrough();
    const logger = createLogger({ stream });
    const clock = new FakeClock();
    const queue = new WorkQueue({ name: "test", clock });
    const reconcile: Reconcile = async (_key, context) => {
      await settle();
      context.logger.info("from the context");
      logger.info("from elsewhere");
    };
    const stop = new AbortController();
    const ended = new Controller({ name: "test", queue, reconcile, clock, logger }).run(stop.signal);
    queue.add("ns/a");
    queue.add("ns/b");
    await settle();
    await settle();
    stop.abort();
    await ended;
    const lines = String(stream.read()).trim().split("\n");
    const fields = lines.map((line) => JSON.parse(line) as Record<string, string>);
    for (const key of ["ns/a", "ns/b"]) {
      const own = fields.filter((line) => line["key"] === key);
      expect(own).toMatchObject([{ controller: "test" }, { controller: "test" }]);
      expect(new Set(own.map((line) => line["reconcileId"])).size).toBe(1);
    }
    expect(new Set(fields.map((line) => line["reconcileId"])).size).toBe(2);
  });

  it("does not try again after a terminal error", async () => {
    const { clock, queue, outcomes } = start(() => Promise.reject(new TerminalError("never")));
    queue.add("a");
    await clock.advance(1_000_000);
    expect(outcomes).toEqual(["terminal_error"]);
  });

  it("tries again after a conflict without an error in the log", async () => {
    let first = true;
    const { clock, queue, outcomes, errors } = start(async () => {
      if (first) {
        first = false;
        throw conflict;
      }
    });
    queue.add("a");
    await clock.advance(2000);
    expect(outcomes).toEqual(["requeue", "success"]);
    expect(errors).toEqual([]);
  });

  it("waits at least as long as the API server asked", async () => {
    const calls: number[] = [];
    const { clock, queue } = start(async () => {
      calls.push(clock.monotonic());
      throw new ApiError({ status: 429, reason: "TooManyRequests", message: "slow down", retryAfterSeconds: 7 });
    });
    queue.add("a");
    await clock.advance(7000);
    expect(calls).toEqual([0, 7000]);
  });

  it("looks again after the time that a reconcile asked for", async () => {
    const calls: number[] = [];
    const { clock, queue, outcomes } = start(async () => {
      calls.push(clock.monotonic());
      return calls.length === 1 ? { requeueAfterSeconds: 30 } : undefined;
    });
    queue.add("a");
    await clock.advance(60_000);
    expect(calls).toEqual([0, 30_000]);
    expect(outcomes).toEqual(["requeue_after", "success"]);
  });

  it("aborts a reconcile that exceeds its time", async () => {
    const { clock, queue, outcomes } = start((_key, { signal }) => rejectOnAbort(signal));
    queue.add("a");
    await clock.advance(120_000);
    expect(outcomes).toEqual(["timeout"]);
  });

  it("lets running reconciles end when stopped, and aborts them when told to", async () => {
    const gate = Promise.withResolvers<void>();
    const drained = start(() => gate.promise);
    drained.queue.add("a");
    await settle();
    drained.stop.abort();
    await settle();
    expect(drained.outcomes).toEqual([]);
    gate.resolve();
    await drained.running;
    expect(drained.outcomes).toEqual(["success"]);

    const aborted = start((_key, { signal }) => rejectOnAbort(signal));
    aborted.queue.add("a");
    await settle();
    aborted.stop.abort();
    aborted.abort.abort(new Error("stop now"));
    await aborted.running;
    expect(aborted.outcomes).toEqual(["requeue"]);
  });

  it("runs again after it was aborted, and then takes up what was cut off", async () => {
    const reconciled: string[] = [];
    let away = true;
    const first = start(
      (key, { signal }) => (away ? rejectOnAbort(signal) : Promise.resolve(void reconciled.push(key))),
      { concurrency: 1 },
    );
    first.queue.add("cut off");
    first.queue.add("waiting");
    await settle();
    first.abort.abort(new Error("not the leader any more"));
    first.stop.abort();
    await first.running;
    first.queue.add("came meanwhile");
    await settle();
    expect(reconciled).toEqual([]);
    away = false;
    const stop = new AbortController();
    const again = first.controller.run(stop.signal);
    await settle();
    expect(reconciled.toSorted()).toEqual(["came meanwhile", "cut off", "waiting"]);
    stop.abort();
    await again;
  });

  it("puts a key off until the stores have seen what its last reconcile wrote", async () => {
    let seen = 5;
    const progress = { hasSeen: (_namespace: string, version: string) => seen >= Number(version) };
    const clock = new FakeClock();
    const consistency = new ConsistencyTracker({ clock });
    const calls: number[] = [];
    const started = start(
      async (key) => {
        calls.push(seen);
        if (calls.length === 1)
          consistency.wrote(key, progress, { metadata: { namespace: "ns", resourceVersion: "9" } });
      },
      { consistency },
    );
    started.queue.add("a");
    await started.clock.advance(10);
    started.queue.add("a");
    await started.clock.advance(1000);
    expect(calls).toEqual([5]);
    expect(started.skipped()).toBeGreaterThan(5);
    seen = 9;
    await started.clock.advance(200);
    expect(calls).toEqual([5, 9]);
  });

  it("waits for the newest of several writes, in whatever order they are told", () => {
    let seen = 8;
    const progress = { hasSeen: (_namespace: string, version: string) => seen >= Number(version) };
    const consistency = new ConsistencyTracker({ clock: new FakeClock() });
    for (const resourceVersion of ["9", "12", "10"])
      consistency.wrote("a", progress, { metadata: { resourceVersion } });
    seen = 11;
    expect(consistency.isReady("a")).toBe(false);
    seen = 12;
    expect(consistency.isReady("a")).toBe(true);
  });

  it("waits for a write that no informer will ever show only for a while", () => {
    const clock = new FakeClock();
    const consistency = new ConsistencyTracker({ clock, patienceSeconds: 10 });
    consistency.wrote("a", { hasSeen: () => false }, { metadata: { resourceVersion: "9" } });
    expect(consistency.isReady("a")).toBe(false);
    clock.advanceSync(10_000);
    expect(consistency.isReady("a")).toBe(true);
  });
});

function rejectOnAbort(signal: AbortSignal): Promise<void> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}
