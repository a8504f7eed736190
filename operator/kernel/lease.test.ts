import * as fc from "fast-check";
import type { ILease } from "kubernetes-models/coordination.k8s.io/v1/Lease";
import type { Clock } from "./clock.ts";
import { ApiError } from "./errors.ts";
import { LeaderElection, type LeaderElectionOptions } from "./lease.ts";
import { silentLogger } from "./logger.ts";
import type { Stored } from "./meta.ts";
import { FakeClock, settle } from "./testing/fake-clock.ts";

/** One Lease with the API server's rules on versions, and a line that can be cut. */
class LeaseServer {
  lease: Stored<ILease> | undefined;
  calls = 0;
  watches = 0;
  /** Whether candidates may watch. */
  isWatchable = true;
  readonly #watchers = new Set<() => void>();
  #version = 0;

  /** Tells watchers that the lease is another than before. */
  changed(): void {
    for (const wake of this.#watchers) wake();
  }

  client(line: { isCut: boolean } = { isCut: false }): LeaderElectionOptions["client"] {
    const store = (body: ILease): Stored<ILease> => {
      const metadata = { ...body.metadata, name: "lease", uid: "u", resourceVersion: String(++this.#version) };
      this.lease = structuredClone({ ...body, metadata });
      this.changed();
      return structuredClone(this.lease);
    };
    const arrive = () => {
      this.calls++;
      if (line.isCut) throw new ApiError({ status: 0, reason: "Timeout", message: "no answer" });
    };
    const changes = (since: string | undefined, signal: AbortSignal) => this.#changes(since, signal);
    const watched = () => {
      this.watches++;
      arrive();
      if (!this.isWatchable) throw new ApiError({ status: 403, reason: "Forbidden", message: "no watch" });
    };
    const client = {
      async *watch(_resource: unknown, options: { resourceVersion?: string; signal: AbortSignal }) {
        watched();
        for await (const object of changes(options.resourceVersion, options.signal)) {
          if (!line.isCut) yield { type: "MODIFIED", object };
        }
      },
      find: async () => {
        arrive();
        return structuredClone(this.lease);
      },
      create: async (_resource: unknown, body: ILease) => {
        arrive();
        if (this.lease) throw new ApiError({ status: 409, reason: "AlreadyExists", message: "exists" });
        return store(body);
      },
      replace: async (_resource: unknown, body: ILease) => {
        arrive();
        if (body.metadata?.resourceVersion !== this.lease?.metadata.resourceVersion) {
          throw new ApiError({ status: 409, reason: "Conflict", message: "changed" });
        }
        return store(body);
      },
    };
    return client as unknown as LeaderElectionOptions["client"];
  }

  async *#changes(since: string | undefined, signal: AbortSignal) {
    for (let version = since; !signal.aborted;) {
      if (this.lease && this.lease.metadata.resourceVersion !== version) {
        version = this.lease.metadata.resourceVersion;
        yield structuredClone(this.lease);
      } else await this.#change(signal);
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#watchers.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#watchers.clear();
  }
}

function candidate(
  clock: Clock,
  client: LeaderElectionOptions["client"],
  identity: string,
  observer?: LeaderElectionOptions["observer"],
) {
  const options = { client, identity, namespace: "ns", name: "lease", clock, logger: silentLogger, observer };
  return new LeaderElection({ ...options, random: () => 0 });
}

const never = new AbortController().signal;

/** A process that stands for election, leads while it can, and is started again when it has lost. Says whether it leads. */
function stands(clock: Clock, server: LeaseServer, line: { isCut: boolean }, name: string, signal: AbortSignal) {
  let current: LeaderElection | undefined;
  const live = async () => {
    for (let start = 1; !signal.aborted; start++) {
      current = candidate(clock, server.client(line), `${name}-${start}`);
      if (!(await current.acquire(signal))) return;
      let end: string = await current.hold(signal);
      while (end === "interrupted" && (await current.regain(signal)) === "leading") end = await current.hold(signal);
    }
  };
  void live();
  return () => current?.isLeader === true;
}

describe("leader election", () => {
  it("gives a free lease to the first who asks, with times of six fractional digits", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    expect(await one.acquire(never)).toBe(true);
    expect(server.lease?.spec).toEqual({
      holderIdentity: "one",
      leaseDurationSeconds: 4,
      acquireTime: "2026-01-01T00:00:00.000000Z",
      renewTime: "2026-01-01T00:00:00.000000Z",
      leaseTransitions: 0,
    });
  });

  it("takes the lease of a silent leader after the lease's time as measured here, whatever its clock said", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    // The other machine's clock is a year ahead.
    if (server.lease?.spec) server.lease.spec.renewTime = "2027-01-01T00:00:00.000000Z";
    const two = candidate(clock, server.client(), "two");
    const acquired = two.acquire(never);
    await clock.advance(3999);
    expect(two.isLeader).toBe(false);
    await clock.advance(1);
    expect(await acquired).toBe(true);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: "two", leaseTransitions: 1 });
  });

  it("goes on at once in a process that was started again under the holder's name", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    await candidate(clock, server.client(), "pod-1.uid-1").acquire(never);
    const again = candidate(clock, server.client(), "pod-1.uid-1");
    expect(await again.acquire(never)).toBe(true);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: "pod-1.uid-1", leaseTransitions: 0 });
  });

  it("leaves the lease to a leader that renews it, though its clock stands still", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const stopped: Clock = {
      now: () => 0,
      monotonic: () => clock.monotonic(),
      setTimeout: (callback, milliseconds) => clock.setTimeout(callback, milliseconds),
      clearTimeout: (timer) => clock.clearTimeout(timer),
    };
    const one = candidate(stopped, server.client(), "one");
    await one.acquire(never);
    void one.hold(never);
    const two = candidate(clock, server.client(), "two");
    void two.acquire(never);
    await clock.advance(120_000);
    expect(one.isLeader).toBe(true);
    expect(two.isLeader).toBe(false);
  });

  it("renews with one call a second", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    const before = server.calls;
    void one.hold(never);
    await clock.advance(20_000);
    expect(server.calls - before).toBe(20);
  });

  it("gives up when it could not renew for the deadline, before another may take over", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const line = { isCut: false };
    const one = candidate(clock, server.client(line), "one");
    await one.acquire(never);
    const held = one.hold(never);
    const two = candidate(clock, server.client(), "two");
    void two.acquire(never);
    await clock.advance(4000);
    line.isCut = true;
    for (let step = 0; step < 80; step++) {
      await clock.advance(100);
      expect(one.isLeader && two.isLeader).toBe(false);
    }
    expect(await held).toBe("interrupted");
    expect(two.isLeader).toBe(true);
    line.isCut = false;
    expect(await one.regain(never)).toBe("lost");
  });

  it("leads again after an outage of any length in which nobody else has led", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const line = { isCut: false };
    const one = candidate(clock, server.client(line), "one");
    await one.acquire(never);
    const held = one.hold(never);
    await clock.advance(2000);
    line.isCut = true;
    await clock.advance(4000);
    expect(await held).toBe("interrupted");
    expect([one.isLeader, one.isHealthy]).toEqual([false, true]);
    const regained = one.regain(never);
    await clock.advance(600_000);
    line.isCut = false;
    await clock.advance(1000);
    expect(await regained).toBe("leading");
    expect(server.lease?.spec).toMatchObject({ holderIdentity: "one", leaseTransitions: 0 });
    void one.hold(never);
    await clock.advance(60_000);
    expect(one.isLeader).toBe(true);
  });

  it.each([
    ["was handed on", (lease: Stored<ILease>) => ({ ...lease, spec: { ...lease.spec, holderIdentity: "" } })],
    ["is gone", () => undefined],
  ])("does not lead again when the lease %s meanwhile: somebody else may have led", async (_what, becomes) => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const line = { isCut: false };
    const one = candidate(clock, server.client(line), "one");
    await one.acquire(never);
    const held = one.hold(never);
    line.isCut = true;
    await clock.advance(4000);
    expect(await held).toBe("interrupted");
    if (server.lease) server.lease = becomes(server.lease);
    line.isCut = false;
    expect(await one.regain(never)).toBe("lost");
    expect(one.isLeader).toBe(false);
  });

  it("stops also while it cannot reach the server", async () => {
    const clock = new FakeClock();
    const line = { isCut: false };
    const one = candidate(clock, new LeaseServer().client(line), "one");
    await one.acquire(never);
    const held = one.hold(never);
    line.isCut = true;
    await clock.advance(4000);
    await held;
    const stop = new AbortController();
    const regained = one.regain(stop.signal);
    await clock.advance(10_000);
    stop.abort();
    expect(await regained).toBe("stopped");
  });

  it("never lets two lead, whichever lines are cut and for how long", async () => {
    const step = fc.record({
      cut: fc.tuple(fc.boolean(), fc.boolean()),
      milliseconds: fc.integer({ min: 100, max: 6000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        const clock = new FakeClock();
        const server = new LeaseServer();
        const lines = [{ isCut: false }, { isCut: false }];
        const stop = new AbortController();
        const leads = lines.map((line, index) => stands(clock, server, line, `candidate-${index}`, stop.signal));
        for (const { cut, milliseconds } of steps) {
          lines.forEach((line, index) => (line.isCut = cut[index] === true));
          for (let passed = 0; passed < milliseconds; passed += 100) {
            await clock.advance(100);
            expect(leads.filter((isLeader) => isLeader()).length).toBeLessThanOrEqual(1);
          }
        }
        for (const line of lines) line.isCut = false;
        await clock.advance(10_000);
        expect(leads.filter((isLeader) => isLeader())).toHaveLength(1);
        stop.abort();
        await settle();
      }),
      { numRuns: 20 },
    );
  });

  it("survives an outage shorter than the deadline", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const line = { isCut: false };
    const one = candidate(clock, server.client(line), "one");
    await one.acquire(never);
    void one.hold(never);
    await clock.advance(4000);
    line.isCut = true;
    await clock.advance(2500);
    line.isCut = false;
    await clock.advance(60_000);
    expect(one.isLeader).toBe(true);
  });

  it("goes on renewing after somebody else touched the lease without taking it", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    void one.hold(never);
    if (server.lease) server.lease.metadata.resourceVersion = "77";
    await clock.advance(30_000);
    expect(one.isLeader).toBe(true);
  });

  it("is lost at once when another holds the lease", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    const held = one.hold(never);
    if (server.lease?.spec) server.lease.spec.holderIdentity = "two";
    if (server.lease) server.lease.metadata.resourceVersion = "78";
    await clock.advance(2000);
    expect(await held).toBe("lost");
  });

  it("does not lead on a lease that it got before a long stall: another may have it by now", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const client = server.client();
    const create = client.create.bind(client) as (...args: unknown[]) => Promise<unknown>;
    const stalling = (...args: unknown[]) =>
      create(...args).then((lease) => {
        clock.stall(5000);
        return lease;
      });
    const one = candidate(clock, { ...client, create: stalling } as typeof client, "one");
    void one.acquire(never);
    await settle();
    expect(one.isLeader).toBe(false);
    await clock.advance(1000);
    expect(one.isLeader).toBe(true);
    expect(server.calls).toBe(4);
  });

  it("hands the lease on at once when released", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    const two = candidate(clock, server.client(), "two");
    void two.acquire(never);
    await settle();
    await one.release();
    await settle();
    expect(one.isLeader).toBe(false);
    expect(two.isLeader).toBe(true);
  });

  it("releases the lease though its last renewal got no answer", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    if (server.lease) server.lease.metadata.resourceVersion = "79";
    await one.release();
    expect(server.lease?.spec?.holderIdentity).toBe("");
  });

  it("never gives up what another holds", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    if (server.lease?.spec) server.lease.spec.holderIdentity = "two";
    await one.release();
    expect(server.lease?.spec?.holderIdentity).toBe("two");
  });

  it("waits without a call but its watch while another renews", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    void one.hold(never);
    const waiting = server.client();
    const two = candidate(clock, waiting, "two");
    void two.acquire(never);
    await settle();
    const before = server.calls;
    await clock.advance(30_000);
    // The leader's renewals, and nothing of the other.
    expect(server.calls - before).toBe(30);
    expect(server.watches).toBe(1);
  });

  it("looks again and again where it may not watch, and still takes a silent leader's lease in time", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    server.isWatchable = false;
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    const two = candidate(clock, server.client(), "two");
    void two.acquire(never);
    await clock.advance(3999);
    expect(two.isLeader).toBe(false);
    await clock.advance(1);
    expect(two.isLeader).toBe(true);
  });

  it("takes nothing on a watch that has gone deaf, as the lease itself is read first", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const line = { isCut: false };
    const one = candidate(clock, server.client(), "one");
    await one.acquire(never);
    void one.hold(never);
    const two = candidate(clock, server.client(line), "two");
    void two.acquire(never);
    await settle();
    line.isCut = true;
    await clock.advance(20_000);
    line.isCut = false;
    await clock.advance(20_000);
    expect([one.isLeader, two.isLeader]).toEqual([true, false]);
  });

  it("does not hammer a server that refuses a free lease", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    const one = candidate(clock, server.client({ isCut: true }), "one");
    void one.acquire(never);
    await clock.advance(20_000);
    expect(server.calls).toBeLessThan(30);
  });

  it.each([
    ["keeps the lease over", 2500, true],
    ["gives up after", 4500, false],
  ])("%s a stall of the event loop of %i ms", async (_does, milliseconds, keeps) => {
    const clock = new FakeClock();
    const one = candidate(clock, new LeaseServer().client(), "one");
    await one.acquire(never);
    void one.hold(never);
    await clock.advance(1000);
    clock.stall(milliseconds);
    await clock.advance(0);
    expect(one.isLeader).toBe(keeps);
  });

  it("counts the renewals for which it had to read the lease", async () => {
    const clock = new FakeClock();
    const server = new LeaseServer();
    let slow = 0;
    const one = candidate(clock, server.client(), "one", { leading: () => undefined, slowRenewal: () => slow++ });
    await one.acquire(never);
    void one.hold(never);
    await clock.advance(3000);
    expect(slow).toBe(0);
    if (server.lease) server.lease.metadata.resourceVersion = "80";
    await clock.advance(3000);
    expect(slow).toBe(1);
  });

  it("tells the watchdog when a stalled process may no longer be the leader", async () => {
    const clock = new FakeClock();
    const one = candidate(clock, new LeaseServer().client(), "one");
    expect(one.isHealthy).toBe(true);
    await one.acquire(never);
    clock.advanceSync(4000);
    expect(one.isHealthy).toBe(false);
  });

  it("refuses times under which two could lead", () => {
    const options = { namespace: "ns", name: "l", identity: "i", clock: new FakeClock(), logger: silentLogger };
    const client = new LeaseServer().client();
    expect(() => new LeaderElection({ ...options, client, leaseSeconds: 3, renewDeadlineSeconds: 3 })).toThrow(
      "renewDeadlineSeconds < leaseSeconds",
    );
  });
});
