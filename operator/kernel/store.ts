import { controllerOf, type Identified, keyOf, keyOfObject } from "./meta.ts";
import { type IndexFunction, StoreIndex } from "./store-index.ts";

/** The index that every store has: the uid of the controlling owner. */
export const byOwner = "owner";

export interface StoreOptions<P> {
  readonly indexes?: Readonly<Record<string, IndexFunction<P>>> | undefined;
  /**
   * Keeps records as JSON and parses them when they are read: a third of the memory, and nothing that garbage collection
   * has to walk through, for some microseconds a read. Members that are undefined become absent.
   */
  readonly compact?: boolean | undefined;
}

interface Slot<P> {
  readonly resourceVersion: string;
  readonly record: P | string;
}

/** Records by namespace and name, with indexes. What it hands out may be shared: never change it. */
export class Store<P extends Identified> {
  readonly #slots = new Map<string, Slot<P>>();
  readonly #indexes = new Map<string, StoreIndex<P>>();
  readonly #compact: boolean;

  constructor({ indexes = {}, compact = false }: StoreOptions<P> = {}) {
    this.#compact = compact;
    for (const [name, of] of Object.entries({ [byOwner]: ownerUid, ...indexes })) {
      this.#indexes.set(name, new StoreIndex(of));
    }
  }

  get(namespace: string, name: string): P | undefined {
    return this.getByKey(keyOf(namespace, name));
  }

  getByKey(key: string): P | undefined {
    const slot = this.#slots.get(key);
    return slot && recordIn(slot);
  }

  /** Of the record that is held; undefined where there is none. */
  versionOf(key: string): string | undefined {
    return this.#slots.get(key)?.resourceVersion;
  }

  /** All records, in no promised order. */
  list(): P[] {
    return [...this.#slots.values()].map(recordIn);
  }

  keys(): string[] {
    return [...this.#slots.keys()];
  }

  get size(): number {
    return this.#slots.size;
  }

  /** Throws where there is no such index: a programming error. */
  byIndex(name: string, value: string): P[] {
    const index = this.#indexes.get(name);
    if (!index) throw new Error(`no index named ${name}; there are ${[...this.#indexes.keys()].join(", ")}`);
    return [...index.keys(value)].flatMap((key) => this.getByKey(key) ?? []);
  }

  byOwner(uid: string): P[] {
    return this.byIndex(byOwner, uid);
  }

  /** Returns what it replaces. */
  put(record: P): P | undefined {
    const key = keyOfObject(record);
    const before = this.#unindexed(key);
    const { resourceVersion } = record.metadata;
    this.#slots.set(key, { resourceVersion, record: this.#compact ? JSON.stringify(record) : record });
    for (const index of this.#indexes.values()) index.add(key, record);
    return before;
  }

  /** Returns what it removed. */
  remove(key: string): P | undefined {
    const before = this.#unindexed(key);
    this.#slots.delete(key);
    return before;
  }

  /** The record that is held, which no index finds any more. */
  #unindexed(key: string): P | undefined {
    const record = this.getByKey(key);
    if (record !== undefined) for (const index of this.#indexes.values()) index.remove(key, record);
    return record;
  }
}

function recordIn<P>({ record }: Slot<P>): P {
  // Written by `put`.
  return typeof record === "string" ? (JSON.parse(record) as P) : record;
}

function ownerUid(record: Identified): string[] {
  const owner = controllerOf(record);
  return owner ? [owner.uid] : [];
}
