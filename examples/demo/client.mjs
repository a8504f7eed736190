/**
 * A client inside the cluster that never stops asking: node client.mjs URL MODEL CSV.
 * Prints one JSON line a second with what it has counted; ends on SIGTERM.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const [base, model, file] = process.argv.slice(2);
const rows = readFileSync(file, "utf8")
  .trim()
  .split("\n")
  .slice(1)
  .map((line) => line.split(",").map(Number));

const counts = { sent: 0, answered: 0, failed: 0, right: 0, lastError: undefined };
const stop = new AbortController();

async function ask(row) {
  const label = row.at(-1);
  counts.sent += 1;
  try {
    const response = await fetch(`${base}/v1/models/${model}:predict`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ instances: [row.slice(0, -1)] }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text.slice(0, 200)}`);
    const [scores] = JSON.parse(text).predictions;
    counts.answered += 1;
    if (scores.indexOf(Math.max(...scores)) === label) counts.right += 1;
  } catch (error) {
    counts.failed += 1;
    counts.lastError = String(error.cause ?? error);
  }
}

async function worker(offset) {
  for (let i = offset; !stop.signal.aborted; i += 1) {
    await ask(rows[i % rows.length]);
    await pause(20);
  }
}

const report = setInterval(() => console.log(JSON.stringify(counts)), 1000);
process.once("SIGTERM", () => stop.abort());
await Promise.all([0, 100, 200, 300].map(worker));
clearInterval(report);
console.log(JSON.stringify(counts));
