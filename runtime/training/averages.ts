/** Means over examples, from means over batches of different sizes. */
export class Averages {
  readonly #sums = new Map<string, number>();
  #count = 0;

  add(values: Readonly<Record<string, number>>, count: number): void {
    for (const [name, value] of Object.entries(values)) {
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + value * count);
    }
    this.#count += count;
  }

  values(): Record<string, number> {
    return Object.fromEntries([...this.#sums].map(([name, sum]) => [name, sum / this.#count]));
  }
}
