/** Storing float32 weights in fewer bits, in the forms that tfjs reads: integers q with q * scale + min, or float16. */

export interface Quantized<Data = Uint8Array | Uint16Array> {
  data: Data;
  min: number;
  scale: number;
}

/** Largest number that float16 holds. */
export const FLOAT16_MAX = 65504;

/** Halves go to the even neighbour, as numpy and TensorFlow round, so that errors do not lean to one side. */
export function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Smallest and largest value; [0, 0] of no values. */
function range(values: Float32Array): [number, number] {
  let min = values[0] ?? 0;
  let max = min;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [min, max];
}

/**
 * Affine quantization of one tensor over its range, onto 0 to `levels`. Zero stays exactly zero when the range contains
 * it, and a constant tensor stays exact. The error of a value is at most half a step; at the ends of a range that
 * contains zero it is at most one, as zero's own level shifts the range. Throws RangeError for values that are not finite.
 */
function quantizeAffine<Data extends Uint8Array | Uint16Array>(
  values: Float32Array,
  levels: number,
  empty: (length: number) => Data,
): Quantized<Data> {
  const [min, max] = range(values);
  if (!Number.isFinite(max - min) || values.some((value) => !Number.isFinite(value))) {
    throw new RangeError("weights that are not finite cannot be quantized");
  }
  const data = empty(values.length);
  if (min === max) return { data, min, scale: 1 };
  const scale = (max - min) / levels;
  // Zero gets a level of its own, which shifts the range by less than half a step.
  const start = min <= 0 && max >= 0 ? -roundHalfToEven(-min / scale) * scale : min;
  values.forEach((value, index) => {
    data[index] = Math.min(levels, Math.max(0, roundHalfToEven((value - start) / scale)));
  });
  return { data, min: start === 0 ? 0 : start, scale };
}

/** A byte for each value. As quantizeAffine. */
export function quantizeUint8(values: Float32Array): Quantized<Uint8Array> {
  return quantizeAffine(values, 255, (length) => new Uint8Array(length));
}

/** Two bytes for each value. As quantizeAffine. */
export function quantizeUint16(values: Float32Array): Quantized<Uint16Array> {
  return quantizeAffine(values, 65535, (length) => new Uint16Array(length));
}

/** Bits of `value` as float16, halves rounded to the even neighbour (IEEE 754 binary16). */
function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  // Below 2^-14 numbers are multiples of 2^-24, and their bits count these.
  if (size < 2 ** -14) return sign | roundHalfToEven(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  // A mantissa that rounds up to 1024 carries into the exponent, as it should.
  return sign | (((exponent + 14) << 10) + roundHalfToEven((size / 2 ** exponent) * 1024));
}

/** Throws RangeError for values that float16 does not hold. */
export function toFloat16(values: Float32Array): Uint16Array {
  if (!values.every((value) => Math.abs(value) <= FLOAT16_MAX)) {
    throw new RangeError(`weights beyond ${FLOAT16_MAX}, or not finite, cannot be stored as float16`);
  }
  return Uint16Array.from(values, float16Bits);
}
