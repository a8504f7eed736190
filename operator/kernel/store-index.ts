/** The values under which a record is found. */
export type IndexFunction<P> = (record: P) => readonly string[];

/** Keys of records by value. Most values have one key, which then needs no set. */
export class StoreIndex<P> {
  readonly #of: IndexFunction<P>;
  readonly #keys = new Map<string, string | Set<string>>();

  constructor(of: IndexFunction<P>) {
    this.#of = of;
  }

  keys(value: string): Iterable<string> {
    const found = this.#keys.get(value);
    if (found === undefined) return [];
    return typeof found === "string" ? [found] : found;
  }

  add(key: string, record: P): void {
    for (const value of this.#of(record)) {
      const found = this.#keys.get(value);
      if (found === undefined || found === key) this.#keys.set(value, key);
      else if (typeof found === "string") this.#keys.set(value, new Set([found, key]));
      else found.add(key);
    }
  }

  remove(key: string, record: P): void {
    for (const value of this.#of(record)) {
      const found = this.#keys.get(value);
      if (found === key) this.#keys.delete(value);
      else if (found instanceof Set && found.delete(key) && found.size === 0) this.#keys.delete(value);
    }
  }
}
