/** Ranges that leave rare values out. */
import type { Range } from "./quantization.ts";

export const BINS = 2048;

/** How many values lie in each of equally wide parts of the range. */
export interface Histogram {
  readonly range: Range;
  readonly counts: Float64Array;
}

export const newHistogram = (range: Range): Histogram => ({ range, counts: new Float64Array(BINS) });

/** Cuts what lies outside the middle `percentile` percent; where no value is negative, at the upper end only. */
export function percentileRange({ range, counts }: Histogram, percentile: number): Range {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const outside = 1 - percentile / 100;
  const below = range.min >= 0 ? 0 : (total * outside) / 2;
  const above = range.min >= 0 ? total * outside : (total * outside) / 2;
  const width = (range.max - range.min) / counts.length;
  let first = 0;
  for (let passed = counts[0] ?? 0; passed <= below && first < counts.length - 1; passed += counts[first] ?? 0) first++;
  let last = counts.length - 1;
  for (let passed = counts[last] ?? 0; passed <= above && last > first; passed += counts[last] ?? 0) last--;
  return { min: range.min + first * width, max: range.min + (last + 1) * width };
}

/** Levels that a positive value can have. */
const LEVELS = { signed: 128, unsigned: 256 };
/** Bins that hold fewer values on average would tell of chance more than of the model. */
const FEWEST_IN_BIN = 64;
/** Thresholds that are compared. */
const STEPS = 112;

/**
 * The largest size of a value (threshold) for which the values, cut there and rounded to as many levels as integers of
 * 8 bits have, tell the most about those that were observed (Migacz, 8-bit inference with TensorRT, 2017).
 */
export function entropyRange(histogram: Histogram): Range {
  const { min, max } = histogram.range;
  const levels = min < 0 ? LEVELS.signed : LEVELS.unsigned;
  const sizes = bySize(histogram, 2 * levels);
  const largest = Math.max(-min, max);
  let best = { divergence: Infinity, bins: sizes.length };
  for (let bins = levels; bins <= sizes.length; bins += Math.max(1, Math.floor(sizes.length / STEPS))) {
    const divergence = divergenceAt(sizes, bins, levels);
    // Of equal ones the widest: it cuts the least.
    if (divergence <= best.divergence) best = { divergence, bins };
  }
  const threshold = (best.bins / sizes.length) * largest;
  return { min: Math.max(min, -threshold), max: Math.min(max, threshold) };
}

/** The same by the size of the values, without sign, in no more bins than the values are enough for. */
function bySize({ range: { min, max }, counts }: Histogram, fewest: number): Float64Array {
  const largest = Math.max(-min, max);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const enough = 2 ** Math.floor(Math.log2(Math.max(1, total / FEWEST_IN_BIN)));
  const sizes = new Float64Array(Math.min(counts.length, Math.max(fewest, enough)));
  const width = (max - min) / counts.length;
  for (const [bin, count] of counts.entries()) {
    const size = Math.abs(min + (bin + 0.5) * width);
    const at = largest > 0 ? Math.min(sizes.length - 1, Math.floor((size / largest) * sizes.length)) : 0;
    sizes[at] = (sizes[at] ?? 0) + count;
  }
  // What ReLU has cut is exactly zero, whatever the threshold: it would hide all else.
  sizes[0] = sizes[1] ?? 0;
  return sizes;
}

/** Kullback-Leibler divergence of the cut values from their rounding. */
function divergenceAt(sizes: Float64Array, bins: number, levels: number): number {
  const cut = sizes.slice(0, bins);
  const outside = sizes.subarray(bins).reduce((sum, count) => sum + count, 0);
  const rounded = new Float64Array(bins);
  for (let level = 0; level < levels; level++) {
    const [from, to] = [Math.floor((level * bins) / levels), Math.floor(((level + 1) * bins) / levels)];
    const inside = cut.subarray(from, to);
    const filled = inside.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
    const mean = filled === 0 ? 0 : inside.reduce((sum, count) => sum + count, 0) / filled;
    for (let bin = from; bin < to; bin++) if ((cut[bin] ?? 0) > 0) rounded[bin] = mean;
  }
  cut[bins - 1] = (cut[bins - 1] ?? 0) + outside;
  const [whole, all] = [cut, rounded].map((counts) => counts.reduce((sum, count) => sum + count, 0));
  if (whole === undefined || all === undefined || whole === 0 || all === 0) return Infinity;
  let divergence = 0;
  for (let bin = 0; bin < bins; bin++) {
    const p = (cut[bin] ?? 0) / whole;
    const q = (rounded[bin] ?? 0) / all;
    // What rounding makes impossible counts as very unlikely.
    if (p > 0) divergence += p * Math.log(p / Math.max(q, 1e-9));
  }
  return divergence;
}
