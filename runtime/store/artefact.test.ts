import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { artefactDigest } from "../../crds/contract/artefact.ts";
import { Failure } from "../failure.ts";
import { openArtefact, readManifest } from "./artefact.ts";
import { Fence } from "./fence.ts";
import { type ArtefactDescription, findFinished, writeArtefact } from "./artefact-writer.ts";

let root: string;
let dir: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "artefact-"));
  dir = join(root, "digits", "digits-abc");
});

afterEach(() => rm(root, { recursive: true }));

function description(specHash = "abc"): ArtefactDescription {
  return {
    name: "digits",
    format: "TfjsLayers",
    signature: { inputs: [], outputs: [] },
    parameters: 3,
    lineage: {
      job: { kind: "TrainingJob", namespace: "default", name: "digits", uid: "" },
      run: "digits-abc",
      specHash,
      parents: [],
      software: {},
    },
    createdAt: "2026-01-01T00:00:00.000Z",
  };
}

const write = (text: string, specHash?: string) =>
  writeArtefact(dir, async (staging) => {
    await writeFile(join(staging, "model.json"), text);
    await mkdir(join(staging, "weights"));
    await writeFile(join(staging, "weights", "one.bin"), "123");
    return description(specHash);
  });

const writing = (fence: Fence, meanwhile: () => Promise<unknown> = () => Promise.resolve()) =>
  writeArtefact(
    dir,
    async (staging) => {
      await writeFile(join(staging, "model.json"), "{}");
      await meanwhile();
      await writeFile(join(staging, "more.json"), "{}");
      return description();
    },
    { fence },
  );

const siblings = () => readdir(join(root, "digits"));

it("is written as a whole, with every file's size and checksum, and opens with the same digest", async () => {
  const written = await write("{}");
  expect(written.manifest?.files.map(({ path, bytes }) => [path, bytes])).toEqual([
    ["documents/bom.cdx.json", expect.any(Number)],
    ["documents/model-card.md", expect.any(Number)],
    ["documents/provenance.intoto.json", expect.any(Number)],
    ["model.json", 2],
    ["weights/one.bin", 3],
  ]);
  // Documents are about the model, and no part of it.
  expect(written.bytes).toBe(5);
  expect(written.bytes).toBe(5);
  const opened = await openArtefact(dir, { digest: written.digest });
  expect(opened.manifest && artefactDigest(opened.manifest)).toBe(written.digest);
  expect(await siblings()).toEqual(["digits-abc"]);
});

it("leaves nothing behind when writing fails, and passes the failure on", async () => {
  const failing = writeArtefact(dir, async (staging) => {
    await writeFile(join(staging, "model.json"), "half");
    throw new Failure("DataRejected", "no");
  });
  await expect(failing).rejects.toMatchObject({ reason: "DataRejected" });
  expect(await siblings()).toEqual([]);
});

it("removes what a crashed attempt left, but nothing of other runs", async () => {
  await mkdir(join(root, "digits", ".digits-abc.0123.partial"), { recursive: true });
  await mkdir(join(root, "digits", ".digits-other.0123.partial"));
  await write("{}");
  expect((await siblings()).sort()).toEqual([".digits-other.0123.partial", "digits-abc"]);
});

it("never replaces a complete artefact of the same run", async () => {
  const first = await write("first");
  const second = await write("second");
  expect(second.digest).toBe(first.digest);
  expect(await readFile(join(dir, "model.json"), "utf8")).toBe("first");
});

it("keeps away from the artefact of another specification and from foreign files", async () => {
  await write("{}");
  await expect(write("{}", "other")).rejects.toMatchObject({ reason: "OutputNotWritable" });
  await rm(dir, { recursive: true });
  await mkdir(dir);
  await writeFile(join(dir, "precious.txt"), "mine");
  await expect(write("{}")).rejects.toThrow(/holds files that are no artefact/);
  expect(await readFile(join(dir, "precious.txt"), "utf8")).toBe("mine");
});

describe("of two processes of one run", () => {
  it("the one that began first stops when it is to write, and may be tried again", async () => {
    const older = await Fence.take(dir, "pvc://models/digits/digits-abc");
    const newer = await Fence.take(dir);
    await expect(writing(older)).rejects.toMatchObject({ reason: "Superseded", exitCode: 75 });
    await expect(writing(older)).rejects.toThrow(
      "Another pod has taken over the run of pvc://models/digits/digits-abc; this one stops",
    );
    await writing(newer);
    expect(await siblings()).toEqual(["digits-abc"]);
  });

  it("the one that began first stops when the other begins while it writes, and nothing of it is seen", async () => {
    const older = await Fence.take(dir);
    const taken = writing(older, async () => {
      const newer = await Fence.take(dir);
      await expect(older.check()).rejects.toMatchObject({ reason: "Superseded" });
      await newer.check();
    });
    await expect(taken).rejects.toMatchObject({ reason: "Superseded" });
    await expect(readdir(dir)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("the one that began first says that it was overtaken when its files were removed under its hands", async () => {
    const older = await Fence.take(dir);
    const overtaken = writing(older, async () => writing(await Fence.take(dir)));
    await expect(overtaken).rejects.toMatchObject({ reason: "Superseded" });
    expect(await siblings()).toEqual(["digits-abc"]);
  });

  it("the one that began first does not come back when the other has finished and a third begins", async () => {
    const older = await Fence.take(dir);
    await writing(await Fence.take(dir));
    const third = await Fence.take(dir);
    await expect(older.check()).rejects.toMatchObject({ reason: "Superseded" });
    await older.release();
    await third.check();
  });

  it("exactly one goes on when all begin at the same moment", async () => {
    const fences = await Promise.all(Array.from({ length: 8 }, () => Fence.take(dir)));
    const checks = await Promise.allSettled(fences.map((fence) => fence.check()));
    expect(checks.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });
});

it("is found again by its specification", async () => {
  expect(await findFinished(dir, "abc")).toBeUndefined();
  const written = await write("{}");
  expect((await findFinished(dir, "abc"))?.digest).toBe(written.digest);
});

it.each([
  ["a changed file", () => writeFile(join(dir, "model.json"), "[]"), /model.json is not the file that was written/],
  ["a missing file", () => rm(join(dir, "weights", "one.bin")), /weights\/one.bin is missing/],
  [
    "a damaged manifest",
    () => writeFile(join(dir, "modelwright.json"), "{"),
    /modelwright.json is damaged: is no JSON/,
  ],
  ["a manifest that names files outside", () => outside(), /modelwright.json is damaged: files\[0\].path/],
])("is refused with %s", async (_, damage, message) => {
  await write("{}");
  await damage();
  await expect(openArtefact(dir)).rejects.toMatchObject({ reason: "DigestMismatch", exitCode: 65 });
  await expect(openArtefact(dir)).rejects.toThrow(message);
});

async function outside(): Promise<void> {
  const manifest = await readManifest(dir);
  const files = [{ path: "../../secret", bytes: 1, sha256: "0".repeat(64) }];
  await writeFile(join(dir, "modelwright.json"), JSON.stringify({ ...manifest, files }));
}

it("is refused when it has another digest than it must have", async () => {
  await write("{}");
  const other = `sha256:${"0".repeat(64)}`;
  await expect(openArtefact(dir, { digest: other, shownAs: "pvc://models/x" })).rejects.toThrow(
    /pvc:\/\/models\/x has digest/,
  );
});

it("may be a folder without a manifest, whose digest follows its files", async () => {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, "model.json"), "{}");
  const first = await openArtefact(dir);
  expect(first.manifest).toBeUndefined();
  expect(first.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  await writeFile(join(dir, "model.json"), "[]");
  expect((await openArtefact(dir)).digest).not.toBe(first.digest);
});

it("is missing where there is no folder, or an empty one", async () => {
  await expect(openArtefact(dir)).rejects.toMatchObject({ reason: "InputMissing" });
  await mkdir(dir, { recursive: true });
  await expect(openArtefact(dir)).rejects.toMatchObject({ reason: "InputMissing" });
});
