import "../../engine/test-realm.ts";
import { assert, float32Array, integer, property } from "fast-check";
import { isSparsable, magnitudeMask, patternMask } from "./mask.ts";
import { type SparsitySchedule, sparsityAt, updatesAt } from "./schedule.ts";

const schedule = (more: Partial<SparsitySchedule>): SparsitySchedule => ({
  initialSparsity: 0.5,
  finalSparsity: 0.8,
  begin: 0,
  end: 2000,
  frequency: 100,
  power: 3,
  ...more,
});

describe("The polynomial schedule", () => {
  it("has the values of TensorFlow Model Optimization", () => {
    const short = schedule({ initialSparsity: 0.2, begin: 100, end: 110 });
    expect([100, 102, 105, 110].map((step) => Number(sparsityAt(short, step).toFixed(10)))).toEqual([
      0.2, 0.4928, 0.725, 0.8,
    ]);
    expect([500, 1000, 1500].map((step) => Number(sparsityAt(schedule({}), step).toFixed(10)))).toEqual([
      0.6734375, 0.7625, 0.7953125,
    ]);
  });

  it("stays at its ends before it begins and after it has ended", () => {
    const short = schedule({ begin: 100, end: 110 });
    expect([0, 99, 111, 5000].map((step) => sparsityAt(short, step))).toEqual([0.5, 0.5, 0.8, 0.8]);
    expect(sparsityAt(schedule({ begin: 0, end: 0 }), 0)).toBe(0.8);
  });

  it("makes masks anew at its frequency, and always at its end", () => {
    const updates = Array.from({ length: 300 }, (_, step) => step).filter((step) =>
      updatesAt(schedule({ begin: 50, end: 270 }), step),
    );
    expect(updates).toEqual([50, 150, 250, 270]);
  });
});

const WEIGHTS = new Float32Array([0.5, -0.1, 0.3, -0.9, 0.05, 0.7, -0.2, 0.4]);

describe("Masks", () => {
  it("keep the weights of the largest magnitude", () => {
    expect(Array.from(magnitudeMask(WEIGHTS, 0.5))).toEqual([1, 0, 0, 1, 0, 1, 0, 1]);
    expect(Array.from(magnitudeMask(WEIGHTS, 0.75))).toEqual([0, 0, 0, 1, 0, 1, 0, 0]);
    expect(Array.from(magnitudeMask(WEIGHTS, 0.999))).toEqual([0, 0, 0, 1, 0, 0, 0, 0]);
  });

  it("keep two of each four inputs of an output", () => {
    expect(Array.from(patternMask({ shape: [8, 1], data: WEIGHTS }, 2, 4))).toEqual([1, 0, 0, 1, 0, 1, 0, 1]);
    // Two outputs side by side: columns, not rows, are the groups.
    const columns = new Float32Array([4, 1, 3, 2, 2, 3, 1, 4]);
    expect(Array.from(patternMask({ shape: [4, 2], data: columns }, 2, 4))).toEqual([1, 0, 1, 0, 0, 1, 0, 1]);
  });

  it("keep n of every m, whatever the numbers", () => {
    assert(
      property(float32Array({ minLength: 1, maxLength: 60, noNaN: true }), integer({ min: 1, max: 4 }), (data, n) => {
        const mask = patternMask({ shape: [data.length, 1], data }, n, 4);
        for (let start = 0; start < data.length; start += 4) {
          const kept = mask.subarray(start, start + 4).reduce((sum, value) => sum + value, 0);
          expect(kept).toBe(Math.min(n, data.length - start));
        }
      }),
    );
  });

  it.each([
    ["dense/kernel", [3, 4], true],
    ["lstm/recurrent_kernel", [3, 12], true],
    ["embedding/embeddings", [9, 3], true],
    ["separable/pointwise_kernel", [1, 1, 3, 4], true],
    ["conv/depthwise_kernel", [3, 3, 8, 1], false],
    ["dense/bias", [4], false],
    ["norm/gamma", [4], false],
  ])("are made for %s of shape %p: %s", (name, shape, expected) => {
    expect(isSparsable(name, shape)).toBe(expected);
  });
});
