import * as fc from "fast-check";
import { above, bucketOf, type Histogram, merged, quantileOf, total } from "./histogram.ts";

function of(latencies: readonly number[]): Histogram {
  return merged(latencies.map((seconds) => ({ [bucketOf(seconds)]: 1 })));
}

const latency = fc.double({ min: 0.0001, max: 60, noNaN: true });

it("tells a quantile that is at most 9 % above the true one, and never below", () => {
  fc.assert(
    fc.property(
      fc.array(latency, { minLength: 1, maxLength: 300 }),
      fc.constantFrom(0.5, 0.9, 0.99),
      (all, quantile) => {
        const sorted = all.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(quantile * all.length - 1e-9) - 1)] ?? 0;
        const told = quantileOf(of(all), quantile) ?? 0;
        expect(told).toBeGreaterThanOrEqual(exact * 0.999_999);
        expect(told).toBeLessThanOrEqual(exact * 2 ** (1 / 8) * 1.000_001);
      },
    ),
  );
});

it("counts as slower only what surely was", () => {
  fc.assert(
    fc.property(fc.array(latency, { maxLength: 300 }), latency, (all, bound) => {
      const told = above(of(all), bound);
      expect(told).toBeLessThanOrEqual(all.filter((seconds) => seconds > bound * 0.999_999).length);
      expect(told).toBeGreaterThanOrEqual(all.filter((seconds) => seconds > bound * 1.2).length);
    }),
  );
});

it("adds up the requests of many pods", () => {
  fc.assert(
    fc.property(fc.array(fc.array(latency, { maxLength: 20 })), (pods) => {
      expect(total(merged(pods.map(of)))).toBe(pods.flat().length);
    }),
  );
});

it("knows no quantile of nothing", () => {
  expect(quantileOf({}, 0.99)).toBeUndefined();
});
