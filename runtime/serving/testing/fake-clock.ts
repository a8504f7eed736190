import type { Clock } from "../clock.ts";

/** Time that passes when the test says so. */
export class FakeClock implements Clock {
  #now = 0;
  #id = 0;
  readonly #timers = new Map<number, { readonly at: number; readonly callback: () => void }>();

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, milliseconds: number): number {
    this.#timers.set(++this.#id, { at: this.#now + milliseconds, callback });
    return this.#id;
  }

  clearTimeout(timer: NodeJS.Timeout | number): void {
    this.#timers.delete(Number(timer));
  }

  get pending(): number {
    return this.#timers.size;
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    for (const [id, { at, callback }] of this.#timers) {
      if (at > this.#now) continue;
      this.#timers.delete(id);
      callback();
    }
  }
}

/** Lets everything happen that waits for nothing but its turn. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
