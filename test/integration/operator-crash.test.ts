import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { join } from "node:path";
import { startBed } from "./operator/bed.ts";
import { Endpoints } from "./operator/crash/endpoints.ts";
import { Journal } from "./operator/crash/journal.ts";
import { type Crash, Lived, type World } from "./operator/crash/live.ts";
import { type Life, LIVES } from "./operator/crash/lives.ts";
import { compileInto } from "./operator/crash/program.ts";
import { LoopbackPods } from "./operator/crash/loopback-pods.ts";

/** So many lives at once: they mostly wait. */
const AT_ONCE = 16;

let world: World;
let endpoints: Endpoints;
/** Lives without a crash. */
let references: ReadonlyMap<Life, Lived>;

beforeAll(async () => {
  const server = await startBed([], { without: ["endpointslice-controller"] });
  const journal = await Journal.open(server);
  endpoints = new Endpoints(server.api, journal);
  const cache = join(server.state, "modules");
  await compileInto(cache);
  world = { server, journal, pods: new LoopbackPods(server.api, journal), cache };
  references = new Map(
    await Promise.all(LIVES.map(async (life) => [life, await Lived.through(world, life, "never")] as const)),
  );
}, 180_000);
afterAll(async () => {
  await Promise.all([...references.values()].map((reference) => reference.stop()));
  await world.pods.stop();
  await endpoints.stop();
  await world.journal.close();
  await world.server.stop();
});

describe("an operator that is killed after each of its writes, once", () => {
  it.each(LIVES.map((life) => ({ kind: life.manifest.kind, life })))(
    "brings each $kind where it would have been, and creates and removes nothing twice",
    async ({ life }) => {
      const reference = references.get(life);
      if (reference === undefined) throw new Error("there is no reference");
      expect([...reference.lapses]).toEqual([]);
      const live = async (crash: Crash) => {
        const lived = await Lived.through(world, life, crash, reference);
        await lived.leave();
        return lived;
      };
      const counted = await concurrently(crashesOf(reference), live);
      // Writes do not come in the same order in every life: what was missed by counting is met by what it is.
      const missed = reference.writes.filter((write) => !crashesIn(counted).has(write));
      const aimed = await concurrently(missed, (after) => live({ after }));
      const lives = [...counted, ...aimed];
      for (const lived of lives) expect(judge(lived, reference)).toEqual({ lapses: [], excess: [] });
      expect(reference.writes.filter((write) => !crashesIn(lives).has(write))).toEqual([]);
      await reference.leave();
    },
    600_000,
  );
});

function crashesIn(lives: readonly Lived[]): ReadonlySet<string> {
  return new Set(lives.flatMap(({ crashes }) => crashes));
}

/** Once after the first write of each stage, once after the second, and so on; and in one life after all of them. */
function crashesOf({ writes }: Lived): Crash[] {
  const stages = Map.groupBy(writes, (write) => write.split(":")[0]);
  const most = Math.max(...[...stages.values()].map(({ length }) => length));
  return ["always", ...Array.from({ length: most }, (_, index) => index + 1)];
}

/** What went worse than without a crash. */
function judge({ ends, lapses, crashes }: Lived, reference: Lived) {
  const excess = [...ends].flatMap(([stage, { counts }]) =>
    [...counts]
      .filter(([what, count]) => count > (reference.ends.get(stage)?.counts.get(what) ?? 0))
      .map(([what, count]) => `${stage}, after ${crashes.join()}: ${count} times the ${what}`),
  );
  return { lapses: [...lapses], excess };
}

/** All are over when it returns, or throws what the first threw. */
async function concurrently<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const left = [...items];
  const results: R[] = [];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) results.push(await work(item));
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return results;
}
