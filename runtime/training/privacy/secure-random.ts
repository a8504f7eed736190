/** Random numbers that nobody can foretell: what hides an example must not come from a seed that is known. */
import { randomFillSync } from "node:crypto";

/** Fills the array with random bits. */
export type RandomBits = (array: Uint32Array<ArrayBuffer>) => void;

export const secureBits: RandomBits = (array) => void randomFillSync(array);

const TWO_32 = 2 ** 32;

/** `count` numbers of a normal distribution with mean 0 (Box and Muller, 1958). */
export function gaussian(count: number, standardDeviation: number, bits: RandomBits = secureBits): Float32Array {
  const pairs = Math.ceil(count / 2);
  const words = new Uint32Array(4 * pairs);
  bits(words);
  const values = new Float32Array(count);
  for (let pair = 0; pair < pairs; pair += 1) {
    const [a = 0, b = 0, c = 0, d = 0] = words.subarray(4 * pair, 4 * pair + 4);
    // 53 bits each; the first is never 0, which has no logarithm.
    const first = ((a >>> 5) * 2 ** 26 + (b >>> 6) + 1) / 2 ** 53;
    const second = ((c >>> 5) * 2 ** 26 + (d >>> 6)) / 2 ** 53;
    const radius = standardDeviation * Math.sqrt(-2 * Math.log(first));
    values[2 * pair] = radius * Math.cos(2 * Math.PI * second);
    if (2 * pair + 1 < count) values[2 * pair + 1] = radius * Math.sin(2 * Math.PI * second);
  }
  return values;
}

/** Poisson sampling: each of the numbers 0 to `count` - 1 with probability `rate`, independently. */
export function poissonSample(count: number, rate: number, bits: RandomBits = secureBits): Uint32Array {
  const words = new Uint32Array(count);
  bits(words);
  const limit = rate * TWO_32;
  const chosen = new Uint32Array(count);
  let size = 0;
  words.forEach((word, index) => {
    if (word < limit) chosen[size++] = index;
  });
  return chosen.slice(0, size);
}
