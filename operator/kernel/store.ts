import { controllerOf, type Identified, keyOf, keyOfObject } from "./meta.ts";

/** The values under which a record is found. */
export type IndexFunction<P> = (record: P) => readonly string[];

/** The index that every store has: the uid of the controlling owner. */
export const byOwner = "owner";

/** Records by namespace and name, with indexes. What it hands out is shared: never change it. */
export class Store<P extends Identified> {
  readonly #records = new Map<string, P>();
  readonly #indexes = new Map<string, { readonly of: IndexFunction<P>; readonly keys: Map<string, Set<string>> }>();

  constructor(indexes: Readonly<Record<string, IndexFunction<P>>> = {}) {
    for (const [name, of] of Object.entries({ [byOwner]: ownerUid, ...indexes })) {
      this.#indexes.set(name, { of, keys: new Map() });
    }
  }

  get(namespace: string, name: string): P | undefined {
    return this.#records.get(keyOf(namespace, name));
  }

  getByKey(key: string): P | undefined {
    return this.#records.get(key);
  }

  /** All records, in no promised order. */
  list(): P[] {
    return [...this.#records.values()];
  }

  keys(): string[] {
    return [...this.#records.keys()];
  }

  get size(): number {
    return this.#records.size;
  }

  /** Throws where there is no such index: a programming error. */
  byIndex(name: string, value: string): P[] {
    const index = this.#indexes.get(name);
    if (!index) throw new Error(`no index named ${name}; there are ${[...this.#indexes.keys()].join(", ")}`);
    const found: P[] = [];
    for (const key of index.keys.get(value) ?? []) {
      const record = this.#records.get(key);
      if (record) found.push(record);
    }
    return found;
  }

  byOwner(uid: string): P[] {
    return this.byIndex(byOwner, uid);
  }

  /** Returns what it replaces. */
  put(record: P): P | undefined {
    const key = keyOfObject(record);
    const before = this.#records.get(key);
    if (before) this.#unindex(key, before);
    this.#records.set(key, record);
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of of(record)) {
        const set = keys.get(value);
        if (set) set.add(key);
        else keys.set(value, new Set([key]));
      }
    }
    return before;
  }

  /** Returns what it removed. */
  remove(key: string): P | undefined {
    const before = this.#records.get(key);
    if (before) this.#unindex(key, before);
    this.#records.delete(key);
    return before;
  }

  #unindex(key: string, record: P): void {
    for (const { of, keys } of this.#indexes.values()) {
      for (const value of of(record)) {
        const set = keys.get(value);
        set?.delete(key);
        if (set?.size === 0) keys.delete(value);
      }
    }
  }
}

function ownerUid(record: Identified): string[] {
  const owner = controllerOf(record);
  return owner ? [owner.uid] : [];
}
