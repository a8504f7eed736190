import { assert, float32Array, property } from "fast-check";
import { type Quantized, quantizeUint16, quantizeUint8, roundHalfToEven, toFloat16 } from "./quantization.ts";

const restored = ({ data, min, scale }: Quantized) => Array.from<number, number>(data, (q) => q * scale + min);

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
  const values = [127.5, 25.5, -25.5, 0.5, -0.5, 1.5, -1.5, 2.4];
  expect(values.map(roundHalfToEven)).toEqual([128, 26, -26, 0, 0, 2, -2, 2]);
});

it("refuses weights that are not finite", () => {
  expect(() => quantizeUint8(new Float32Array([1, NaN]))).toThrow(RangeError);
  expect(() => quantizeUint8(new Float32Array([1, Infinity]))).toThrow(RangeError);
});

it("stores sixteen bits with an error of half a step of 1/65535 of the range", () => {
  const values = new Float32Array([-1, -0.5, 0, 0.25, 1.5]);
  const quantized = quantizeUint16(values);
  expect(quantized.scale).toBeCloseTo(2.5 / 65535, 15);
  expect(quantized.data).toBeInstanceOf(Uint16Array);
  restored(quantized).forEach((value, index) =>
    expect(Math.abs(value - (values[index] ?? NaN))).toBeLessThanOrEqual(quantized.scale * 1.0001),
  );
  expect(restored(quantized)[2]).toBe(0);
});

const bits = (value: number) => toFloat16(new Float32Array([value]))[0];

/** The number that these bits of float16 mean. */
function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}

it("writes float16 as IEEE 754 has it, to the nearest number, halves to the even one", () => {
  expect([0, 1, -2, 65504, 2 ** -24, 2 ** -14, 0.333_251_953_125].map(bits)).toEqual([
    0x0000, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x3555,
  ]);
  expect([1 + 2 ** -11, 1 + 3 * 2 ** -11, 2047.5 / 1024].map(bits)).toEqual([0x3c00, 0x3c02, 0x4000]);
  assert(
    property(float32Array({ minLength: 1, maxLength: 32, min: -65504, max: 65504, noNaN: true }), (values) => {
      toFloat16(values).forEach((half, index) => {
        const value = values[index] ?? NaN;
        expect(Math.abs(float16(half) - value)).toBeLessThanOrEqual(Math.max(Math.abs(value) * 2 ** -11, 2 ** -25));
      });
    }),
  );
});

it("refuses numbers that float16 does not hold", () => {
  expect(() => toFloat16(new Float32Array([65505]))).toThrow(/beyond 65504/);
  expect(() => toFloat16(new Float32Array([NaN]))).toThrow(RangeError);
});
