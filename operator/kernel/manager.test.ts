import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Controller, type Reconcile } from "./controller.ts";
import type { TermEnd } from "./lease.ts";
import { silentLogger } from "./logger.ts";
import { type ManagedInformer, type ManagerOptions, runManager } from "./manager.ts";
import { WorkQueue } from "./queue.ts";
import { Resources } from "./resource.ts";
import { FakeClock, settle } from "./testing/fake-clock.ts";

function setUp(reconcile: Reconcile, options: Partial<ManagerOptions> = {}) {
  const clock = new FakeClock();
  const synced = Promise.withResolvers<void>();
  const informer: ManagedInformer = {
    resource: Resources.ConfigMap,
    hasSynced: false,
    whenSynced: (signal) => Promise.race([synced.promise, rejected(signal)]),
    run: (signal) => rejected(signal).catch(() => undefined),
  };
  const queue = new WorkQueue({ name: "test", clock });
  const controller = new Controller({ name: "test", queue, reconcile, clock, logger: silentLogger });
  const stop = new AbortController();
  const ended = runManager({
    informers: [informer],
    controllers: [controller],
    logger: silentLogger,
    clock,
    signal: stop.signal,
    ...options,
  });
  return { clock, synced, queue, stop, ended };
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

describe("a manager", () => {
  it("reconciles nothing before its informers are synced", async () => {
    let reconciled = 0;
    const { queue, synced, stop, ended } = setUp(async () => void reconciled++);
    queue.add("a");
    await settle();
    expect(reconciled).toBe(0);
    synced.resolve();
    await settle();
    expect(reconciled).toBe(1);
    stop.abort();
    expect(await ended).toBe("stopped");
  });

  it("stops also while it waits for its informers", async () => {
    const { stop, ended } = setUp(() => Promise.resolve());
    stop.abort();
    expect(await ended).toBe("stopped");
  });

  it("lets a running reconcile end, but not longer than the drain may take", async () => {
    let reconciling: AbortSignal | undefined;
    const forever: Reconcile = (_key, { signal }) => {
      reconciling = signal;
      return new Promise(() => undefined);
    };
    const { clock, queue, synced, stop, ended } = setUp(forever, { drainSeconds: 5 });
    synced.resolve();
    queue.add("a");
    await settle();
    stop.abort();
    let end: string | undefined;
    void ended.then((outcome) => (end = outcome));
    await clock.advance(4900);
    expect(end).toBeUndefined();
    expect(reconciling?.aborted).toBe(false);
    await clock.advance(1200);
    expect(end).toBe("stopped");
    expect(reconciling?.aborted).toBe(true);
  });

  it("runs tasks while it leads, and fails with one that fails", async () => {
    const { synced, ended } = setUp(() => Promise.resolve(), {
      tasks: [() => Promise.reject(new Error("the task broke"))],
    });
    synced.resolve();
    await expect(ended).rejects.toThrow("the task broke");
  });
});

/** A lease that a test takes away and gives back. */
class LeaseByHand {
  readonly isHealthy = true;
  terms = 0;
  end = Promise.withResolvers<TermEnd>();
  regained = Promise.withResolvers<"leading" | "lost">();

  acquire = () => Promise.resolve(true);
  hold = (signal: AbortSignal) => {
    this.terms++;
    this.end = Promise.withResolvers();
    signal.addEventListener("abort", () => this.end.resolve("stopped"), { once: true });
    return this.end.promise;
  };
  regain = () => this.regained.promise;
  release = () => Promise.resolve();
}

describe("a manager whose lease could not be renewed in time", () => {
  it("aborts all work, and goes on with it when nobody else has led", async () => {
    const lease = new LeaseByHand();
    const events: string[] = [];
    const work: Reconcile = (key, { signal }) => {
      events.push(`${key} in term ${lease.terms}`);
      return lease.terms === 1 ? rejected(signal) : Promise.resolve();
    };
    const task = async (signal: AbortSignal) => {
      events.push(`task in term ${lease.terms}`);
      await rejected(signal).catch(() => undefined);
    };
    const { queue, synced, stop, ended } = setUp(work, { lease, tasks: [task] });
    synced.resolve();
    queue.add("cut off");
    await settle();
    lease.end.resolve("interrupted");
    await settle();
    queue.add("came meanwhile");
    await settle();
    expect(events).toEqual(["task in term 1", "cut off in term 1"]);
    lease.regained.resolve("leading");
    await settle();
    expect(events.slice(2).toSorted()).toEqual(["came meanwhile in term 2", "cut off in term 2", "task in term 2"]);
    stop.abort();
    expect(await ended).toBe("stopped");
  });

  it("is lost when somebody else has led, or when its work does not end", async () => {
    const lease = new LeaseByHand();
    const { synced, ended } = setUp(() => Promise.resolve(), { lease });
    synced.resolve();
    await settle();
    lease.end.resolve("interrupted");
    lease.regained.resolve("lost");
    expect(await ended).toBe("lost");

    const endless = new LeaseByHand();
    const stuck = setUp(() => new Promise(() => undefined), { lease: endless });
    stuck.synced.resolve();
    stuck.queue.add("a");
    await settle();
    endless.end.resolve("interrupted");
    endless.regained.resolve("leading");
    await stuck.clock.advance(1000);
    expect(await stuck.ended).toBe("lost");
    expect(endless.terms).toBe(1);
  });
});

describe("signals", () => {
  it("stop the process in good order, and a second one at once", async () => {
    const manager = fileURLToPath(new URL("manager.ts", import.meta.url));
    const script = `
      const { stopOnSignals } = await import(${JSON.stringify(manager)});
      const signal = stopOnSignals({ info: () => console.log("stopping") });
      setInterval(() => undefined, 1000);
      console.log(signal.aborted);
      signal.addEventListener("abort", () => console.log(signal.aborted));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output === "false\n") child.kill("SIGTERM");
      if (output.endsWith("true\n")) child.kill("SIGINT");
    });
    const [code] = (await once(child, "exit")) as [number | null];
    expect(output).toBe("false\nstopping\ntrue\n");
    expect(code).toBe(1);
  }, 20_000);
});
