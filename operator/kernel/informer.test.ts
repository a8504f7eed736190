import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import * as fc from "fast-check";
import { ApiError } from "./errors.ts";
import { Informer, type WatchSource } from "./informer.ts";
import type { Stored } from "./meta.ts";
import type { WatchEvent, WatchOptions } from "./requests.ts";
import { Resources } from "./resource.ts";
import { FakeClock } from "./testing/fake-clock.ts";

type Logged = { readonly version: number; readonly event: WatchEvent<IConfigMap> };

/** A collection with a history, as an API server keeps it; its streams end, fail and expire on demand. */
class Collection {
  readonly objects = new Map<string, Stored<IConfigMap>>();
  requests = 0;
  #log: Logged[] = [];
  #version = 1;
  #compacted = 0;
  #failing = 0;
  #failure: Error | undefined;
  #ending: Error | "end" | undefined;
  #wake: () => void = () => undefined;

  put(name: string): void {
    const metadata = { namespace: "ns", name, uid: `uid-${name}`, resourceVersion: String(++this.#version) };
    const object = { apiVersion: "v1" as const, kind: "ConfigMap" as const, metadata };
    const type = this.objects.has(name) ? "MODIFIED" : "ADDED";
    this.objects.set(name, object);
    this.#record({ type, object });
  }

  delete(name: string): void {
    const object = this.objects.get(name);
    if (!object) return;
    this.objects.delete(name);
    const metadata = { ...object.metadata, resourceVersion: String(++this.#version) };
    this.#record({ type: "DELETED", object: { ...object, metadata } });
  }

  /** Ends the open watch, in good order or with an error. */
  cut(how: Error | "end"): void {
    this.#ending = how;
    this.#wake();
  }

  /** Forgets the history: watches from before are told that they are too old. */
  compact(): void {
    this.#compacted = this.#version;
    this.#log = [];
  }

  fail(times: number, failure = new ApiError({ status: 500, reason: "InternalError", message: "try later" })): void {
    this.#failing = times;
    this.#failure = failure;
  }

  source(): WatchSource {
    const watch = (_resource: unknown, options: WatchOptions) => this.#watch(options);
    return { pages: noPages, watch } as unknown as WatchSource;
  }

  async *#watch(options: WatchOptions): AsyncGenerator<WatchEvent<IConfigMap>> {
    this.requests++;
    if (this.#failing > 0) {
      this.#failing--;
      throw this.#failure;
    }
    this.#ending = undefined;
    let at = Number(options.resourceVersion ?? 0);
    if (options.sendInitialEvents) {
      for (const object of this.objects.values()) yield { type: "ADDED", object };
      at = this.#version;
      yield { type: "BOOKMARK", resourceVersion: String(at), initialEnd: true };
    }
    while (!options.signal.aborted) {
      if (at < this.#compacted) throw new ApiError({ status: 410, reason: "Expired", message: "too old" });
      for (const { version, event } of this.#log.filter((entry) => entry.version > at)) {
        at = version;
        yield event;
      }
      if (this.#ending === "end") return;
      if (this.#ending) throw this.#ending;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        options.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  #record(event: WatchEvent<IConfigMap>): void {
    this.#log.push({ version: this.#version, event });
    this.#wake();
  }
}

function noPages(): never {
  throw new Error("this collection streams its lists");
}

function follow(collection: Collection) {
  const clock = new FakeClock();
  const informer = new Informer({ client: collection.source(), resource: Resources.ConfigMap, clock, random: () => 1 });
  const stop = new AbortController();
  const running = informer.run(stop.signal);
  const end = async () => {
    stop.abort();
    await running;
  };
  return { clock, informer, end };
}

describe("an informer", () => {
  it("is synced once, and says up to where it has seen", async () => {
    const collection = new Collection();
    collection.put("a");
    const { clock, informer, end } = follow(collection);
    expect(informer.hasSynced).toBe(false);
    expect(informer.hasSeen("ns", "1")).toBe(false);
    await clock.advance(0);
    expect(informer.hasSynced).toBe(true);
    expect(informer.hasSeen("ns", "2")).toBe(true);
    expect(informer.hasSeen("ns", "10")).toBe(false);
    await end();
  });

  it("waits longer after each failure, up to thirty seconds", async () => {
    const collection = new Collection();
    collection.fail(1000);
    const { clock, end } = follow(collection);
    await clock.advance(12_000);
    // After 0.2, 0.4, 0.8, 1.6, 3.2 and 6.4 seconds.
    expect(collection.requests).toBe(6);
    await clock.advance(600_000);
    expect(collection.requests).toBeLessThan(30);
    await end();
  });

  it("looks every three seconds whether a server that was away is back", async () => {
    const collection = new Collection();
    collection.fail(1000, new ApiError({ status: 0, reason: "ConnectionFailed", message: "refused" }));
    const { clock, informer, end } = follow(collection);
    await clock.advance(600_000);
    expect(collection.requests).toBeGreaterThan(200);
    expect(collection.requests).toBeLessThan(210);
    collection.fail(0);
    await clock.advance(3000);
    expect(informer.hasSynced).toBe(true);
    await end();
  });

  it("goes on soon with a server that was away for long and does not serve all at once when it is back", async () => {
    const collection = new Collection();
    collection.fail(1000, new ApiError({ status: 0, reason: "ConnectionFailed", message: "refused" }));
    const { clock, informer, end } = follow(collection);
    await clock.advance(600_000);
    collection.fail(3, new ApiError({ status: 404, reason: "NotFound", message: "no such kind yet" }));
    // Within three seconds it asks again; then after 0.2, 0.4 and 0.8.
    await clock.advance(3000 + 1400);
    expect(informer.hasSynced).toBe(true);
    await end();
  });

  it("says that waiting for the first list ended when its signal aborts", async () => {
    const collection = new Collection();
    collection.fail(1000);
    const { informer, end } = follow(collection);
    const waiting = informer.whenSynced(AbortSignal.abort(new Error("stopped")));
    await expect(waiting).rejects.toThrow("stopped");
    await end();
  });

  it("ends up equal to the server's collection whatever is written, cut, failed and forgotten meanwhile", async () => {
    const name = fc.constantFrom("a", "b");
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), name }),
      fc.record({ do: fc.constant("delete" as const), name }),
      fc.record({ do: fc.constant("end" as const) }),
      fc.record({ do: fc.constant("break" as const) }),
      fc.record({ do: fc.constant("compact" as const) }),
      fc.record({ do: fc.constant("fail" as const) }),
      fc.record({ do: fc.constant("wait" as const), milliseconds: fc.constantFrom(1, 300, 5000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25, size: "max" }), async (steps) => {
        const collection = new Collection();
        const { clock, informer, end } = follow(collection);
        const told = new Map<string, string>();
        informer.onChange(({ key, before, after }) => {
          expect(before?.metadata.resourceVersion).toBe(told.get(key));
          expect(after?.metadata.resourceVersion).not.toBe(before?.metadata.resourceVersion);
          if (after) told.set(key, after.metadata.resourceVersion);
          else told.delete(key);
        });
        for (const action of steps) {
          if (action.do === "put") collection.put(action.name);
          else if (action.do === "delete") collection.delete(action.name);
          else if (action.do === "end") collection.cut("end");
          else if (action.do === "break") collection.cut(new Error("reset"));
          else if (action.do === "compact") collection.compact();
          else if (action.do === "fail") collection.fail(2);
          else await clock.advance(action.milliseconds);
        }
        collection.cut("end");
        // Fifty failures in a row take up to half a minute each.
        await clock.advance(50 * 30_000);
        const wanted = [...collection.objects].map(
          ([key, { metadata }]) => [`ns/${key}`, metadata.resourceVersion] as const,
        );
        const held = informer.store
          .list()
          .map(({ metadata }) => [`ns/${metadata.name}`, metadata.resourceVersion] as const);
        expect(new Map(held)).toEqual(new Map(wanted));
        expect(told).toEqual(new Map(wanted));
        await end();
      }),
      { numRuns: 100 },
    );
  });
});
