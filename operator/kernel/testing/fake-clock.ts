import type { Clock, Timer } from "../clock.ts";

interface FakeTimer extends Timer {
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that moves only when a test says so. */
export class FakeClock implements Clock {
  #elapsed = 0;
  #order = 0;
  readonly #epoch: number;
  readonly #timers = new Set<FakeTimer>();

  constructor(epoch = Date.UTC(2026, 0, 1)) {
    this.#epoch = epoch;
  }

  now(): number {
    return this.#epoch + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  setTimeout(callback: () => void, milliseconds: number): Timer {
    const timer = { dueAt: this.#elapsed + Math.max(0, milliseconds), order: this.#order++, callback };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(timer: Timer): void {
    this.#timers.delete(timer as FakeTimer);
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves time on, firing timers in order; promises settle between them. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds;
    await settle();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#fire(next);
      await settle();
    }
    this.#elapsed = end;
    await settle();
  }

  /** As advance, for code without promises. */
  advanceSync(milliseconds: number): void {
    const end = this.#elapsed + milliseconds;
    for (let next = this.#next(end); next; next = this.#next(end)) this.#fire(next);
    this.#elapsed = end;
  }

  /** Moves time on without firing anything: what a blocked event loop looks like. */
  stall(milliseconds: number): void {
    this.#elapsed += milliseconds;
  }

  #fire(timer: FakeTimer): void {
    this.#timers.delete(timer);
    this.#elapsed = Math.max(this.#elapsed, timer.dueAt);
    timer.callback();
  }

  #next(end: number): FakeTimer | undefined {
    let first: FakeTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAt > end) continue;
      if (!first || timer.dueAt < first.dueAt || (timer.dueAt === first.dueAt && timer.order < first.order))
        first = timer;
    }
    return first;
  }
}

/** Lets pending promise callbacks run. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}
