import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fence } from "../store/fence.ts";
import { Workplace, removeCandidates } from "./workplace.ts";

let root: string;
let dir: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "workplace-"));
  dir = join(root, "small-1");
});
afterEach(() => rm(root, { recursive: true }));

const open = async () => Workplace.open(dir, "pvc://models/small", await Fence.take(dir));

const failed = { failure: "no", seconds: 2 };

async function keep(workplace: Workplace, name: string): Promise<void> {
  await workplace.keep(name, async (files) => {
    await writeFile(join(files, "model.json"), name);
    return failed;
  });
}

it("a process that takes over finds what was finished, with its files and its time", async () => {
  const first = await open();
  await keep(first, "0");
  await keep(first, "0-1");
  const next = await open();
  expect(next.find("0")).toEqual(failed);
  expect(next.find("1")).toBeUndefined();
  expect(next).toMatchObject({ count: 2, seconds: 4 });
  expect(await readFile(join(next.filesOf("0-1"), "model.json"), "utf8")).toBe("0-1");
  await next.copy("0", join(root, "copy"));
  expect(await readdir(join(root, "copy"))).toEqual(["model.json"]);
});

it("what was cut off or damaged is made again", async () => {
  const first = await open();
  await keep(first, "0");
  await keep(first, "1");
  await writeFile(join(first.filesOf("0"), "model.json"), "damaged");
  const cutOff = first.keep("2", () => Promise.reject(new Error("no space")));
  await expect(cutOff).rejects.toThrow("no space");
  const next = await open();
  expect([next.find("0"), next.find("1"), next.find("2")]).toEqual([undefined, failed, undefined]);
  expect(next.count).toBe(1);
  await keep(next, "0");
  expect((await open()).count).toBe(2);
});

it("a process that was superseded keeps nothing more", async () => {
  const old = await open();
  await open();
  await expect(keep(old, "0")).rejects.toMatchObject({ reason: "Superseded" });
});

it("nothing is left once the artefact stands", async () => {
  await keep(await open(), "0");
  await removeCandidates(dir);
  expect((await readdir(root)).filter((name) => name.includes("candidates"))).toEqual([]);
});
