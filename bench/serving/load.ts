/** A client that asks as fast as it is answered, or at a rate whatever the answers are. */
import { Pool } from "undici";

export interface Request {
  readonly path: string;
  readonly body: Buffer;
  readonly headers: Record<string, string>;
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

/** Answers a second of `connections` clients, each of which asks again when it is answered; one second before counts not. */
export async function closedLoop(url: string, request: Request, seconds: number, connections: number): Promise<Rate> {
  const { path, body, headers } = request;
  const pool = new Pool(url, { connections });
  const times: number[] = [];
  const client = async (until: number) => {
    while (performance.now() < until) {
      const startedAt = performance.now();
      const answer = await pool.request({ method: "POST", path, body, headers });
      await answer.body.arrayBuffer();
      if (answer.statusCode !== 200) throw new Error(`${url}${path} answered ${answer.statusCode}`);
      times.push(performance.now() - startedAt);
    }
  };
  const run = (duration: number) => {
    const until = performance.now() + duration * 1000;
    return Promise.all(Array.from({ length: connections }, () => client(until)));
  };
  await run(1);
  times.length = 0;
  const startedAt = performance.now();
  await run(seconds);
  const took = (performance.now() - startedAt) / 1000;
  await pool.close();
  times.sort((a, b) => a - b);
  return { rate: times.length / took, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

export interface Overload {
  readonly offered: number;
  /** Answers with 200 a second. */
  readonly good: number;
  readonly goodP99: number;
  /** Share that was refused with 429, and how fast half of these came. */
  readonly refused: number;
  readonly refusedP50: number;
  /** Neither answered nor refused in that way. */
  readonly failed: number;
}

const TICK_MILLISECONDS = 5;

/** Sends `rate` requests a second for `seconds`, without waiting for answers. */
export async function openLoop(url: string, request: Request, rate: number, seconds: number): Promise<Overload> {
  const { path, body, headers } = request;
  const pool = new Pool(url, { connections: 1024 });
  const good: number[] = [];
  const refused: number[] = [];
  let failed = 0;
  const ask = async () => {
    const startedAt = performance.now();
    try {
      const answer = await pool.request({ method: "POST", path, body, headers });
      await answer.body.arrayBuffer();
      const took = performance.now() - startedAt;
      if (answer.statusCode === 200) good.push(took);
      else if (answer.statusCode === 429) refused.push(took);
      else failed++;
    } catch {
      failed++;
    }
  };
  const asked: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let now = 0; now < seconds; now = (performance.now() - startedAt) / 1000) {
    while (asked.length < now * rate) asked.push(ask());
    await new Promise((resolve) => setTimeout(resolve, TICK_MILLISECONDS));
  }
  await Promise.all(asked);
  const took = (performance.now() - startedAt) / 1000;
  await pool.destroy();
  good.sort((a, b) => a - b);
  refused.sort((a, b) => a - b);
  return {
    offered: asked.length / seconds,
    good: good.length / took,
    goodP99: quantile(good, 0.99),
    refused: refused.length / asked.length,
    refusedP50: quantile(refused, 0.5),
    failed,
  };
}
