/** The example's own manifest, on real digits in the form of MNIST's files. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { openArtefact } from "../../runtime/store/artefact.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SIDE = 28;
const SCALE = 3;
/** Rows and columns around the enlarged image. */
const BORDER = 2;

let volumes: string;

beforeAll(async () => {
  volumes = await mkdtemp(join(tmpdir(), "mnist-"));
  await mkdir(join(volumes, "mnist/data"), { recursive: true });
  await write("train", "train");
  await write("test", "t10k");
});

afterAll(() => rm(volumes, { recursive: true }));

/** An image of 8 x 8 pixels from 0 to 16 as one of 28 x 28 from 0 to 255. */
function enlarged(pixels: readonly number[]): Uint8Array {
  const image = new Uint8Array(SIDE * SIDE);
  for (let y = BORDER; y < SIDE - BORDER; y += 1) {
    for (let x = BORDER; x < SIDE - BORDER; x += 1) {
      const from = 8 * Math.floor((y - BORDER) / SCALE) + Math.floor((x - BORDER) / SCALE);
      image[SIDE * y + x] = Math.round(((pixels[from] ?? 0) * 255) / 16);
    }
  }
  return image;
}

/** A file in the form of MNIST: unsigned bytes. */
function idx(shape: readonly number[], values: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, 8, shape.length]);
  shape.forEach((size, index) => head.writeUInt32BE(size, 4 + 4 * index));
  return Buffer.concat([head, ...values]);
}

async function write(from: string, to: string): Promise<void> {
  const text = await readFile(join(ROOT, `examples/digits/data/${from}.csv`), "utf8");
  const rows = text.trim().split("\n").slice(1);
  const numbers = rows.map((row) => row.split(",").map(Number));
  const images = numbers.map((row) => enlarged(row.slice(0, 64)));
  const folder = join(volumes, "mnist/data");
  await writeFile(join(folder, `${to}-images-idx3-ubyte`), idx([rows.length, SIDE, SIDE], images));
  const labels = Uint8Array.from(numbers, (row) => row[64] ?? 0);
  await writeFile(join(folder, `${to}-labels-idx1-ubyte`), idx([rows.length], [labels]));
}

it("784-128-64-10 learns digits from IDX files by the example's manifest", async () => {
  const args = ["train", "-f", join(ROOT, "examples/mnist/training-job.yaml"), "--volumes", volumes];
  const env = { ...process.env, NODE_OPTIONS: "", MODELWRIGHT_THREADS: "1" };
  const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, "runtime/main.ts"), ...args], { env });
  expect(stdout).toMatch(/epoch 10\/10/);
  const folder = join(volumes, "mnist/models");
  const [run = ""] = await readdir(folder);
  const { manifest } = await openArtefact(join(folder, run));
  expect(manifest?.signature.inputs[0]?.shape).toEqual([-1, 28, 28]);
  expect(manifest?.parameters).toBe((784 + 1) * 128 + (128 + 1) * 64 + (64 + 1) * 10);
  expect(manifest?.epochs).toBe(10);
  expect(manifest?.evaluation?.["accuracy"]).toBeGreaterThan(0.95);
}, 180_000);
