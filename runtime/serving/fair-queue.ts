/**
 * A queue in which callers get their turns fairly, however much one of them sends (start-time fair queueing: Goyal, Vin
 * and Cheng, SIGCOMM 1996). Each entry is tagged with when its turn would begin if callers shared one server equally;
 * entries leave in the order of their tags. With one caller it is first in, first out.
 */

export interface QueueEntry<T> {
  readonly item: T;
  readonly caller: string;
  /** What the entry takes of the server, such as rows. */
  readonly cost: number;
  /** When its turn begins, in units of cost. */
  readonly tag: number;
}

export class FairQueue<T> {
  /** By tag, then by arrival. */
  #entries: QueueEntry<T>[] = [];
  /** Of each caller, where its last turn ends. */
  readonly #ends = new Map<string, number>();
  readonly #counts = new Map<string, number>();
  #now = 0;

  get size(): number {
    return this.#entries.length;
  }

  /** In the order of their turns. */
  get entries(): readonly QueueEntry<T>[] {
    return this.#entries;
  }

  push(item: T, caller: string, cost: number): QueueEntry<T> {
    const tag = Math.max(this.#now, this.#ends.get(caller) ?? 0);
    const entry = { item, caller, cost, tag };
    this.#ends.set(caller, tag + cost);
    this.#counts.set(caller, this.waitingOf(caller) + 1);
    let index = this.#entries.length;
    while (index > 0 && (this.#entries[index - 1]?.tag ?? 0) > tag) index -= 1;
    this.#entries.splice(index, 0, entry);
    return entry;
  }

  waitingOf(caller: string): number {
    return this.#counts.get(caller) ?? 0;
  }

  /** Takes out the entries that `wanted` says, which begin now. */
  take(wanted: (entry: QueueEntry<T>) => boolean): QueueEntry<T>[] {
    const taken: QueueEntry<T>[] = [];
    this.#entries = this.#entries.filter((entry) => {
      if (!wanted(entry)) return true;
      taken.push(entry);
      return false;
    });
    for (const { caller, tag } of taken) {
      this.#now = Math.max(this.#now, tag);
      this.#forget(caller);
    }
    return taken;
  }

  /** False: it had left already. */
  remove(entry: QueueEntry<T>): boolean {
    const index = this.#entries.indexOf(entry);
    if (index === -1) return false;
    this.#entries.splice(index, 1);
    this.#forget(entry.caller);
    return true;
  }

  clear(): readonly T[] {
    const items = this.#entries.map(({ item }) => item);
    this.#entries = [];
    this.#counts.clear();
    this.#ends.clear();
    return items;
  }

  /** The last entry of the caller that has most waiting, if it has more than `caller` would have with one more. */
  victimFor(caller: string): QueueEntry<T> | undefined {
    const own = this.waitingOf(caller) + 1;
    let most: string | undefined;
    for (const [other, count] of this.#counts) {
      if (count > own && (most === undefined || count > this.waitingOf(most))) most = other;
    }
    return most === undefined ? undefined : this.#entries.findLast((entry) => entry.caller === most);
  }

  /** A caller of whom nothing waits is remembered only while its last turn lies ahead. */
  #forget(caller: string): void {
    const left = this.waitingOf(caller) - 1;
    if (left > 0) {
      this.#counts.set(caller, left);
      return;
    }
    this.#counts.delete(caller);
    if (this.#entries.length === 0) this.#ends.clear();
    else if (this.#ends.size > 2 * this.#counts.size + 64) {
      for (const [name, end] of this.#ends) if (end <= this.#now && !this.#counts.has(name)) this.#ends.delete(name);
    }
  }
}
