import { describe, expect, it } from "@jest/globals";
import * as fc from "fast-check";
import { decide, type History } from "./decide.ts";
import type { Sample } from "./sample.ts";
import type { OwnScaling } from "./settings.ts";

const SETTINGS: OwnScaling = {
  by: "Operator",
  min: 1,
  max: 20,
  metric: "Concurrency",
  target: 8,
  stableMilliseconds: 60_000,
  panicMilliseconds: 6000,
  zeroAfterMilliseconds: 300_000,
  upRate: 10,
  downRate: 2,
};
const NOW = 1_000_000;

const sample = (of: Partial<Sample> = {}): Sample => ({
  at: NOW,
  pods: 1,
  answered: 1,
  concurrency: 0,
  perSecond: 0,
  finished: 0,
  waitedSeconds: 0,
  busy: 0,
  active: true,
  ...of,
});

/** A sample every two seconds of the last `seconds`, newest last. */
const every2s = (seconds: number, of: (ago: number) => Partial<Sample>): Sample[] =>
  Array.from({ length: seconds / 2 }, (_, index) => {
    const ago = seconds - 2 - index * 2;
    return sample({ at: NOW - ago * 1000, ...of(ago) });
  });

const history = (samples: Sample[], more: Partial<History> = {}): History => ({
  samples,
  since: 0,
  activeAt: NOW,
  ...more,
});

const pods = (samples: Sample[], current: number, settings: Partial<OwnScaling> = {}, more: Partial<History> = {}) =>
  decide(history(samples, more), { ...SETTINGS, ...settings }, current, current, NOW).replicas;

describe("the number of pods", () => {
  it.each([
    ["Concurrency", { concurrency: 24 }, { target: 8 }, 3],
    ["RequestsPerSecond", { perSecond: 250 }, { target: 100 }, 3],
    ["Gpu", { busy: 1.9, answered: 2, pods: 2 }, { target: 50 }, 4],
    // Two pods whose requests wait twice as long as they should.
    ["QueueTime", { finished: 100, waitedSeconds: 4, answered: 2, pods: 2 }, { target: 20 }, 4],
  ] as const)("follows %s", (metric, load, settings, expected) => {
    expect(
      pods(
        every2s(60, () => load),
        2,
        { metric, ...settings },
      ),
    ).toBe(expected);
  });

  it("follows a doubled load within the panic window", () => {
    const samples = every2s(60, (ago) => ({ concurrency: ago < 6 ? 64 : 8 }));
    expect(pods(samples, 1)).toBe(8);
  });

  it("does not fall while it panics, and for a stable window after", () => {
    const quiet = every2s(60, () => ({ concurrency: 8 }));
    expect(pods(quiet, 8, {}, { panicAt: NOW - 59_000 })).toBe(8);
    expect(pods(quiet, 8, {}, { panicAt: NOW - 61_000 })).toBe(4);
  });

  it("falls by no more than the rate at one time", () => {
    expect(
      pods(
        every2s(60, () => ({ concurrency: 1, pods: 16, answered: 16 })),
        16,
      ),
    ).toBe(8);
    expect(
      pods(
        every2s(60, () => ({ concurrency: 1, pods: 16, answered: 16 })),
        16,
        { downRate: 4 },
      ),
    ).toBe(4);
  });

  it("rises by no more than the rate at one time", () => {
    expect(
      pods(
        every2s(60, () => ({ concurrency: 1000 })),
        1,
        { upRate: 3 },
      ),
    ).toBe(3);
  });

  it("stays within a tenth of the target", () => {
    expect(
      pods(
        every2s(60, () => ({ concurrency: 17, pods: 2, answered: 2 })),
        2,
      ),
    ).toBe(2);
    expect(
      pods(
        every2s(60, () => ({ concurrency: 18, pods: 2, answered: 2 })),
        2,
      ),
    ).toBe(3);
  });

  it("does not fall before a whole window has been seen", () => {
    const samples = every2s(20, () => ({ concurrency: 1, pods: 4, answered: 4 }));
    expect(pods(samples, 4, {}, { since: NOW - 20_000 })).toBe(4);
    expect(pods(samples, 4, {}, { since: NOW - 60_000 })).toBe(2);
  });

  it("is kept where no pod answers", () => {
    expect(
      pods(
        every2s(60, () => ({ answered: 0, pods: 3 })),
        3,
      ),
    ).toBe(3);
    expect(pods([], 3)).toBe(3);
  });

  it("is not lowered for the load of pods that did not answer", () => {
    expect(
      pods(
        every2s(60, () => ({ concurrency: 8, pods: 4, answered: 1 })),
        4,
      ),
    ).toBe(4);
    expect(
      pods(
        every2s(60, () => ({ concurrency: 8, pods: 4, answered: 4 })),
        4,
      ),
    ).toBe(2);
  });

  it("does not follow short queues down while the engines are busy", () => {
    const busy = { metric: "QueueTime", target: 20 } as const;
    expect(
      pods(
        every2s(60, () => ({ finished: 100, busy: 3.1, pods: 4, answered: 4 })),
        4,
        busy,
      ),
    ).toBe(4);
    expect(
      pods(
        every2s(60, () => ({ finished: 100, busy: 1.5, pods: 4, answered: 4 })),
        4,
        busy,
      ),
    ).toBe(2);
  });

  it("becomes zero when nobody has asked for so long, and only where that is allowed", () => {
    const idle = { since: NOW - 400_000, activeAt: NOW - 300_000 };
    const quiet = every2s(60, () => ({ active: false }));
    expect(pods(quiet, 1, { min: 0 }, idle)).toBe(0);
    expect(pods(quiet, 1, { min: 0 }, { ...idle, activeAt: NOW - 299_000 })).toBe(1);
    expect(pods(quiet, 1, { min: 1 }, idle)).toBe(1);
  });

  it("leaves zero for the requests that are held", () => {
    const held = [sample({ pods: 0, answered: 0, concurrency: 1 })];
    expect(decide(history(held), { ...SETTINGS, min: 0 }, 0, 0, NOW).replicas).toBe(1);
    expect(
      decide(history([{ ...sample(), concurrency: 20, pods: 0, answered: 0 }]), { ...SETTINGS, min: 0 }, 0, 0, NOW)
        .replicas,
    ).toBe(3);
    expect(decide(history([]), { ...SETTINGS, min: 0 }, 0, 0, NOW).replicas).toBe(0);
  });
});

const amount = fc.oneof(
  fc.double({ min: 0, max: 1e6, noNaN: true }),
  fc.constant(0),
  fc.constant(Number.MAX_SAFE_INTEGER),
);
const samples = fc.array(
  fc
    .record({
      ago: fc.integer({ min: 0, max: 70_000 }),
      pods: fc.nat(50),
      silent: fc.nat(50),
      concurrency: amount,
      perSecond: amount,
      finished: amount,
      waitedSeconds: amount,
      busy: fc.double({ min: 0, max: 50, noNaN: true }),
    })
    .map(({ ago, silent, ...rest }) =>
      sample({ ...rest, at: NOW - ago, answered: Math.max(0, rest.pods - silent), active: rest.concurrency > 0 }),
    ),
  { maxLength: 40 },
);
const settings = fc
  .record({
    min: fc.nat(10),
    range: fc.nat(50),
    metric: fc.constantFrom("Concurrency", "RequestsPerSecond", "QueueTime", "Gpu"),
    target: fc.double({ min: 0.01, max: 1000, noNaN: true }),
    upRate: fc.double({ min: 1.1, max: 100, noNaN: true }),
    downRate: fc.double({ min: 1.1, max: 100, noNaN: true }),
  })
  .map(({ range, ...rest }): OwnScaling => ({ ...SETTINGS, ...rest, max: Math.max(1, rest.min + range) }));

describe("whatever pods say", () => {
  it("the number is whole and within its bounds", () => {
    fc.assert(
      fc.property(samples, settings, fc.nat(60), fc.nat(60), fc.nat(400_000), (seen, set, current, ready, idle) => {
        const { replicas } = decide(history(seen, { activeAt: NOW - idle }), set, current, ready, NOW);
        expect(Number.isInteger(replicas)).toBe(true);
        expect(replicas).toBeLessThanOrEqual(set.max);
        // None at all: nobody asked, or there were none and nobody was heard.
        if (replicas === 0) expect(set.min).toBe(0);
        else expect(replicas).toBeGreaterThanOrEqual(Math.min(Math.max(1, set.min), set.max));
      }),
    );
  });

  it("more requests in flight never mean fewer pods", () => {
    fc.assert(
      fc.property(samples, settings, fc.integer({ min: 1, max: 60 }), amount, (seen, set, current, more) => {
        const concurrency = { ...set, metric: "Concurrency" } as const;
        const raised = seen.map((one) => ({ ...one, concurrency: one.concurrency + more }));
        const before = decide(history(seen), concurrency, current, current, NOW).replicas;
        expect(decide(history(raised), concurrency, current, current, NOW).replicas).toBeGreaterThanOrEqual(before);
      }),
    );
  });
});
