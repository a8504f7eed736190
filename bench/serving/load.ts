/** Clients that ask as fast as they are answered, or at a rate whatever the answers are. */

export interface Request {
  readonly path: string;
  readonly body: Buffer;
  readonly headers: Record<string, string>;
}

export interface Connection {
  /** The answer's HTTP status. One at a time. */
  ask(): Promise<number>;
  close(): void;
}

export interface Rate {
  /** Answers a second. */
  readonly rate: number;
  /** Milliseconds that half and 99 % of them took at most. */
  readonly p50: number;
  readonly p99: number;
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.floor(sorted.length * q)] ?? NaN;
}

const ascending = (times: number[]) => times.sort((a, b) => a - b);

/** Each connection asks again when it is answered. Throws Error when an answer is not 200. */
export async function closedLoop(connections: readonly Connection[], seconds: number): Promise<Rate> {
  const times: number[] = [];
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  const client = async (connection: Connection) => {
    for (let askedAt = performance.now(); askedAt < until;) {
      const status = await connection.ask();
      if (status !== 200) throw new Error(`the answer had status ${status}`);
      const now = performance.now();
      times.push(now - askedAt);
      askedAt = now;
    }
  };
  await Promise.all(connections.map(client));
  const took = (performance.now() - startedAt) / 1000;
  ascending(times);
  return { rate: times.length / took, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

export interface Overload {
  readonly offered: number;
  /** Answers with 200 a second. */
  readonly good: number;
  readonly goodP99: number;
  /** Share that was refused with 429, and in how many milliseconds. */
  readonly refused: number;
  readonly refusedP50: number;
  readonly refusedP99: number;
  /** Neither answered nor refused in that way. */
  readonly failed: number;
}

const TICK_MILLISECONDS = 2;

/**
 * Sends `rate` requests a second for `seconds`, without waiting for answers, on as many connections as it takes.
 * Goodput is that of the seconds in which is sent.
 */
export async function openLoop(open: () => Connection, rate: number, seconds: number): Promise<Overload> {
  const all: Connection[] = [];
  const free: Connection[] = [];
  const good: number[] = [];
  const refused: number[] = [];
  let failed = 0;
  let inTime = 0;
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  const ask = async () => {
    let connection = free.pop();
    if (connection === undefined) all.push((connection = open()));
    const askedAt = performance.now();
    try {
      const status = await connection.ask();
      const now = performance.now();
      if (status === 200) {
        good.push(now - askedAt);
        if (now < until) inTime += 1;
      } else if (status === 429) refused.push(now - askedAt);
      else failed += 1;
    } catch {
      failed += 1;
    }
    free.push(connection);
  };
  const asked: Promise<void>[] = [];
  for (let now = 0; now < seconds; now = (performance.now() - startedAt) / 1000) {
    while (asked.length < now * rate) asked.push(ask());
    await new Promise((resolve) => setTimeout(resolve, TICK_MILLISECONDS));
  }
  await Promise.all(asked);
  for (const connection of all) connection.close();
  ascending(good);
  ascending(refused);
  return {
    offered: asked.length / seconds,
    good: inTime / seconds,
    goodP99: quantile(good, 0.99),
    refused: refused.length / asked.length,
    refusedP50: quantile(refused, 0.5),
    refusedP99: quantile(refused, 0.99),
    failed,
  };
}
