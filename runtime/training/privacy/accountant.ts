/**
 * What a training with DP-SGD gives away: Rényi differential privacy of the Poisson-sampled Gaussian mechanism.
 * Sources: Mironov, Talwar, Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism" (2019), integer orders;
 * conversion to epsilon by Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), proposition 12.
 */

/** One step of the mechanism. */
export interface Mechanism {
  /** Probability with which each example is in a step, from 0 to 1. */
  samplingRate: number;
  /** Standard deviation of the noise divided by the clipping norm, above 0. */
  noiseMultiplier: number;
}

const ORDERS = [...Array.from({ length: 63 }, (_, i) => i + 2), 80, 96, 128, 192, 256, 384, 512];

function logSumExp(values: readonly number[]): number {
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** Rényi divergence of one step at the whole number `order`, 2 or more. */
export function renyiOfStep({ samplingRate: q, noiseMultiplier: sigma }: Mechanism, order: number): number {
  if (q === 0) return 0;
  if (q === 1) return order / (2 * sigma ** 2);
  const terms: number[] = [];
  let logBinomial = 0;
  for (let i = 0; i <= order; i += 1) {
    if (i > 0) logBinomial += Math.log(order - i + 1) - Math.log(i);
    terms.push(logBinomial + (order - i) * Math.log1p(-q) + i * Math.log(q) + (i * i - i) / (2 * sigma ** 2));
  }
  // The sum is at least 1; rounding may say a little less.
  return Math.max(0, logSumExp(terms)) / (order - 1);
}

function epsilonAt(order: number, renyi: number, delta: number): number {
  return renyi + Math.log((order - 1) / order) - (Math.log(delta) + Math.log(order)) / (order - 1);
}

/** Counts what the steps of one mechanism give away together. */
export class Accountant {
  /** Rényi divergence of one step at each order. */
  readonly #renyi: readonly number[];
  readonly #delta: number;

  /** `delta`: probability with which the guarantee may fail, above 0 and below 1. */
  constructor(mechanism: Mechanism, delta: number) {
    this.#renyi = ORDERS.map((order) => renyiOfStep(mechanism, order));
    this.#delta = delta;
  }

  /** Epsilon of (epsilon, delta)-differential privacy after so many steps. */
  epsilon(steps: number): number {
    if (steps === 0) return 0;
    const bounds = ORDERS.map((order, index) => epsilonAt(order, steps * (this.#renyi[index] ?? 0), this.#delta));
    return Math.max(0, Math.min(...bounds));
  }

  /** The most steps, up to `limit`, after which epsilon is at most `most`. */
  stepsWithin(most: number, limit: number): number {
    let [low, high] = [0, limit];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.epsilon(middle) <= most) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
