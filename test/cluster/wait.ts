import { setTimeout as sleep } from "node:timers/promises";

export class Timeout extends Error {
  override readonly name = "Timeout";
}

/** Asks again and again until the answer is neither undefined nor false. `what` names it in the error; times in milliseconds. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  { within = 60_000, every = 50 }: { within?: number; every?: number } = {},
): Promise<T> {
  const end = performance.now() + within;
  let last: unknown;
  while (performance.now() < end) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    await sleep(every);
  }
  throw new Timeout(`${what}: not within ${within / 1000} s`, { cause: last });
}
