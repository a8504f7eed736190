import { type HistoryEntry, remember } from "./history.ts";

const entry = (epoch: number): HistoryEntry => ({ epoch, step: epoch, learningRate: 1, values: {}, time: 0 });

it("a long history keeps to its limit, evenly, and has the last epoch", () => {
  let history: HistoryEntry[] = [];
  for (let epoch = 1; epoch <= 1001; epoch += 1) {
    history = remember(history, entry(epoch), 16);
    expect(history.length).toBeLessThanOrEqual(16);
    expect(history.at(-1)?.epoch).toBe(epoch);
  }
  expect(history.map(({ epoch }) => epoch)).toEqual([...Array.from({ length: 15 }, (_, i) => 64 * (i + 1)), 1001]);
});

it("a short one is whole", () => {
  expect([1, 2, 3].reduce<HistoryEntry[]>((all, epoch) => remember(all, entry(epoch), 3), []).length).toBe(3);
});
