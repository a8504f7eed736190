import { assert, integer, nat, property } from "fast-check";
import { type Dataset, split } from "./dataset.ts";
import { Random, derivedSeed } from "./random.ts";

it("gives every number of a permutation once, the same for the same seed and purpose", () => {
  assert(
    property(nat(), integer({ min: 1, max: 200 }), (seed, count) => {
      const order = new Random(seed, "order", 1).permutation(count);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
      expect(new Random(seed, "order", 1).permutation(count)).toEqual(order);
    }),
  );
});

it("gives other numbers for another seed or purpose", () => {
  const orders = [new Random(1, "a"), new Random(2, "a"), new Random(1, "b")].map((random) =>
    random.permutation(50).join(),
  );
  expect(new Set(orders).size).toBe(3);
});

it("spreads evenly", () => {
  const random = new Random(7);
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < 50_000; i += 1) {
    const value = random.below(5);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
});

it("never derives the seed 0, which tfjs takes for none", () => {
  assert(
    property(nat(), nat(), (seed, step) => {
      const derived = derivedSeed(seed, "dropout", step);
      expect(derived).toBeGreaterThanOrEqual(1);
      expect(derived).toBeLessThan(2 ** 31);
    }),
  );
});

function numbered(count: number): Dataset {
  const features = Float32Array.from({ length: 2 * count }, (_, i) => i);
  return { features, labels: Float32Array.from({ length: count }, (_, i) => i), exampleShape: [2], count, source: "x" };
}

it("splits so that every example is in exactly one part, with its own label", () => {
  const { train, validation } = split(numbered(50), 0.2, 3);
  expect([train.count, validation.count]).toEqual([40, 10]);
  expect(new Set([...train.labels, ...validation.labels]).size).toBe(50);
  for (const part of [train, validation]) {
    part.labels.forEach((label, i) =>
      expect([part.features[2 * i], part.features[2 * i + 1]]).toEqual([2 * label, 2 * label + 1]),
    );
  }
});

it("rejects a split that leaves one part empty", () => {
  expect(() => split(numbered(3), 0.1, 1)).toThrow(/leaves one part empty; change spec.dataset.validation.split/);
});
