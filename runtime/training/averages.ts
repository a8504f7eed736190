/** What averages are made of; plain data. */
export interface Sums {
  sums: Record<string, number>;
  count: number;
}

/** Means over examples, from means over batches of different sizes. */
export class Averages {
  readonly #sums: Map<string, number>;
  #count: number;

  /** Goes on from `sums`. */
  constructor({ sums, count }: Sums = { sums: {}, count: 0 }) {
    this.#sums = new Map(Object.entries(sums));
    this.#count = count;
  }

  /** A batch without values counts for nothing. */
  add(values: Readonly<Record<string, number>>, count: number): void {
    const entries = Object.entries(values);
    if (entries.length === 0) return;
    for (const [name, value] of entries) this.#sums.set(name, (this.#sums.get(name) ?? 0) + value * count);
    this.#count += count;
  }

  values(): Record<string, number> {
    return Object.fromEntries([...this.#sums].map(([name, sum]) => [name, sum / this.#count]));
  }

  sums(): Sums {
    return { sums: Object.fromEntries(this.#sums), count: this.#count };
  }
}
