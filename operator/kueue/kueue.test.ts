import { describe, expect, it } from "@jest/globals";
import type { Client } from "../kernel/client.ts";
import { ApiError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/logger.ts";
import { FakeClock } from "../kernel/testing/fake-clock.ts";
import { Kueue } from "./kueue.ts";
import { POSITION_SECONDS, Positions } from "./positions.ts";

const notFound = () => new ApiError({ status: 404, reason: "NotFound", message: "the server could not find it" });

/** An API server without Kueue, that counts what it is asked. */
function absent() {
  const asked = { watches: 0, gets: 0 };
  const client = {
    watch: () => {
      asked.watches += 1;
      return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(notFound()) }) };
    },
    get: () => {
      asked.gets += 1;
      return Promise.reject(notFound());
    },
  } as unknown as Client;
  return { asked, client };
}

const job = (queueName?: string) => ({
  metadata: { name: "digits", namespace: "lab", uid: "u", resourceVersion: "1" },
  spec: { queueName },
});
const change = (after: ReturnType<typeof job> | undefined) => ({
  key: "lab/digits",
  before: undefined,
  after,
  initial: false,
});

/** Until all that was begun has come to a timer. */
const settle = async () => {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
};

describe("a cluster without Kueue", () => {
  it("is asked nothing while no object names a queue, or while another operator leads", async () => {
    const { asked, client } = absent();
    const clock = new FakeClock();
    const kueue = new Kueue({ client, namespaces: [], clock, logger: silentLogger });
    const told = kueue.follow("TrainingJob");
    told(change(job("team-a")));
    await settle();
    expect(asked.watches).toBe(0);
    told(change(job()));
    const stopping = new AbortController();
    const running = kueue.run(stopping.signal);
    await settle();
    expect(asked.watches).toBe(0);
    expect(kueue.presence).toBeUndefined();

    const heard: unknown[] = [];
    kueue.onPresence(() => heard.push(kueue.presence));
    told(change(job("team-a")));
    await settle();
    expect(asked.watches).toBe(1);
    expect(heard).toEqual(["Absent"]);
    expect(kueue.workloadAdmission("team-a", "uid").reason).toBe("KueueNotInstalled");
    // It is not asked for places in a queue that cannot be.
    expect((await kueue.admission("team-a", "lab", "uid", stopping.signal)).position).toBeUndefined();
    expect(asked.gets).toBe(0);

    told(change(undefined));
    await clock.advance(120_000);
    await settle();
    expect(asked.watches).toBe(1);
    stopping.abort();
    await running;
  });
});

describe("places in a queue", () => {
  const { signal } = new AbortController();

  it("are asked for once for all that wait, and begin with 1", async () => {
    let gets = 0;
    const items = ["a", "b"].map((name, positionInClusterQueue) => ({ metadata: { name }, positionInClusterQueue }));
    const client = { get: () => Promise.resolve({ items, call: (gets += 1) }) } as unknown as Client;
    const clock = new FakeClock();
    const positions = new Positions(client, clock);
    const both = await Promise.all([positions.of("lab", "team-a", signal), positions.of("lab", "team-a", signal)]);
    expect(both.map((places) => [...places])).toEqual([
      [
        ["a", 1],
        ["b", 2],
      ],
      [
        ["a", 1],
        ["b", 2],
      ],
    ]);
    expect(gets).toBe(1);
    await clock.advance((POSITION_SECONDS + 1) * 1000);
    await positions.of("lab", "team-a", signal);
    expect(gets).toBe(2);
  });

  it("are unknown without an error where the visibility API is missing, which is asked for once a minute", async () => {
    const { asked, client } = absent();
    const clock = new FakeClock();
    const positions = new Positions(client, clock);
    for (const queue of ["team-a", "team-b", "team-a"]) {
      expect((await positions.of("lab", queue, signal)).size).toBe(0);
    }
    expect(asked.gets).toBe(1);
    await clock.advance(61_000);
    await positions.of("lab", "team-a", signal);
    expect(asked.gets).toBe(2);
  });

  it("are asked for again soon where the visibility API was only out of reach", async () => {
    const items = [{ metadata: { name: "a" }, positionInClusterQueue: 0 }];
    const unavailable = new ApiError({ status: 503, reason: "ServiceUnavailable", message: "no endpoints" });
    const answers = [() => Promise.reject(unavailable), () => Promise.resolve({ items })];
    const client = { get: () => answers.shift()?.() } as unknown as Client;
    const clock = new FakeClock();
    const positions = new Positions(client, clock);
    expect((await positions.of("lab", "team-a", signal)).size).toBe(0);
    await clock.advance((POSITION_SECONDS + 1) * 1000);
    expect([...(await positions.of("lab", "team-a", signal))]).toEqual([["a", 1]]);
  });
});
