/** Storing float32 weights as 8-bit integers, in the form that tfjs reads: value = q * scale + min. */

export interface Quantized {
  data: Uint8Array;
  min: number;
  scale: number;
}

const LEVELS = 255;

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
 * Affine quantization of one tensor over its range. Zero stays exactly zero when the range contains it, and a
 * constant tensor stays exact. The error of a value is at most half a step; at the ends of a range that contains zero it
 * is at most one, as zero's own level shifts the range. Throws RangeError for values that
 * are not finite.
 */
export function quantizeUint8(values: Float32Array): Quantized {
  const [min, max] = range(values);
  if (!Number.isFinite(max - min) || values.some((value) => !Number.isFinite(value))) {
    throw new RangeError("weights that are not finite cannot be quantized");
  }
  if (min === max) return { data: new Uint8Array(values.length), min, scale: 1 };
  const scale = (max - min) / LEVELS;
  // Zero gets a level of its own, which shifts the range by less than half a step.
  const start = min <= 0 && max >= 0 ? -roundHalfToEven(-min / scale) * scale : min;
  const data = Uint8Array.from(values, (value) =>
    Math.min(LEVELS, Math.max(0, roundHalfToEven((value - start) / scale))),
  );
  return { data, min: start === 0 ? 0 : start, scale };
}
