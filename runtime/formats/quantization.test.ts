import { assert, float32Array, property } from "fast-check";
import { type Quantized, quantizeUint8, roundHalfToEven } from "./quantization.ts";

const restored = ({ data, min, scale }: Quantized) => Array.from(data, (q) => q * scale + min);

it("gives the values of the tfjs converter", () => {
  const quantized = quantizeUint8(new Float32Array([-1, -0.5, 0, 0.25, 1.5]));
  expect(Array.from(quantized.data)).toEqual([0, 51, 102, 128, 255]);
  expect(quantized.scale).toBeCloseTo(0.00980392156862745, 12);
  expect(quantized.min).toBeCloseTo(-1, 12);
  [-1, -0.5, 0, 0.2549019608, 1.5].forEach((value, index) => expect(restored(quantized)[index]).toBeCloseTo(value, 9));
});

it("takes the scale from the range", () => {
  expect(quantizeUint8(new Float32Array([-3, 3])).scale).toBeCloseTo(6 / 255, 12);
  expect(quantizeUint8(new Float32Array([-3, -1])).scale).toBeCloseTo(2 / 255, 12);
});

it("keeps constants and zero exact", () => {
  expect(restored(quantizeUint8(new Float32Array([0.3, 0.3])))).toEqual([Math.fround(0.3), Math.fround(0.3)]);
  expect(restored(quantizeUint8(new Float32Array([0, 0])))).toEqual([0, 0]);
  const mixed = quantizeUint8(new Float32Array([-0.37, 0, 0.91]));
  expect(restored(mixed)[1]).toBe(0);
});

const weightsFrom = (min: number) => float32Array({ minLength: 1, maxLength: 64, min, max: 1000, noNaN: true });

it("keeps zero exact, and every other value within one step, as zero's level shifts the range", () => {
  assert(
    property(weightsFrom(-1000), (values) => {
      const withZero = Float32Array.from([...values, 0]);
      const quantized = quantizeUint8(withZero);
      const back = restored(quantized);
      expect(back.at(-1)).toBe(0);
      withZero.forEach((value, index) => {
        expect(Math.abs(value - (back[index] ?? NaN))).toBeLessThanOrEqual(quantized.scale * 1.0001);
      });
    }),
  );
});

it("keeps every value within half a step when the range has no zero", () => {
  assert(
    property(weightsFrom(1), (values) => {
      const quantized = quantizeUint8(values);
      const back = restored(quantized);
      values.forEach((value, index) => {
        expect(Math.abs(value - (back[index] ?? NaN))).toBeLessThanOrEqual(quantized.scale * 0.5001);
      });
    }),
  );
});

it("rounds halves to the even neighbour", () => {
  expect([127.5, 25.5, -25.5, 0.5, 1.5, 2.4].map(roundHalfToEven)).toEqual([128, 26, -26, 0, 2, 2]);
});

it("refuses weights that are not finite", () => {
  expect(() => quantizeUint8(new Float32Array([1, NaN]))).toThrow(RangeError);
  expect(() => quantizeUint8(new Float32Array([1, Infinity]))).toThrow(RangeError);
});
