import * as fc from "fast-check";
import { WorkQueue } from "./queue.ts";
import { FakeClock, settle } from "./testing/fake-clock.ts";

function newQueue(clock = new FakeClock()) {
  return { clock, queue: new WorkQueue({ name: "test", clock, random: () => 1 }) };
}

/** What take gives right now; undefined when it would wait. */
async function takeNow(queue: WorkQueue): Promise<string | undefined> {
  let taken: string | undefined;
  void queue.take().then((work) => {
    taken = work?.key;
  });
  await Promise.resolve();
  await Promise.resolve();
  return taken;
}

describe("a work queue", () => {
  it("hands out a key once, however often it was added", async () => {
    const { queue } = newQueue();
    for (let time = 0; time < 3; time++) queue.add("a");
    expect(await takeNow(queue)).toBe("a");
    expect(queue.depth).toBe(0);
    expect(await takeNow(queue)).toBeUndefined();
  });

  it("keeps a taken key locked, and hands it out again if it was added meanwhile", async () => {
    const { queue } = newQueue();
    queue.add("a");
    await queue.take();
    queue.add("a");
    const second = queue.take();
    let came = false;
    void second.then(() => (came = true));
    await settle();
    expect(came).toBe(false);
    queue.done("a");
    expect(await second).toEqual({ key: "a", priority: 0 });
  });

  it("takes the shortest of several delays", async () => {
    const { queue, clock } = newQueue();
    queue.add("a", { afterSeconds: 10 });
    queue.add("a", { afterSeconds: 2 });
    queue.add("a", { afterSeconds: 30 });
    const taken = queue.take();
    await clock.advance(1999);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect((await taken)?.key).toBe("a");
    expect(clock.pendingTimers).toBe(0);
  });

  it("hands out higher priorities first, and within one those that were ready first", async () => {
    const { queue, clock } = newQueue();
    queue.add("low", { priority: -100 });
    queue.add("delayed", { afterSeconds: 5 });
    await clock.advance(4000);
    queue.add("early");
    await clock.advance(4000);
    queue.add("late");
    queue.add("low-then-high", { priority: -100 });
    queue.add("low-then-high", { priority: 1 });
    const order = [];
    for (let place = 0; place < 5; place++) order.push((await queue.take())?.key);
    expect(order).toEqual(["low-then-high", "early", "delayed", "late", "low"]);
  });

  it("doubles a key's delay with each failure up to the limit, until it is forgotten", () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ name: "test", clock, random: () => 1, backoff: { baseSeconds: 1, maxSeconds: 5 } });
    expect([1, 2, 3, 4].map(() => queue.addAfterFailure("a"))).toEqual([1, 2, 4, 5]);
    queue.forget("a");
    expect(queue.addAfterFailure("a")).toBe(1);
    expect(queue.addAfterFailure("a", { atLeastSeconds: 60 })).toBe(60);
  });

  it("keeps its keys for later workers when those that wait are dismissed", async () => {
    const { queue } = newQueue();
    const waiting = queue.take();
    queue.dismiss();
    expect(await waiting).toBeUndefined();
    queue.add("a");
    expect(await takeNow(queue)).toBe("a");
  });

  it("gives every waiting worker undefined when it is shut down, and takes no more keys", async () => {
    const { queue, clock } = newQueue();
    const waiting = queue.take();
    queue.add("b", { afterSeconds: 1 });
    queue.shutdown();
    queue.add("a");
    expect(await waiting).toBeUndefined();
    expect(await queue.take()).toBeUndefined();
    expect(clock.pendingTimers).toBe(0);
  });

  it("behaves like a simple model under any sequence of adds, takes, ends and passing time", async () => {
    const key = fc.constantFrom("a", "b", "c");
    const step = fc.oneof(
      fc.record({
        do: fc.constant("add" as const),
        key,
        seconds: fc.constantFrom(0, 0, 1, 3),
        priority: fc.integer({ min: -1, max: 1 }),
      }),
      fc.record({ do: fc.constant("take" as const) }),
      fc.record({ do: fc.constant("done" as const), key }),
      fc.record({ do: fc.constant("advance" as const), seconds: fc.integer({ min: 1, max: 4 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
        const { queue, clock } = newQueue();
        const model = new Map<string, { priority: number; readyAt: number; order: number }>();
        const locked = new Set<string>();
        let order = 0;
        const expected = () =>
          [...model]
            .filter(([name, entry]) => !locked.has(name) && entry.readyAt <= clock.monotonic())
            .sort(([, a], [, b]) => b.priority - a.priority || a.readyAt - b.readyAt || a.order - b.order)[0]?.[0];
        const take = async () => {
          const next = expected();
          // Without a ready key the take would wait, and take a later one in a place the model does not see.
          if (next === undefined) return;
          expect(await takeNow(queue)).toBe(next);
          model.delete(next);
          locked.add(next);
        };
        for (const action of steps) {
          if (action.do === "add") {
            const old = model.get(action.key);
            const readyAt = clock.monotonic() + action.seconds * 1000;
            model.set(action.key, {
              priority: Math.max(action.priority, old?.priority ?? action.priority),
              readyAt: Math.min(readyAt, old?.readyAt ?? readyAt),
              order: old?.order ?? order++,
            });
            queue.add(action.key, { priority: action.priority, afterSeconds: action.seconds });
          } else if (action.do === "take") await take();
          else if (action.do === "done") {
            locked.delete(action.key);
            queue.done(action.key);
          } else clock.advanceSync(action.seconds * 1000);
          expect(new Set(queue.pending)).toEqual(new Set(model.keys()));
        }
        // Nothing is lost: once all are released and due, each pending key comes.
        for (const name of locked) queue.done(name);
        locked.clear();
        clock.advanceSync(10_000);
        while (expected() !== undefined) await take();
        expect(queue.pending).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
