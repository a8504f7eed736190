import { describe, expect, it } from "@jest/globals";
import type { Load } from "../../../crds/contract/load.ts";
import { Counters } from "./sample.ts";

const load = (of: Partial<Load> = {}): Load => ({
  inFlight: 0,
  queued: 0,
  finished: 0,
  busySeconds: 0,
  inFlightSeconds: 0,
  waitedSeconds: 0,
  ...of,
});

describe("a sample", () => {
  it("is what the counters of all pods grew by", () => {
    const counters = new Counters();
    counters.sample(
      0,
      new Map([
        ["a", load()],
        ["b", load({ finished: 100, inFlightSeconds: 50 })],
      ]),
      0,
    );
    const after = new Map([
      ["a", load({ finished: 20, inFlightSeconds: 6, busySeconds: 1, waitedSeconds: 0.5 })],
      ["b", load({ finished: 120, inFlightSeconds: 52, busySeconds: 2 })],
    ]);
    expect(counters.sample(2000, after, 1)).toEqual({
      at: 2000,
      pods: 2,
      answered: 2,
      concurrency: 3 + 1 + 1,
      perSecond: 20,
      finished: 40,
      waitedSeconds: 0.5,
      busy: 1.5,
      active: true,
    });
  });

  it("counts neither a pod that does not answer nor one whose counters began anew", () => {
    const counters = new Counters();
    counters.sample(
      0,
      new Map([
        ["a", load({ finished: 9 })],
        ["b", load()],
      ]),
      0,
    );
    const sample = counters.sample(
      2000,
      new Map([
        ["a", load({ finished: 1 })],
        ["b", undefined],
      ]),
      0,
    );
    expect(sample).toMatchObject({ pods: 2, answered: 0, perSecond: 0, active: true });
  });

  it("compares a pod that was silent with what it said last", () => {
    const counters = new Counters();
    counters.sample(0, new Map([["a", load()]]), 0);
    counters.sample(2000, new Map([["a", undefined]]), 0);
    expect(counters.sample(4000, new Map([["a", load({ finished: 8 })]]), 0)).toMatchObject({ perSecond: 2 });
  });

  it("is idle when no request was there", () => {
    const counters = new Counters();
    counters.sample(0, new Map([["a", load({ finished: 3 })]]), 0);
    expect(counters.sample(2000, new Map([["a", load({ finished: 3 })]]), 0).active).toBe(false);
    expect(counters.sample(4000, new Map([["a", load({ finished: 3 })]]), 1).active).toBe(true);
  });
});
