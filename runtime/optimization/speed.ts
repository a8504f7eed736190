/** Measures how fast models answer, in turns, so that a change of the machine's load hits all of them. */
export interface Speed {
  /** Median milliseconds of one prediction of one example. */
  latencyP50Milliseconds: number;
  /** Examples per second in batches of 32; the median round counts. */
  throughputPerSecond: number;
}

const ROUNDS = 16;
/** Of these rounds, the quiet ones count: what other programs take in the others says nothing of the models. */
const QUIET = ROUNDS / 2;
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

/** What one subject took in one round. */
interface Lap {
  /** Milliseconds of each prediction of one example. */
  latencies: number[];
  /** Milliseconds of one batch. */
  batch: number;
}

async function lapOf(subject: Subject, clock: () => number): Promise<Lap> {
  const latencies: number[] = [];
  for (let i = 0; i < SINGLES; i += 1) {
    const start = clock();
    await subject.one();
    latencies.push(clock() - start);
  }
  const start = clock();
  for (let i = 0; i < BATCHES; i += 1) await subject.many();
  return { latencies, batch: (clock() - start) / BATCHES };
}

/** How much longer than in its best round each subject took, altogether. */
function disturbance(round: readonly Lap[], best: readonly number[]): number {
  return round.reduce(
    (sum, { latencies, batch }, index) => sum + (median(latencies) + batch) / (best[index] ?? NaN),
    0,
  );
}

/** The same rounds for all: those that disturbed all subjects together the least. */
function quietest(rounds: readonly Lap[][]): Lap[][] {
  const subjects = rounds[0]?.keys() ?? [];
  const best = [...subjects].map((index) =>
    Math.min(...rounds.map((round) => median(round[index]?.latencies ?? []) + (round[index]?.batch ?? NaN))),
  );
  return rounds.toSorted((a, b) => disturbance(a, best) - disturbance(b, best)).slice(0, QUIET);
}

/** `clock`: milliseconds. The first round of each warms up and does not count. */
export async function measureSpeed(subjects: readonly Subject[], clock: () => number): Promise<Speed[]> {
  for (const subject of subjects) await lapOf(subject, clock);
  const rounds: Lap[][] = [];
  for (let number = 0; number < ROUNDS; number += 1) {
    const laps = new Map<Subject, Lap>();
    // Who begins changes: the second may find warmer caches.
    for (const subject of number % 2 === 0 ? subjects : subjects.toReversed()) {
      laps.set(subject, await lapOf(subject, clock));
    }
    rounds.push(subjects.flatMap((subject) => laps.get(subject) ?? []));
  }
  const quiet = quietest(rounds);
  return subjects.map((_, index) => {
    const laps = quiet.flatMap((round) => round[index] ?? []);
    return {
      latencyP50Milliseconds: median(laps.flatMap(({ latencies }) => latencies)),
      throughputPerSecond: (1000 * BATCH) / median(laps.map(({ batch }) => batch)),
    };
  });
}
