/**
 * What users wait for, on the local cluster with real pods: `node bench/operate.ts [--only NAME] [--rounds N]`.
 * Builds the images where they have changed. See docs/benchmarks.md
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { OperateBed } from "./operate/bed.ts";
import {
  divert,
  type Figure,
  processor,
  rollback,
  rollouts,
  type Scenario,
  start,
  step,
  zero,
} from "./operate/scenarios.ts";

const SCENARIOS: Readonly<Record<string, { readonly run: Scenario; readonly rounds: number }>> = {
  start: { run: start, rounds: 5 },
  zero: { run: zero, rounds: 10 },
  divert: { run: divert, rounds: 5 },
  rollback: { run: rollback, rounds: 3 },
  rollouts: { run: rollouts, rounds: 100 },
  step: { run: step, rounds: 1 },
  processor: { run: processor, rounds: 1 },
};

const { values } = parseArgs({ options: { only: { type: "string" }, rounds: { type: "string" } } });
const chosen = Object.entries(SCENARIOS).filter(([name]) => values.only === undefined || values.only === name);
if (chosen.length === 0) throw new TypeError(`--only is one of ${Object.keys(SCENARIOS).join(", ")}`);

const bed = await OperateBed.start();
const figures: Figure[] = [];
try {
  for (const [name, { run, rounds }] of chosen) {
    console.log(`${new Date().toISOString().slice(11, 19)} ${name} (load ${loadavg()[0]?.toFixed(1)})`);
    const found = await run(bed, Number(values.rounds ?? rounds));
    for (const { what, figure, beside } of found) console.log(`  ${what}: ${figure} | ${beside}`);
    figures.push(...found);
  }
} finally {
  await bed.remove();
}
console.log("\n| what | figure | beside |\n|---|---|---|");
for (const { what, figure, beside } of figures) console.log(`| ${what} | ${figure} | ${beside} |`);
