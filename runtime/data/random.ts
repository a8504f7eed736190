/** Seeded random numbers: the same seed gives the same numbers on every machine. */
import { createHash } from "node:crypto";

/** xoshiro128**, started from a seed and the name of what the numbers are for. */
export class Random {
  readonly #state: Uint32Array;

  /** Streams of different purposes are independent of each other. */
  constructor(seed: number, ...purpose: (string | number)[]) {
    const digest = createHash("sha256")
      .update(JSON.stringify([seed, ...purpose]))
      .digest();
    this.#state = Uint32Array.from({ length: 4 }, (_, i) => digest.readUInt32LE(4 * i));
  }

  /** A whole number from 0 to 2^32 - 1. */
  next(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.#state;
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const [c1, d1] = [c ^ a, d ^ b];
    this.#state.set([a ^ d1, b ^ c1, c1 ^ (b << 9), (d1 << 11) | (d1 >>> 21)]);
    return result;
  }

  /** A whole number from 0 to `limit` - 1, each equally likely; `limit` at most 2^32. */
  below(limit: number): number {
    const usable = 2 ** 32 - (2 ** 32 % limit);
    let value = this.next();
    while (value >= usable) value = this.next();
    return value % limit;
  }

  /** The numbers 0 to `count` - 1 in random order. */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i -= 1) {
      const j = this.below(i + 1);
      const [left = 0, right = 0] = [order[i], order[j]];
      order[i] = right;
      order[j] = left;
    }
    return order;
  }
}

/** A seed for tfjs, from 1 to 2^31 - 1: tfjs takes 0 for "no seed". */
export function derivedSeed(seed: number, ...purpose: (string | number)[]): number {
  return 1 + new Random(seed, ...purpose).below(2 ** 31 - 1);
}
