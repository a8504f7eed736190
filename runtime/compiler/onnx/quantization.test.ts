import * as fc from "fast-check";
import { affineOf, quantize, quantizeWeights } from "./quantization.ts";

const x = [-1, -0.5, 0, 0.25, 1.5];
const back = (q: ArrayLike<number>, scale: number, zeroPoint: number) =>
  Array.from(q, (value) => (value - zeroPoint) * scale);

it("quantizes a tensor with a zero point", () => {
  const affine = affineOf({ min: -1, max: 1.5 }, "int8");
  expect(affine.zeroPoint).toBe(-26);
  expect([...quantize(x, affine, "int8")]).toEqual([-128, -77, -26, 0, 127]);
  const unsigned = affineOf({ min: -1, max: 1.5 }, "uint8");
  expect(unsigned.scale).toBeCloseTo(0.00980392156862745, 9);
  expect([...quantize(x, unsigned, "uint8")]).toEqual([0, 51, 102, 128, 255]);
});

it("quantizes a tensor symmetrically", () => {
  const { data, scales } = quantizeWeights(x, 1, () => 0);
  expect(scales[0]).toBeCloseTo(0.011811023622, 9);
  expect([...data]).toEqual([-85, -42, 0, 21, 127]);
  const expected = [-1.0039370079, -0.4960629921, 0, 0.2480314961, 1.5];
  back(data, scales[0] ?? 0, 0).forEach((value, index) => expect(value).toBeCloseTo(expected[index] ?? NaN, 6));
});

it("quantizes each column by itself, which errs less than all of them together", () => {
  const weights = [0.1, 2, -0.2, 1, 0.05, -4];
  const columns = quantizeWeights(weights, 2, (index) => index % 2);
  expect([...columns.data]).toEqual([63, 64, -127, 32, 32, -127]);
  expect(columns.scales[0]).toBeCloseTo(0.0015748031, 9);
  expect(columns.scales[1]).toBeCloseTo(0.031496063, 8);
  const whole = quantizeWeights(weights, 1, () => 0);
  expect([...whole.data]).toEqual([3, 64, -6, 32, 2, -127]);
  const error = (q: Int8Array, scaleOf: (index: number) => number) =>
    weights.reduce((sum, value, index) => sum + (value - (q[index] ?? 0) * scaleOf(index)) ** 2, 0) / weights.length;
  expect(error(columns.data, (index) => columns.scales[index % 2] ?? 0)).toBeCloseTo(5.1796e-5, 8);
  expect(error(whole.data, () => whole.scales[0] ?? 0)).toBeCloseTo(1.0512e-4, 8);
});

it("holds zero exactly, also where the range lies beside it", () => {
  expect(affineOf({ min: 1, max: 3 }, "uint8")).toEqual({ scale: Math.fround(3 / 255), zeroPoint: 0 });
  expect(affineOf({ min: -3, max: -1 }, "uint8").zeroPoint).toBe(255);
  expect(affineOf({ min: 0, max: 0 }, "uint8")).toEqual({ scale: 1, zeroPoint: 0 });
});

it("errs by at most half a step within the range", () => {
  const range = fc.tuple(
    fc.float({ min: -100, max: 100, noNaN: true }),
    fc.float({ min: -100, max: 100, noNaN: true }),
  );
  fc.assert(
    fc.property(range, fc.double({ min: 0, max: 1, noNaN: true }), ([a, b], share) => {
      const [min, max] = [Math.min(a, b, 0), Math.max(a, b, 0)];
      const value = min + (max - min) * share;
      const affine = affineOf({ min, max }, "uint8");
      const [found = NaN] = back(quantize([value], affine, "uint8"), affine.scale, affine.zeroPoint);
      // The zero point is rounded, too, so that the ends of the range may lie half a step outside.
      expect(Math.abs(found - value)).toBeLessThanOrEqual(affine.scale * 1.001);
    }),
  );
});
