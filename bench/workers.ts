/**
 * What several workers gain and cost on this machine: sums by length, and epochs of the MLP 784-128-64-10 by one process,
 * by workers that share each batch, and by as many processes that know nothing of each other, which is the ceiling here.
 * `node bench/workers.ts [--workers N]… [--batch N]… [--gigabits N] [--latency MICROSECONDS]`
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { freePort } from "../test/cluster/ports.ts";

const { values } = parseArgs({
  options: {
    workers: { type: "string", multiple: true, default: ["2"] },
    batch: { type: "string", multiple: true, default: ["128", "1024"] },
    gigabits: { type: "string", default: "10" },
    latency: { type: "string", default: "50" },
  },
});

/** The last but one is that of the MLP's gradients. */
const LENGTHS = [100, 1000, 16_384, 109_386, 1_000_000];
const ROWS = 12_800;
const Result = z.object({ sums: z.array(z.number()), seconds: z.number() });

type Result = z.output<typeof Result>;

async function worker(part: object): Promise<Result> {
  const script = join(import.meta.dirname, "training", "worker.ts");
  const child = spawn(process.execPath, [script, JSON.stringify(part)], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (data: Buffer) => (text += data.toString()));
  await new Promise((resolve) => child.once("close", resolve));
  return Result.parse(JSON.parse(text.trim().split("\n").at(-1) ?? ""));
}

async function together(size: number, work: object): Promise<Result> {
  const ports: number[] = [];
  for (let rank = 0; rank < size; rank += 1) ports.push(await freePort());
  const key = randomBytes(32).toString("hex");
  const results = await Promise.all(ports.map((_, rank) => worker({ rank, size, ports, key, ...work })));
  const [first] = results;
  if (first === undefined) throw new RangeError("there are no workers");
  return first;
}

async function sideBySide(count: number, batch: number): Promise<number> {
  const alone = { rank: 0, size: 1, ports: [], key: "", batch };
  const results = await Promise.all(Array.from({ length: count }, () => worker(alone)));
  return Math.max(...results.map(({ seconds }) => seconds));
}

const show = (value: number) => value.toPrecision(3);

const sizes = values.workers.map(Number);
console.log(`| numbers | ${sizes.map((size) => `${size} workers, ms`).join(" | ")} |`);
console.log(`|---|${sizes.map(() => "---|").join("")}`);
const sums: number[][] = [];
for (const size of sizes) sums.push((await together(size, { lengths: LENGTHS })).sums);
for (const [index, length] of LENGTHS.entries()) {
  console.log(`| ${length} | ${sums.map((times) => show(times[index] ?? NaN)).join(" | ")} |`);
}

console.log("\n| batch of all | workers | s per epoch | speed-up | ceiling: processes that share nothing |");
console.log("|---|---|---|---|---|");
let last = { batch: 0, seconds: 0 };
for (const batch of values.batch.map(Number)) {
  const alone = await sideBySide(1, batch);
  console.log(`| ${batch} | 1 | ${show(alone)} | 1 | |`);
  last = { batch, seconds: alone };
  for (const size of sizes) {
    const { seconds } = await together(size, { batch });
    // Each of them computes as many examples as one of the workers, in batches as large as theirs.
    const ceiling = (await sideBySide(size, Math.ceil(batch / size))) / size;
    console.log(`| ${batch} | ${size} | ${show(seconds)} | ${show(alone / seconds)} | ${show(alone / ceiling)} |`);
  }
}

/** A ring of N sends 2 (N - 1) parts, each a hop; the slower of link and loopback's own cost counts. */
function projected(size: number, { batch, seconds }: { batch: number; seconds: number }): number {
  const bytes = 4 * 109_386;
  const hops = 2 * (size - 1);
  const wire = ((hops / size) * bytes * 8) / (Number(values.gigabits) * 1e9) + (hops * Number(values.latency)) / 1e6;
  const local = (sums[0]?.[LENGTHS.indexOf(109_386)] ?? 0) / 1000;
  const step = seconds / (ROWS / batch);
  return step / (step / size + Math.max(wire, local));
}

console.log(
  `\nprojection from these for batch ${last.batch} on ${values.gigabits} Gbit/s and ${values.latency} us a hop:`,
);
for (const size of [2, 4, 8]) console.log(`${size} machines: ${show(projected(size, last))} times as fast as one`);
