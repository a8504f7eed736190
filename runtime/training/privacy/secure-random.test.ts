import { Random } from "../../data/random.ts";
import { type RandomBits, gaussian, poissonSample } from "./secure-random.ts";

/** Repeatable, so that what is asserted of a distribution holds each time. */
function seededBits(seed: number): RandomBits {
  const random = new Random(seed, "test");
  return (array) => array.forEach((_, index) => (array[index] = random.next()));
}

function moments(values: Float32Array) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

it("noise has the mean, the deviation and the tails of a normal distribution", () => {
  const values = gaussian(100_001, 2, seededBits(1));
  const { mean, deviation } = moments(values);
  expect(Math.abs(mean)).toBeLessThan(0.02);
  expect(deviation).toBeCloseTo(2, 1);
  const share = (limit: number) => values.filter((value) => Math.abs(value) > limit).length / values.length;
  expect(share(2)).toBeCloseTo(0.3173, 2);
  expect(share(4)).toBeCloseTo(0.0455, 2);
  expect(share(6)).toBeCloseTo(0.0027, 3);
});

it("noise is finite at the ends of the range of its bits", () => {
  for (const word of [0, 0xffffffff])
    expect([...gaussian(3, 1, (array) => array.fill(word))].every(Number.isFinite)).toBe(true);
});

it("each example is sampled with the same probability, so that the size of a sample varies", () => {
  const bits = seededBits(2);
  const sizes = Array.from({ length: 400 }, () => poissonSample(1000, 0.05, bits).length);
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  const variance = sizes.reduce((sum, size) => sum + (size - mean) ** 2, 0) / sizes.length;
  expect(mean).toBeCloseTo(50, -1);
  expect(variance / (1000 * 0.05 * 0.95)).toBeGreaterThan(0.7);
  expect(variance / (1000 * 0.05 * 0.95)).toBeLessThan(1.3);
});

it("a rate of 1 takes all, in order; two samples of the system's own source differ", () => {
  expect([...poissonSample(5, 1)]).toEqual([0, 1, 2, 3, 4]);
  expect([...poissonSample(10_000, 0.5)]).not.toEqual([...poissonSample(10_000, 0.5)]);
});
