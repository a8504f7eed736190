/** Growing, jittered pauses between attempts of one thing. */
export class Backoff {
  readonly #base: number;
  readonly #max: number;
  readonly #random: () => number;
  #failures = 0;

  /** Seconds. */
  constructor(baseSeconds: number, maxSeconds: number, random: () => number = Math.random) {
    this.#base = baseSeconds;
    this.#max = maxSeconds;
    this.#random = random;
  }

  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds to wait after one more failure: half of it certain, half by chance. */
  next(): number {
    const seconds = Math.min(this.#max, this.#base * 2 ** this.#failures);
    this.#failures++;
    return seconds * 1000 * (0.5 + 0.5 * this.#random());
  }

  reset(): void {
    this.#failures = 0;
  }
}
