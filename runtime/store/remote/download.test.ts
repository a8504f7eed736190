import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { type RemoteFile, download } from "./download.ts";

const NOW = { tries: 3, wait: 0 };
const content = randomBytes(1000);
const sha256 = createHash("sha256").update(content).digest("hex");

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "download-"));
});

afterAll(() => rm(folder, { recursive: true }));

/** A stream that gives `bytes` and then breaks. */
function breaking(bytes: Uint8Array): Readable {
  return Readable.from(
    (async function* () {
      yield bytes;
      throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
    })(),
  );
}

/** A file whose connection breaks after each `step` bytes. */
function flaky(step: number, more: Partial<RemoteFile> = {}): RemoteFile & { offsets: number[] } {
  const offsets: number[] = [];
  return {
    shownAs: "s3://bucket/file",
    offsets,
    async open(offset) {
      offsets.push(offset);
      const rest = content.subarray(offset);
      const body = rest.length > step ? breaking(rest.subarray(0, step)) : Readable.from([rest]);
      return { body, offset, size: content.length, version: "1" };
    },
    ...more,
  };
}

it("a download goes on where the connection broke, however often, as long as it gets on", async () => {
  const file = flaky(150, { sha256 });
  await download(file, join(folder, "a"), NOW);
  expect(await readFile(join(folder, "a"))).toEqual(content);
  expect(file.offsets).toEqual([0, 150, 300, 450, 600, 750, 900]);
});

it("a server that sends all anew is taken at its word", async () => {
  let calls = 0;
  const file: RemoteFile = {
    shownAs: "https://example.com/file",
    open: async () => {
      calls += 1;
      const body = calls === 1 ? breaking(content.subarray(0, 400)) : Readable.from([content]);
      return { body, offset: 0, size: content.length };
    },
  };
  await download(file, join(folder, "b"), NOW);
  expect(await readFile(join(folder, "b"))).toEqual(content);
});

it("a connection that ends early without an error is noticed", async () => {
  const parts = [content.subarray(0, 10), content.subarray(10)];
  const open: RemoteFile["open"] = async (offset) => ({
    body: Readable.from([parts.shift() ?? content]),
    offset,
    size: content.length,
  });
  await download({ shownAs: "x", open }, join(folder, "c"), NOW);
  expect(await readFile(join(folder, "c"))).toEqual(content);
});

it("a server that never answers is given up after some tries, which may be tried again", async () => {
  const refused = Object.assign(new Error("no"), { code: "ECONNREFUSED" });
  const file = flaky(1, { open: () => Promise.reject(refused) });
  const failing = download(file, join(folder, "d"), NOW);
  await expect(failing).rejects.toMatchObject({ reason: "StoreUnavailable", exitCode: 75 });
  await expect(failing).rejects.toThrow(/s3:\/\/bucket\/file cannot be read \(ECONNREFUSED\)/);
});

it("other bytes than the digest says are refused, and nothing is left", async () => {
  const wrong = flaky(5000, { sha256: "0".repeat(64) });
  await expect(download(wrong, join(folder, "e"), NOW)).rejects.toMatchObject({ reason: "DigestMismatch" });
  expect((await readdir(folder)).filter((name) => name.startsWith("e"))).toEqual([]);
});

it("a file that is larger than the space that is left is refused before it is read", async () => {
  const body = Readable.from([content]);
  const huge = flaky(1, { open: async () => ({ body, offset: 0, size: 2 ** 60 }) });
  await expect(download(huge, join(folder, "f"), NOW)).rejects.toMatchObject({ reason: "OutputNotWritable" });
});
