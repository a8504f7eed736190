import { describe, expect, it } from "@jest/globals";
import type { Load } from "../../../crds/contract/load.ts";
import { FakeClock } from "../../kernel/testing/fake-clock.ts";
import { Autoscaler, SAMPLE_SECONDS, type ScalingTarget } from "./autoscaler.ts";
import { scalingSettings } from "./settings.ts";

const KEY = "lab/digits";
const PORT = 20_000;

const settings = (more = {}) => {
  const found = scalingSettings({ mode: "Automatic", replicas: 1, maxReplicas: 10, ...more });
  if (found.by !== "Operator") throw new Error("the operator decides here");
  return found;
};

/** Pods with so many requests in flight; undefined: they do not answer. */
class World {
  readonly clock = new FakeClock();
  readonly changed: string[] = [];
  inFlight: number | undefined = 0;
  held = 0;
  asked = 0;
  readonly autoscaler = new Autoscaler({
    clock: this.clock,
    prober: { load: () => Promise.resolve(this.#load()) },
    held: (port) => (port === PORT ? this.held : 0),
    changed: (key) => this.changed.push(key),
  });
  readonly #stop = new AbortController();

  constructor() {
    void this.autoscaler.run(this.#stop.signal);
  }

  watch(more: Partial<ScalingTarget> = {}): void {
    const ready = [{ id: "one", ip: "198.18.0.2" }];
    this.autoscaler.watch({ key: KEY, uid: "uid", settings: settings(), current: 1, ready, ...more });
  }

  get wish(): number | undefined {
    return this.autoscaler.view(KEY).wish;
  }

  /** Counters as a pod with a steady number of requests has them. */
  #load(): Load | undefined {
    this.asked += 1;
    if (this.inFlight === undefined) return undefined;
    const seconds = this.clock.monotonic() / 1000;
    const inFlightSeconds = this.inFlight * seconds;
    return { inFlight: this.inFlight, queued: 0, finished: 10, busySeconds: 0, waitedSeconds: 0, inFlightSeconds };
  }
}

describe("the autoscaler", () => {
  it("wishes for more pods within seconds of a load", async () => {
    const world = new World();
    world.watch();
    await world.clock.advance(60_000);
    expect(world.wish).toBe(1);
    world.inFlight = 40;
    await world.clock.advance(4 * SAMPLE_SECONDS * 1000);
    expect(world.wish).toBeGreaterThanOrEqual(5);
    expect(world.changed).toContain(KEY);
  });

  it("keeps the number while pods do not answer", async () => {
    const world = new World();
    world.inFlight = undefined;
    world.watch({ current: 4, settings: settings({ minReplicas: 0 }) });
    await world.clock.advance(3_600_000);
    expect(world.wish).toBe(4);
    expect(world.changed).toEqual([]);
  });

  it("lets the last pod go when nobody has asked for long enough", async () => {
    const world = new World();
    world.watch({ settings: settings({ minReplicas: 0, scaleToZeroAfter: "1m" }) });
    await world.clock.advance(59_000);
    expect(world.wish).toBe(1);
    await world.clock.advance(4000);
    expect(world.wish).toBe(0);
  });

  it("wakes at once from zero when a request is held, and knows since when", async () => {
    const world = new World();
    world.watch({ current: 0, ready: [], port: PORT, settings: settings({ minReplicas: 0 }) });
    await world.clock.advance(600_000);
    expect(world.wish).toBe(0);
    world.held = 1;
    world.autoscaler.demanded(PORT);
    expect(world.wish).toBe(1);
    expect(world.changed).toEqual([KEY]);
    expect(world.autoscaler.view(KEY).wokenAt).toBe(world.clock.now());
    world.watch({ current: 1, port: PORT, settings: settings({ minReplicas: 0 }) });
    expect(world.autoscaler.view(KEY).wokenAt).toBeUndefined();
  });

  it("asks nobody of deployments that it has forgotten, and knows nothing of a new one of the same name", async () => {
    const world = new World();
    world.watch();
    await world.clock.advance(4000);
    world.autoscaler.forget(KEY);
    const { asked } = world;
    await world.clock.advance(10_000);
    expect(world.asked).toBe(asked);
    expect(world.wish).toBeUndefined();
  });
});
