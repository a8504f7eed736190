import { appendFile, mkdtemp, open, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointStore, checkpointFolder, removeCheckpoints } from "./checkpoint-store.ts";

let root: string;
let dir: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "checkpoints-"));
  dir = join(root, "out", "digits-1");
});

afterEach(() => rm(root, { recursive: true }));

const tensors = (value: number) => [Float32Array.of(value, -0, 1e-40), new Float32Array(0), Float32Array.of(NaN)];

const states = async () => (await readdir(checkpointFolder(dir))).filter((name) => name.startsWith("step-")).sort();
const fileOf = async (index: number) => join(checkpointFolder(dir), (await states()).at(index) ?? "");

/** The number in the newest state, and the steps that were passed over. */
async function newest(store: CheckpointStore) {
  const passedOver: [number, string][] = [];
  const state = await store.newest(
    (found) => found,
    (step, why) => passedOver.push([step, why]),
  );
  return { step: (state?.header as { step: number } | undefined)?.step, tensors: state?.tensors, passedOver };
}

/** A store with the states of some steps. */
async function stored(steps: number[], keep = 10): Promise<CheckpointStore> {
  const store = await CheckpointStore.open(dir);
  for (const step of steps) await store.save(step, { step }, tensors(step), keep);
  return store;
}

it("a state comes back to the bit, the newest first", async () => {
  const store = await stored([9, 10, 1000]);
  const { step, tensors: found, passedOver } = await newest(store);
  expect({ step, passedOver }).toEqual({ step: 1000, passedOver: [] });
  expect(found?.map((values) => Buffer.from(values.buffer))).toEqual(
    tensors(1000).map((values) => Buffer.from(values.buffer)),
  );
});

it("there is none at first, and none after they were removed", async () => {
  expect(await newest(await CheckpointStore.open(dir))).toMatchObject({ step: undefined, passedOver: [] });
  await stored([1]);
  await removeCheckpoints(dir);
  await expect(readdir(checkpointFolder(dir))).rejects.toMatchObject({ code: "ENOENT" });
});

it("as many are kept as asked for; one of the same step is replaced", async () => {
  await stored([1, 2, 3, 3], 2);
  expect((await states()).map((name) => Number(name.slice(5)))).toEqual([2, 3]);
});

describe("A damaged state is passed over for the one before it, and removed:", () => {
  const damages: [string, (file: string) => Promise<void>][] = [
    ["an empty file", (file) => truncate(file, 0)],
    ["a file without its last byte", async (file) => truncate(file, (await readFile(file)).length - 1)],
    ["a file with one byte more", (file) => appendFile(file, "x")],
    ["other bytes", (file) => writeFile(file, "not a state at all, but as long as one might be")],
  ];

  it.each(damages)("%s", async (_, damage) => {
    await stored([1, 2]);
    await damage(await fileOf(-1));
    const { step, passedOver } = await newest(await CheckpointStore.open(dir));
    expect({ step, passed: passedOver.map(([number]) => number) }).toEqual({ step: 1, passed: [2] });
    expect((await states()).length).toBe(1);
  });

  it("one bit, wherever it is", async () => {
    const store = await stored([1, 2]);
    const file = await fileOf(-1);
    const whole = await readFile(file);
    for (let byte = 0; byte < whole.length; byte += 1) {
      const damaged = Buffer.from(whole);
      damaged[byte] = (damaged[byte] ?? 0) ^ (1 << (byte % 8));
      await writeFile(file, damaged);
      const { step, passedOver } = await newest(store);
      expect({ byte, step, passed: passedOver.length }).toEqual({ byte, step: 1, passed: 1 });
    }
  });
});

function refuse(): never {
  throw new TypeError("it is of another specification");
}

it("a state that is refused is passed over with the reason, also when there is no other", async () => {
  const store = await stored([1, 2]);
  const reasons: string[] = [];
  expect(await store.newest(refuse, (step, why) => reasons.push(`${step}: ${why}`))).toBeUndefined();
  expect(reasons).toEqual(["2: it is of another specification", "1: it is of another specification"]);
  expect(await states()).toEqual([]);
});

it("what a killed process left half written is not taken for a state, and goes", async () => {
  await stored([1]);
  const handle = await open(join(checkpointFolder(dir), "step-0000000000000002.abc.partial"), "w");
  await handle.close();
  expect((await newest(await CheckpointStore.open(dir))).step).toBe(1);
  expect((await readdir(checkpointFolder(dir))).sort()).toEqual(["step-0000000000000001"]);
});

it("a process whose run was taken over cannot save any more, and leaves nothing", async () => {
  const old = await stored([1]);
  const young = await CheckpointStore.open(dir);
  await expect(old.save(2, {}, [], 1)).rejects.toMatchObject({ reason: "Superseded", exitCode: 75 });
  await young.save(3, { step: 3 }, tensors(3), 1);
  expect(await readdir(checkpointFolder(dir))).toEqual(["step-0000000000000003"]);
  await removeCheckpoints(dir);
  await expect(young.save(4, {}, [], 1)).rejects.toMatchObject({ code: "ENOENT" });
  await expect(readdir(checkpointFolder(dir))).rejects.toMatchObject({ code: "ENOENT" });
});

it("a folder that cannot be written is named with its URI", async () => {
  await writeFile(join(root, "out"), "a file");
  await expect(CheckpointStore.open(dir, "pvc://models/out/digits-1")).rejects.toThrow(
    /Cannot write beside pvc:\/\/models\/out\/digits-1 \((ENOTDIR|EEXIST)\)/,
  );
});
