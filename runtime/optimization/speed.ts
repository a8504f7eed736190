/** Measures how fast models answer, in turns, so that a change of the machine's load hits all of them. */
export interface Speed {
  /** Median milliseconds of one prediction of one example. */
  latencyP50Milliseconds: number;
  /** Examples per second in batches of 32; the median round counts. */
  throughputPerSecond: number;
}

const ROUNDS = 12;
const SINGLES = 16;
const BATCHES = 4;
export const BATCH = 32;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** Answers one example, or a batch of BATCH. */
export interface Subject {
  one(): Promise<unknown>;
  many(): Promise<unknown>;
}

class Stopwatch {
  readonly #subject: Subject;
  readonly #clock: () => number;
  #latencies: number[] = [];
  #rates: number[] = [];

  constructor(subject: Subject, clock: () => number) {
    this.#subject = subject;
    this.#clock = clock;
  }

  async round(): Promise<void> {
    for (let i = 0; i < SINGLES; i += 1) {
      const start = this.#clock();
      await this.#subject.one();
      this.#latencies.push(this.#clock() - start);
    }
    const start = this.#clock();
    for (let i = 0; i < BATCHES; i += 1) await this.#subject.many();
    this.#rates.push((1000 * BATCH * BATCHES) / (this.#clock() - start));
  }

  forget(): void {
    this.#latencies = [];
    this.#rates = [];
  }

  speed(): Speed {
    return { latencyP50Milliseconds: median(this.#latencies), throughputPerSecond: median(this.#rates) };
  }
}

/** `clock`: milliseconds. The first round of each warms up and does not count. */
export async function measureSpeed(subjects: readonly Subject[], clock: () => number): Promise<Speed[]> {
  const watches = subjects.map((subject) => new Stopwatch(subject, clock));
  for (const watch of watches) await watch.round();
  for (const watch of watches) watch.forget();
  for (let round = 0; round < ROUNDS; round += 1) {
    // Who begins changes: the second may find warmer caches.
    for (const watch of round % 2 === 0 ? watches : watches.toReversed()) await watch.round();
  }
  return watches.map((watch) => watch.speed());
}
