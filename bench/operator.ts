/**
 * The operator under load, on a real control plane with KWOK's nodes, beside a controller made the usual way with
 * client-node. `node bench/operator.ts [--objects 1000] [--quick] [--only floor|load|size]`; see docs/benchmarks.md
 */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Bed, enterNetwork, type Floor, floorOf, startBench, type Subject } from "./operator/bed.ts";
import { Program } from "./operator/program.ts";
import { type Row, table } from "./operator/table.ts";
import { Work } from "./operator/work.ts";
import { freePorts } from "../test/cluster/ports.ts";

interface Size {
  /** Objects in the burst. */
  readonly objects: number;
  /** Numbers of objects at which memory is read. */
  readonly sizes: readonly number[];
  readonly idleSeconds: number;
  readonly observed: number;
}

const quick: Size = { objects: 200, sizes: [200, 400], idleSeconds: 60, observed: 5 };
const full: Size = { objects: 1000, sizes: [1000, 3000, 5000], idleSeconds: 300, observed: 20 };
/** Memory by number of objects: nobody waits there for controllers that keep to Kubernetes' own pace. */
const FAST_PACE = 200;
/** What the processes of that many objects may take, MiB; and KServe's. */
const MEMORY: Readonly<Record<number, { target: number; kserve: number }>> = {
  0: { target: 90, kserve: 63 },
  1000: { target: 110, kserve: 148 },
  3000: { target: 140, kserve: 207 },
  5000: { target: 170, kserve: Number.NaN },
};
const ONE_BY_ONE = 50;

const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? Number.NaN;
const say = (line: string): void => console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
const load = (): string => `load ${loadavg()[0]?.toFixed(1)}`;

/** Node's flags, as the operator's image has them. */
async function nodeFlags(): Promise<string[]> {
  const dockerfile = await readFile(join(import.meta.dirname, "../images/operator/Dockerfile"), "utf8");
  const entry = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(dockerfile)?.[1] ?? "[]") as string[];
  return entry.filter((argument) => argument.startsWith("--"));
}

async function program(bed: Bed, name: string, { kubeconfig, namespace }: Subject): Promise<Program> {
  const [port = 0] = await freePorts(1);
  const args =
    name === "stock"
      ? ["stock-controller.js", kubeconfig, namespace, String(port)]
      : [
          ...(await nodeFlags()),
          "dist/operator/main.js",
          "--runtime-image=registry.example/modelwright/runtime:1",
          `--kubeconfig=${kubeconfig}`,
          `--namespace=${namespace}`,
          "--leader-elect",
          `--lease-namespace=${namespace}`,
          // As the chart has it: the same in a container that is started again.
          "--identity=bench",
          `--health-port=${port}`,
        ];
  return new Program({ name, args, port, cwd: bed.folder, log: join(bed.folder, `${name}.log`), environment: {} });
}

/** What both controllers do, one after the other. */
async function common(work: Work, subject: Program, size: Size) {
  await subject.start();
  // A new leader waits for a lease; a heap settles.
  await sleep(5000);
  const empty = await subject.memory();
  say(`${subject.name}: ${empty.toFixed(0)} MiB with no object; one by one (${load()})`);
  const latency = await work.oneByOne(ONE_BY_ONE);
  say(`${subject.name}: ${size.objects} at once (${load()})`);
  const burst = await work.burst("many", size.objects);
  await sleep(3000);
  const memory = await subject.memory();
  say(`${subject.name}: ${JSON.stringify(burst)}, ${memory.toFixed(0)} MiB (${load()})`);
  return { empty, p50: quantile(latency, 0.5), p99: quantile(latency, 0.99), burst, memory };
}

/** How long posting the same objects takes where nothing else is done. */
async function floors(objects: number): Promise<{ alone: Floor; followed: Floor }> {
  const alone = await floorOf(objects, true, say);
  say(`floor: ${JSON.stringify(alone)} (${load()})`);
  const followed = await floorOf(objects, false, say);
  say(`floor with controllers: ${JSON.stringify(followed)} (${load()})`);
  return { alone, followed };
}

function floorRow(objects: number, { alone, followed }: { alone: Floor; followed: Floor }): Row {
  return {
    what: `floor: ${objects} objects and their ${alone.requests} children posted by a bare client, no controllers / with them`,
    kserve: [],
    target: [],
    ours: [alone.seconds, followed.seconds],
    unit: "s",
    note: `${alone.cpu.toFixed(0)} and ${followed.cpu.toFixed(0)} processor seconds of the bed`,
  };
}

/** Resident memory at each number of objects, in a process that saw them all come. */
async function memory(bed: Bed, sizes: readonly number[]): Promise<Row> {
  const ours = await program(bed, "operator", bed.ours);
  const work = new Work(bed, bed.ours, ours);
  try {
    await ours.start();
    await sleep(5000);
    const read = [await ours.memory()];
    for (const [index, size] of sizes.entries()) {
      await work.burst(`size-${size}`, size - (sizes[index - 1] ?? 0));
      await sleep(3000);
      read.push(await ours.memory());
      say(
        `operator: ${read.at(-1)?.toFixed(0)} MiB with ${size} objects, ended by itself ${ours.endings} times (${load()})`,
      );
    }
    const at = [0, ...sizes].map((size) => MEMORY[size] ?? { target: Number.NaN, kserve: Number.NaN });
    return {
      what: `RSS at 0 / ${sizes.join(" / ")} objects`,
      kserve: at.map(({ kserve }) => kserve),
      target: at.map(({ target }) => target),
      ours: read,
      unit: "MiB",
    };
  } finally {
    await ours.kill();
  }
}

async function measure(bed: Bed, size: Size): Promise<Row[]> {
  const ours = await program(bed, "operator", bed.ours);
  const stock = await program(bed, "stock", bed.stock);
  const work = new Work(bed, bed.ours, ours);
  const stockWork = new Work(bed, bed.stock, stock);
  try {
    const us = await common(work, ours, size);
    const idleSince = Date.now();
    say(`operator: idle from now; meanwhile the stock controller`);
    const they = await common(stockWork, stock, size);
    const theirIdle = Date.now();
    await sleep(Math.max(idleSince + size.idleSeconds * 1000 - Date.now(), size.idleSeconds * 100));
    const idle = await work.work(idleSince);
    const stockIdle = { ...(await stockWork.work(theirIdle)), seconds: (Date.now() - theirIdle) / 1000 };
    say(`idle: ${JSON.stringify({ idle, stockIdle })}`);
    const stockRestart = await stockWork.restart();
    const stockDeleted = await stockWork.deletedWhileDown("one-000");
    await stock.kill();

    const generations: number[] = [];
    for (let index = 10; index < 10 + size.observed; index++) generations.push(await work.observed(`one-0${index}`));
    const broken = await work.brokenImage("one-001");
    say(`broken image: ${JSON.stringify(broken)}`);
    const change = Date.now();
    await work.settled(change);
    const restart = await work.restart();
    say(`restart: ${JSON.stringify({ restart, stockRestart })}`);
    const deleted = await work.deletedWhileDown("one-000");
    say(`operator: ${bed.pods.asked} answers of pods, ended by itself ${ours.endings} times (${load()})`);

    const n = size.objects;
    const scale = n / 1000;
    return [
      {
        what: "applied to Deployment and Services written, 50 one after the other, p50 / p99",
        kserve: [26, 40],
        target: [20, 40],
        ours: [us.p50, us.p99],
        stock: [they.p50, they.p99],
        unit: "ms",
      },
      {
        what: `${n} applied at once: all children there`,
        kserve: [69.6 * scale],
        target: [20 * scale],
        ours: [us.burst.seconds],
        stock: [they.burst.seconds],
        unit: "s",
        note: `${(n / us.burst.seconds).toFixed(0)}/s; the load took ${us.burst.postedSeconds.toFixed(0)} s to apply`,
      },
      {
        what: "API requests per object at creation",
        kserve: [27],
        target: [us.burst.children + 2],
        ours: [us.burst.requests],
        stock: [they.burst.requests],
        note: `${us.burst.children} children, ${us.burst.status.toFixed(1)} of status, ${us.burst.events.toFixed(1)} events, ${us.burst.reads} reads`,
      },
      {
        what: `idle at ${n + ONE_BY_ONE}, ${size.idleSeconds} s: requests beyond lease and watches`,
        kserve: [0],
        target: [0],
        ours: [idle.requests],
        stock: [stockIdle.requests],
        note: `the stock controller in ${stockIdle.seconds.toFixed(0)} s`,
      },
      {
        what: `RSS after these, with ${n + ONE_BY_ONE} objects`,
        kserve: [],
        target: [],
        ours: [us.memory],
        stock: [they.memory],
        unit: "MiB",
      },
      {
        what: `CPU seconds for the ${n}`,
        kserve: [26 * scale],
        target: [15 * scale],
        ours: [us.burst.cpu],
        stock: [they.burst.cpu],
        unit: "s",
      },
      {
        what: `SIGKILL and restart at ${n + ONE_BY_ONE}, nothing changed: requests beyond lists and watches / writes`,
        kserve: [6057 * scale, 2002 * scale],
        target: [0, 0],
        ours: [restart.requests, restart.writes],
        stock: [stockRestart.requests, stockRestart.writes],
        note: `${restart.follows} lists and watches`,
      },
      {
        what: "a child deleted while the controller was down is there again, from its start",
        kserve: [29.9],
        target: [5],
        ours: [deleted],
        stock: [stockDeleted],
        unit: "s",
      },
      {
        what: "broken image of a running deployment shown in READY/REASON",
        kserve: [601],
        target: [10],
        ours: [broken.seconds],
        unit: "s",
        note: `${broken.reason}, image ${broken.named ? "" : "NOT "}named, the old version ${broken.ready ? "still" : "NOT"} Ready`,
      },
      {
        what: "observedGeneration after a change of spec, p50 / max (KServe: stays wrong)",
        kserve: [],
        target: [1, 1],
        ours: [quantile(generations, 0.5), Math.max(...generations)],
        unit: "s",
      },
      {
        what: `event-loop delay during the ${n}, p99 / max`,
        kserve: [],
        target: [20, 100],
        ours: [us.burst.delay.p99, us.burst.delay.max],
        stock: [they.burst.delay.p99, they.burst.delay.max],
        unit: "ms",
      },
    ];
  } finally {
    await ours.kill();
    await stock.kill();
  }
}

/** The parts of the bench, each on a bed of its own. */
const PARTS = ["floor", "load", "size"] as const;

async function run(parts: readonly string[], size: Size): Promise<Row[]> {
  const rows: Row[] = [];
  if (parts.includes("floor")) rows.push(floorRow(size.objects, await floors(size.objects)));
  if (parts.includes("load")) {
    const bed = await startBench((size.objects + ONE_BY_ONE) * 2, say);
    try {
      rows.push(...(await measure(bed, size)));
    } finally {
      await bed.stop();
    }
  }
  if (parts.includes("size")) {
    const bed = await startBench(size.sizes.at(-1) ?? 0, say, FAST_PACE);
    try {
      rows.push(await memory(bed, size.sizes));
    } finally {
      await bed.stop();
    }
  }
  return rows;
}

const { values } = parseArgs({
  options: {
    objects: { type: "string" },
    only: { type: "string", multiple: true },
    quick: { type: "boolean" },
    inside: { type: "boolean" },
  },
});
const base = values.quick ? quick : full;
const objects = Number(values.objects ?? base.objects);
const parts = values.only ?? PARTS;
if (!Number.isInteger(objects) || objects < 1) {
  console.error(`--objects ${values.objects ?? ""} is no number of objects; give 1 or more`);
  process.exit(64);
}
const strange = parts.find((part) => !(PARTS as readonly string[]).includes(part));
if (strange !== undefined) {
  console.error(`--only ${strange} is none of ${PARTS.join(", ")}`);
  process.exit(64);
}
if (!values.inside) {
  // A network of its own: there the addresses of KWOK's pods lead to loopback, and no real network is disturbed.
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const self = [process.execPath, import.meta.filename, ...process.argv.slice(2), "--inside"];
  const [alone, ...args] = ["unshare", ...user, "--net", ...self];
  const { status, error } = spawnSync(alone, args, { stdio: "inherit" });
  if (error) console.error(`cannot make a network namespace: ${error.message}; it needs Linux and util-linux`);
  process.exit(status ?? 70);
}
await enterNetwork();
const started = performance.now();
const rows = await run(parts, { ...base, objects });
console.log(`\n${table(rows)}\n\n${((performance.now() - started) / 1000).toFixed(0)} s, ${load()}`);
