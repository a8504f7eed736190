import type { IEvent } from "kubernetes-models/events.k8s.io/v1/Event";
import { ApiError } from "./errors.ts";
import { type EventInput, EventRecorder, type EventRecorderOptions } from "./events.ts";
import { silentLogger } from "./logger.ts";
import { Resources } from "./resource.ts";
import { FakeClock } from "./testing/fake-clock.ts";

function setUp() {
  const clock = new FakeClock();
  const created: IEvent[] = [];
  const patched: unknown[] = [];
  const failures: ApiError[] = [];
  const fail = () => {
    const failure = failures.shift();
    if (failure) throw failure;
  };
  const client = {
    create: async (_resource: unknown, event: IEvent) => {
      fail();
      created.push(event);
    },
    patch: async (_resource: unknown, _namespace: string, _name: string, patch: unknown) => {
      fail();
      patched.push(patch);
    },
  } as unknown as EventRecorderOptions["client"];
  const recorder = new EventRecorder({ client, controller: "a.dev/b", instance: "pod-1", clock, logger: silentLogger });
  return { clock, created, patched, failures, recorder };
}

const metadata = { namespace: "ns", name: "job", uid: "u1" };
const happening: EventInput = {
  resource: Resources.Job,
  object: { metadata },
  type: "Warning",
  reason: "Failed",
  action: "Run",
  note: "out of memory",
};

describe("an event recorder", () => {
  it("writes an event with all that the API demands", async () => {
    const { recorder, created } = setUp();
    recorder.record(happening);
    await recorder.flush();
    expect(created).toEqual([
      {
        apiVersion: "events.k8s.io/v1",
        kind: "Event",
        metadata: { namespace: "ns", name: expect.stringMatching(/^job\.[0-9a-f]+$/) },
        eventTime: "2026-01-01T00:00:00.000000Z",
        type: "Warning",
        reason: "Failed",
        action: "Run",
        note: "out of memory",
        regarding: { apiVersion: "batch/v1", kind: "Job", namespace: "ns", name: "job", uid: "u1" },
        reportingController: "a.dev/b",
        reportingInstance: "pod-1",
      },
    ]);
  });

  it("counts repetitions in one event: the first at once, others once a minute", async () => {
    const { recorder, clock, created, patched } = setUp();
    for (let second = 0; second < 50; second++) {
      recorder.record(happening);
      await clock.advance(1000);
    }
    expect(created).toHaveLength(1);
    expect(patched).toEqual([{ series: { count: 2, lastObservedTime: "2026-01-01T00:00:01.000000Z" } }]);
    await clock.advance(10_000);
    expect(patched[1]).toEqual({ series: { count: 50, lastObservedTime: "2026-01-01T00:00:49.000000Z" } });
    await clock.advance(600_000);
    expect(patched).toHaveLength(2);
    expect(clock.pendingTimers).toBe(0);
    recorder.record(happening);
    await recorder.flush();
    expect(created).toHaveLength(2);
  });

  it("never throws: what cannot be written is tried again each minute, and given up after six", async () => {
    const { recorder, clock, created, failures } = setUp();
    failures.push(new ApiError({ status: 403, reason: "Forbidden", message: "no" }));
    recorder.record(happening);
    await recorder.flush();
    expect(created).toHaveLength(0);
    await clock.advance(60_000);
    expect(created).toHaveLength(1);
    for (let time = 0; time < 100; time++)
      failures.push(new ApiError({ status: 403, reason: "Forbidden", message: "no" }));
    recorder.record({ ...happening, reason: "Hopeless" });
    await clock.advance(3_600_000);
    expect(created).toHaveLength(1);
    expect(failures.length).toBeGreaterThan(90);
    expect(clock.pendingTimers).toBe(0);
  });

  it("goes on under a new name when the server has forgotten the event", async () => {
    const { recorder, created, failures } = setUp();
    recorder.record(happening);
    await recorder.flush();
    failures.push(new ApiError({ status: 404, reason: "NotFound", message: "gone" }));
    recorder.record(happening);
    await recorder.flush();
    expect(created[1]).toMatchObject({ series: { count: 2 } });
    expect(created[1]?.metadata?.name).not.toBe(created[0]?.metadata?.name);
  });

  it("drops events beyond a thousand that wait, and counts them", async () => {
    const { recorder, created } = setUp();
    for (let place = 0; place < 1100; place++) recorder.record({ ...happening, note: String(place) });
    await recorder.flush();
    expect(created).toHaveLength(1000);
    expect(recorder.dropped).toBe(100);
  });

  it("writes open counts when it stops, and nothing afterwards", async () => {
    const { recorder, clock, created, patched } = setUp();
    for (let time = 0; time < 3; time++) {
      recorder.record(happening);
      await recorder.flush();
    }
    await recorder.stop();
    recorder.record({ ...happening, reason: "Later" });
    await recorder.flush();
    expect(created).toHaveLength(1);
    expect(patched.at(-1)).toMatchObject({ series: { count: 3 } });
    expect(clock.pendingTimers).toBe(0);
  });

  it("puts events of cluster-scoped objects into the default namespace, and cuts what is too long", async () => {
    const { recorder, created } = setUp();
    const object = { metadata: { name: "n".repeat(253), uid: "u" } };
    recorder.record({ ...happening, object, note: "x".repeat(2000) });
    await recorder.flush();
    expect(created[0]?.metadata?.namespace).toBe("default");
    expect(created[0]?.metadata?.name?.length).toBeLessThanOrEqual(253);
    expect(created[0]?.note).toHaveLength(1024);
  });
});
