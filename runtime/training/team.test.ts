import { jest } from "@jest/globals";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PeerLost } from "../distributed/channel.ts";
import type { Failure } from "../failure.ts";
import { type Seat, together } from "./team.ts";
import { freePort } from "../../test/cluster/ports.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "team-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function seats(): Promise<[Seat, Seat]> {
  const keyFile = join(folder, "key");
  await writeFile(keyFile, randomBytes(32));
  const addresses = [await freePort(), await freePort()].map((port) => ({ host: "127.0.0.1", port }));
  const common = { size: 2, run: "digits-1", keyFile, addresses };
  return [
    { ...common, rank: 0 },
    { ...common, rank: 1 },
  ];
}

beforeEach(() => {
  jest.spyOn(console, "warn").mockImplementation(() => undefined);
});

const never = new AbortController().signal;

it("work is begun again by all when one was lost", async () => {
  const times = [0, 0];
  const work = async (rank: number) => {
    times[rank] = (times[rank] ?? 0) + 1;
    if (times[0] === 1) throw new PeerLost("worker 1 is lost");
    return Promise.resolve(`done by ${rank}`);
  };
  const [first, second] = await seats();
  const all = [first, second].map((seat) =>
    together(seat, never, async (group) => {
      const answer = await work(group.rank);
      await group.finish();
      return answer;
    }),
  );
  expect(await Promise.all(all)).toEqual(["done by 0", "done by 1"]);
  expect(times[0]).toBe(2);
});

it("one that is asked to end does not wait for another that says nothing", async () => {
  const [first, second] = await seats();
  const stopping = new AbortController();
  const released = Promise.withResolvers<void>();
  const silent = together(second, never, async () => released.promise);
  const asked = together(first, stopping.signal, async (group) => {
    queueMicrotask(() => stopping.abort(new Error("asked to end")));
    await group.sum(new Float32Array(1));
  });
  await expect(asked).rejects.toThrow("asked to end");
  released.resolve();
  await silent;
});

it("names the secret that is missing", async () => {
  const [first] = await seats();
  const lost = together({ ...first, keyFile: join(folder, "none") }, never, () => Promise.resolve());
  await expect(lost).rejects.toMatchObject<Partial<Failure>>({ reason: "InputMissing" });
});
