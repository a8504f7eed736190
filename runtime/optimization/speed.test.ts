import { type Subject, measureSpeed, median } from "./speed.ts";

/** Subjects that take this many milliseconds for one example and for a batch, on a machine with `load` at each call. */
function machine(takes: [one: number, batch: number][], load: (call: number) => number) {
  let now = 0;
  let calls = 0;
  const pass = (milliseconds: number) => {
    now += milliseconds * load(calls);
    calls += 1;
    return Promise.resolve();
  };
  const subjects = takes.map(([one, batch]): Subject => ({ one: () => pass(one), many: () => pass(batch) }));
  return measureSpeed(subjects, () => now);
}

it("takes the middle, or the mean of the two middle ones", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5]);
});

const TAKES: [number, number][] = [
  [2, 20],
  [1, 5],
];

it("tells the latency of one example and examples a second in batches of 32", async () => {
  const [before, after] = await machine(TAKES, () => 1);
  expect(before?.latencyP50Milliseconds).toBeCloseTo(2, 9);
  expect(before?.throughputPerSecond).toBeCloseTo(1600, 6);
  expect(after?.latencyP50Milliseconds).toBeCloseTo(1, 9);
  expect(after?.throughputPerSecond).toBeCloseTo(6400, 6);
});

it("is not misled by other programs that come and go, whichever model they hit", async () => {
  // 20 calls of each subject are a round: every second round is slow, and the second half of it even more so.
  const [before, after] = await machine(TAKES, (call) => (call % 80 < 40 ? 1 : call % 80 < 60 ? 9 : 30));
  expect(before?.latencyP50Milliseconds).toBeCloseTo(2, 6);
  expect(after?.latencyP50Milliseconds).toBeCloseTo(1, 6);
  expect((before?.throughputPerSecond ?? NaN) / (after?.throughputPerSecond ?? NaN)).toBeCloseTo(0.25, 6);
});
