import type { Clock, Timer } from "./clock.ts";
import { Heap } from "./heap.ts";

/** Work that nobody waits for, such as the first list after a start. */
export const lowPriority = -100;

/** What somebody has just asked for: ahead of what follows from it. */
export const highPriority = 100;

/** Node fires timers beyond 2^31 ms at once; an early alarm merely sets the next one. */
const longestTimer = 2 ** 30;

export interface AddOptions {
  /** Higher comes first; default 0. */
  readonly priority?: number | undefined;
  readonly afterSeconds?: number | undefined;
}

export interface BackoffOptions {
  /** First delay after a failure, seconds; default 0.005. It doubles with each further one. */
  readonly baseSeconds?: number;
  /** Default 300. */
  readonly maxSeconds?: number;
}

export interface QueueObserver {
  /** Told once which queue it observes. */
  attach(queue: WorkQueue): void;
  added(): void;
  /** Taken by a worker after having been ready for `waitedSeconds`. */
  taken(waitedSeconds: number): void;
  finished(workedSeconds: number): void;
  retried(): void;
}

export interface WorkQueueOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly backoff?: BackoffOptions | undefined;
  readonly observer?: QueueObserver | undefined;
  readonly random?: (() => number) | undefined;
}

export interface Work {
  readonly key: string;
  readonly priority: number;
}

interface Entry {
  readonly key: string;
  readonly priority: number;
  readonly readyAt: number;
  readonly order: number;
  /** A newer entry of the key took its place; heaps drop it when they meet it. */
  replaced: boolean;
}

/**
 * Keys to work on, each at most once. Of several adds of a key the shortest delay and the highest priority win.
 * A key that was taken is locked until `done`; if added meanwhile it comes again afterwards.
 */
export class WorkQueue {
  readonly name: string;
  readonly #clock: Clock;
  readonly #backoff: Required<BackoffOptions>;
  readonly #observer: QueueObserver | undefined;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #ready = new Heap<Entry>((left, right) =>
    left.priority === right.priority ? isEarlier(left, right) : left.priority > right.priority,
  );
  readonly #waiting = new Heap<Entry>(isEarlier);
  readonly #taken = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((work: Work | undefined) => void)[] = [];
  #alarm: { readonly readyAt: number; readonly timer: Timer } | undefined;
  #order = 0;
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.name = options.name;
    this.#clock = options.clock;
    this.#backoff = { baseSeconds: 0.005, maxSeconds: 300, ...options.backoff };
    this.#observer = options.observer;
    this.#random = options.random ?? Math.random;
    this.#observer?.attach(this);
  }

  add(key: string, options: AddOptions = {}): void {
    if (this.#closed) return;
    const readyAt = this.#clock.monotonic() + Math.max(0, options.afterSeconds ?? 0) * 1000;
    const priority = options.priority ?? 0;
    const old = this.#entries.get(key);
    if (old && old.priority >= priority && old.readyAt <= readyAt) return;
    if (old) old.replaced = true;
    else this.#observer?.added();
    this.#put({
      key,
      priority: Math.max(priority, old?.priority ?? priority),
      readyAt: Math.min(readyAt, old?.readyAt ?? readyAt),
      order: old?.order ?? this.#order++,
      replaced: false,
    });
    this.#dispatch();
  }

  /** Adds with the key's own backoff: it doubles with every call until `forget`. Returns the delay in seconds. */
  addAfterFailure(key: string, options: { priority?: number; atLeastSeconds?: number } = {}): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#observer?.retried();
    const { baseSeconds, maxSeconds } = this.#backoff;
    const delay = Math.min(maxSeconds, baseSeconds * 2 ** failures);
    // Keys that failed together do not come back together.
    const afterSeconds = Math.max(delay * (0.8 + 0.2 * this.#random()), options.atLeastSeconds ?? 0);
    this.add(key, { priority: options.priority, afterSeconds });
    return afterSeconds;
  }

  /** Ends the key's backoff. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, as soon as there is one; undefined when dismissed or shut down. Call `done` with it. */
  take(): Promise<Work | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
      this.#dispatch();
    });
  }

  /** Unlocks a taken key. */
  done(key: string): void {
    const takenAt = this.#taken.get(key);
    if (takenAt === undefined) return;
    this.#taken.delete(key);
    this.#observer?.finished((this.#clock.monotonic() - takenAt) / 1000);
    const again = this.#entries.get(key);
    if (again) this.#put(again);
    this.#dispatch();
  }

  /** Waiting workers get undefined. Keys stay, and are added, for those who come later. */
  dismiss(): void {
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  /** Workers get undefined; adds are ignored. Taken keys are still to be finished. */
  shutdown(): void {
    this.#closed = true;
    this.#entries.clear();
    if (this.#alarm) this.#clock.clearTimeout(this.#alarm.timer);
    this.#alarm = undefined;
    this.dismiss();
  }

  /** How many keys wait for a worker, delayed ones left out. */
  get depth(): number {
    return [...this.depthByPriority().values()].reduce((sum, depth) => sum + depth, 0);
  }

  depthByPriority(): ReadonlyMap<number, number> {
    const now = this.#clock.monotonic();
    const depths = new Map<number, number>();
    for (const entry of this.#entries.values()) {
      if (entry.readyAt <= now) depths.set(entry.priority, (depths.get(entry.priority) ?? 0) + 1);
    }
    return depths;
  }

  /** Keys that are added and not taken, delayed ones included. */
  get pending(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** Seconds for which each taken key has been worked on. */
  runningSeconds(): number[] {
    const now = this.#clock.monotonic();
    return [...this.#taken.values()].map((takenAt) => (now - takenAt) / 1000);
  }

  #put(entry: Entry): void {
    this.#entries.set(entry.key, entry);
    // A locked key is put into a heap by `done`.
    if (this.#taken.has(entry.key)) return;
    if (entry.readyAt <= this.#clock.monotonic()) this.#ready.push(entry);
    else this.#waiting.push(entry);
  }

  #dispatch(): void {
    this.#promote();
    while (this.#takers.length > 0) {
      const entry = this.#nextReady();
      if (!entry) break;
      this.#entries.delete(entry.key);
      const now = this.#clock.monotonic();
      this.#taken.set(entry.key, now);
      this.#observer?.taken((now - entry.readyAt) / 1000);
      this.#takers.shift()?.({ key: entry.key, priority: entry.priority });
    }
    this.#arm();
  }

  #nextReady(): Entry | undefined {
    for (let entry = this.#ready.pop(); entry; entry = this.#ready.pop()) if (this.#isCurrent(entry)) return entry;
    return undefined;
  }

  #isCurrent(entry: Entry): boolean {
    return !entry.replaced && this.#entries.get(entry.key) === entry && !this.#taken.has(entry.key);
  }

  #promote(): void {
    const now = this.#clock.monotonic();
    for (let entry = this.#waiting.peek(); entry; entry = this.#waiting.peek()) {
      if (this.#isCurrent(entry) && entry.readyAt > now) break;
      this.#waiting.pop();
      if (this.#isCurrent(entry)) this.#ready.push(entry);
    }
  }

  #arm(): void {
    const next = this.#waiting.peek();
    if (this.#alarm && this.#alarm.readyAt === next?.readyAt) return;
    if (this.#alarm) this.#clock.clearTimeout(this.#alarm.timer);
    this.#alarm = undefined;
    if (!next) return;
    const wake = () => {
      this.#alarm = undefined;
      this.#dispatch();
    };
    const delay = Math.min(longestTimer, Math.max(0, next.readyAt - this.#clock.monotonic()));
    this.#alarm = { readyAt: next.readyAt, timer: this.#clock.setTimeout(wake, delay) };
  }
}

function isEarlier(left: Entry, right: Entry): boolean {
  return left.readyAt === right.readyAt ? left.order < right.order : left.readyAt < right.readyAt;
}
