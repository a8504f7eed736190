/** Numbers as integers of 8 bits: x = (q - zeroPoint) scale. Halves are rounded to even, as ONNX and numpy do. */
import { roundHalfToEven } from "../../formats/quantization.ts";

export interface Range {
  readonly min: number;
  readonly max: number;
}

export interface Affine {
  readonly scale: number;
  readonly zeroPoint: number;
}

const LIMITS = { uint8: { low: 0, high: 255 }, int8: { low: -128, high: 127 } } as const;
export type Integer = keyof typeof LIMITS;

/** Scale and zero point that hold the range, widened to hold zero exactly. */
export function affineOf({ min, max }: Range, type: Integer): Affine {
  const { low, high } = LIMITS[type];
  const [from, to] = [Math.min(min, 0), Math.max(max, 0)];
  // float32, as the file has it.
  const scale = Math.fround((to - from) / (high - low));
  if (!(scale > 0)) return { scale: 1, zeroPoint: 0 };
  const zeroPoint = roundHalfToEven(low - from / scale);
  return { scale, zeroPoint: Math.min(high, Math.max(low, zeroPoint)) };
}

export function quantize(
  values: ArrayLike<number>,
  { scale, zeroPoint }: Affine,
  type: Integer,
): Int8Array | Uint8Array {
  const { low, high } = LIMITS[type];
  const quantized = type === "uint8" ? new Uint8Array(values.length) : new Int8Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const q = roundHalfToEven(Math.fround((values[index] ?? 0) / scale)) + zeroPoint;
    quantized[index] = Math.min(high, Math.max(low, q));
  }
  return quantized;
}

export interface QuantizedWeights {
  /** Within -127 to 127. */
  readonly data: Int8Array;
  /** Of each channel. */
  readonly scales: Float32Array;
}

/** Symmetric, each channel by itself. `channelOf` tells a value's channel by its place. */
export function quantizeWeights(
  values: ArrayLike<number>,
  channels: number,
  channelOf: (index: number) => number,
): QuantizedWeights {
  const largest = new Float64Array(channels);
  for (let index = 0; index < values.length; index++) {
    const channel = channelOf(index);
    largest[channel] = Math.max(largest[channel] ?? 0, Math.abs(values[index] ?? 0));
  }
  const scales = largest.map((size) => (size === 0 ? 1 : size / 127));
  const data = new Int8Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const q = roundHalfToEven((values[index] ?? 0) / (scales[channelOf(index)] ?? 1));
    data[index] = Math.min(127, Math.max(-127, q));
  }
  return { data, scales: Float32Array.from(scales) };
}
