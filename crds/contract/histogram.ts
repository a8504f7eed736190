/** Latencies of many requests, in a form that pods report and the operator adds up. Pure. */
import { z } from "zod";

/** Upper edge of the first bucket, seconds. */
const FIRST_SECONDS = 0.0001;
/** Each bucket reaches 2^(1/8), about 9 %, further than the one before. */
const PER_DOUBLING = 8;
const LAST_BUCKET = 160;

/** Requests by bucket; bucket n ends at 0.1 ms · 2^(n/8). Only buckets that hold something are there. */
export const Histogram = z.record(z.string().regex(/^\d{1,3}$/), z.int().min(0).max(Number.MAX_SAFE_INTEGER));
export type Histogram = z.output<typeof Histogram>;

/** The bucket of a latency. */
export function bucketOf(seconds: number): number {
  if (!(seconds > FIRST_SECONDS)) return 0;
  return Math.min(LAST_BUCKET, Math.ceil(PER_DOUBLING * Math.log2(seconds / FIRST_SECONDS) - 1e-9));
}

/** Where a bucket ends, seconds. */
function upperEdge(bucket: number): number {
  return FIRST_SECONDS * 2 ** (bucket / PER_DOUBLING);
}

export function merged(histograms: readonly Histogram[]): Histogram {
  const sum: Histogram = {};
  for (const histogram of histograms) {
    for (const [bucket, count] of Object.entries(histogram)) sum[bucket] = (sum[bucket] ?? 0) + count;
  }
  return sum;
}

export function total(histogram: Histogram): number {
  return Object.values(histogram).reduce((sum, count) => sum + count, 0);
}

/** Requests that surely took longer: those of buckets that begin at `seconds` or later. */
export function above(histogram: Histogram, seconds: number): number {
  return Object.entries(histogram)
    .filter(([bucket]) => Number(bucket) > 0 && upperEdge(Number(bucket) - 1) >= seconds * (1 - 1e-9))
    .reduce((sum, [, count]) => sum + count, 0);
}

/** The latency, in seconds, that the share `quantile` of the requests did not exceed; at most 9 % too high. Undefined: no requests. */
export function quantileOf(histogram: Histogram, quantile: number): number | undefined {
  const count = total(histogram);
  if (count === 0) return undefined;
  let left = quantile * count;
  const buckets = Object.entries(histogram)
    .map(([bucket, held]) => [Number(bucket), held] as const)
    .toSorted(([a], [b]) => a - b);
  for (const [bucket, held] of buckets) {
    left -= held;
    if (left <= 1e-9) return upperEdge(bucket);
  }
  return undefined;
}
