import { jest } from "@jest/globals";
import { array, assert, asyncProperty, integer } from "fast-check";
import { randomBytes } from "node:crypto";
import { Random } from "../data/random.ts";
import { partOf } from "./all-reduce.ts";
import { PeerLost } from "./channel.ts";
import { type Group, GroupIncomplete, type GroupOptions, joinGroup } from "./group.ts";
import { freePort } from "../../test/cluster/ports.ts";

const key = randomBytes(32);
const open: Group[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((group) => group.close()));
});

async function optionsFor(size: number): Promise<GroupOptions[]> {
  const ports = await Promise.all(Array.from({ length: size }, freePort));
  const addresses = ports.map((port) => ({ host: "127.0.0.1", port }));
  return addresses.map((_, rank) => ({ run: "digits-1", rank, size, key, addresses, timeoutMilliseconds: 20_000 }));
}

async function join(options: GroupOptions): Promise<Group> {
  const group = await joinGroup(options);
  open.push(group);
  return group;
}

const groupOf = async (size: number) => Promise.all((await optionsFor(size)).map(join));

function vector(length: number, rank: number): Float32Array {
  const random = new Random(length, "vector", rank);
  return Float32Array.from({ length }, () => random.below(2000) / 1000 - 1);
}

describe("workers of a run", () => {
  // Up to 16,384 numbers go directly, more around the ring; lengths that no number of workers divides.
  it.each([
    [1, 10],
    [2, 7],
    [2, 200_003],
    [3, 1],
    [3, 50_021],
    [4, 16_384],
    [4, 16_385],
    [5, 100_003],
  ])("%i of them have the same sum of %i numbers, bit by bit", async (size, length) => {
    const group = await groupOf(size);
    const values = group.map(({ rank }) => vector(length, rank));
    const expected = Float64Array.from({ length }, (_, i) => values.reduce((sum, part) => sum + (part[i] ?? 0), 0));
    await Promise.all(group.map((worker, rank) => worker.sum(values[rank] ?? new Float32Array())));
    const [first] = values;
    const error = first?.reduce((most, value, i) => Math.max(most, Math.abs(value - (expected[i] ?? 0))), 0);
    expect(error).toBeLessThan(1e-5);
    for (const other of values)
      expect(Buffer.from(other.buffer).equals(new Uint8Array(first?.buffer ?? new ArrayBuffer(0)))).toBe(true);
  });

  it("go on summing: each sum is of its own vectors", async () => {
    const group = await groupOf(3);
    await assert(
      asyncProperty(array(integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 4 }), async (lengths) => {
        for (const length of lengths) {
          const values = group.map(({ rank }) => new Float32Array(length).fill(rank + length));
          await Promise.all(group.map((worker, rank) => worker.sum(values[rank] ?? new Float32Array())));
          for (const value of values) expect(value.every((number) => number === 3 + 3 * length)).toBe(true);
        }
      }),
      { numRuns: 8 },
    );
  });

  it("all get what the first has", async () => {
    const group = await groupOf(3);
    const values = group.map(({ rank }) => vector(1000, rank));
    await Promise.all(group.map((worker, rank) => worker.broadcast(values[rank] ?? new Float32Array())));
    for (const other of values) expect(other).toEqual(vector(1000, 0));
  });

  it("all know what the first has found out", async () => {
    const group = await groupOf(3);
    const found = { épochs: 3, best: [0.5, 1e-300], nothing: null };
    const make = jest.fn(() => Promise.resolve(found));
    expect(await Promise.all(group.map((worker) => worker.share(make)))).toEqual([found, found, found]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  it("finish together: whoever leaves first takes nothing with it that another has not heard", async () => {
    const group = await groupOf(3);
    await Promise.all(
      group.map(async (worker) => {
        const heard = await worker.share(() => "done");
        await worker.finish();
        await worker.close();
        expect(heard).toBe("done");
      }),
    );
  });

  it("hear from a first one that is lost before it has finished that it is lost", async () => {
    const [first, second] = await groupOf(2);
    const finished = second?.finish();
    await first?.close();
    await expect(finished).rejects.toThrow(PeerLost);
  });

  it("give up at once when they are asked to end", async () => {
    const [first] = (await optionsFor(2)) as [GroupOptions];
    const asked = new AbortController();
    const waiting = joinGroup({ ...first, signal: asked.signal });
    asked.abort(new Error("asked to end"));
    await expect(waiting).rejects.toThrow("asked to end");
  });

  it("hear of it when one is lost, and meet again when it is back", async () => {
    const options = await optionsFor(3);
    const [first, second, third] = await Promise.all(options.map(join));
    await third?.close();
    const sums = await Promise.allSettled([first, second].map(async (worker) => worker?.sum(new Float32Array(10))));
    expect(sums.map((sum) => sum.status === "rejected" && sum.reason instanceof PeerLost)).toEqual([true, true]);
    await Promise.all([first?.close(), second?.close()]);
    const again = await Promise.all(options.map(join));
    const values = again.map(() => new Float32Array([1]));
    await Promise.all(again.map((worker, rank) => worker.sum(values[rank] ?? new Float32Array())));
    expect(values.map(([value]) => value)).toEqual([3, 3, 3]);
  });

  it("say who is missing when not all come in time", async () => {
    const [first] = await optionsFor(3);
    const waiting = joinGroup({ ...(first as GroupOptions), wait: () => Promise.resolve() });
    await expect(waiting).rejects.toThrow(new GroupIncomplete([1, 2], 3));
  });

  it("do not meet one with another key, or of another run", async () => {
    const [first, second] = (await optionsFor(2)) as [GroupOptions, GroupOptions];
    for (const stranger of [
      { ...second, key: randomBytes(32) },
      { ...second, run: "digits-2" },
    ]) {
      const timeoutMilliseconds = 700;
      const met = await Promise.allSettled(
        [{ ...first }, stranger].map((one) => joinGroup({ ...one, timeoutMilliseconds })),
      );
      expect(met.map((one) => one.status === "rejected" && one.reason instanceof GroupIncomplete)).toEqual([
        true,
        true,
      ]);
    }
  });
});

it("parts of a vector follow one another and cover it", () => {
  for (const [length, size] of [
    [10, 3],
    [2, 5],
    [0, 2],
  ] as const) {
    const parts = Array.from({ length: size }, (_, index) => partOf(length, size, index));
    expect(parts[0]?.[0]).toBe(0);
    expect(parts.at(-1)?.[1]).toBe(length);
    for (const [index, [start]] of parts.entries()) expect(start).toBe(index === 0 ? 0 : parts[index - 1]?.[1]);
  }
});
