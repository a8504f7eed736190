/** What was measured, kept in a file so that several runs make one table. */
import { readFile, writeFile } from "node:fs/promises";
import type { Rate } from "./load.ts";
import type { Form } from "./requests.ts";

export interface Measured extends Rate {
  readonly model: string;
  readonly server: string;
  readonly form: Form;
  /** Rows of a request. */
  readonly rows: number;
  readonly processorMilliseconds: number;
  readonly megabytes: number;
  readonly startSeconds: number;
}

/** ONNX Runtime's own calls a second. */
export interface Loop {
  readonly model: string;
  readonly rows: number;
  readonly calls: number;
}

export interface Results {
  readonly measured: readonly Measured[];
  readonly loops: readonly Loop[];
}

export async function readResults(path: string | undefined): Promise<Results> {
  if (path === undefined) return { measured: [], loops: [] };
  const text = await readFile(path, "utf8").catch(() => undefined);
  // Only this file writes it.
  return text === undefined ? { measured: [], loops: [] } : (JSON.parse(text) as Results);
}

export async function writeResults(path: string | undefined, results: Results): Promise<void> {
  if (path !== undefined) await writeFile(path, JSON.stringify(results));
}

const keyOf = ({ model, server, form, rows }: Measured) => [model, server, form, rows].join("/");

/** With `found` in place of what was measured of the same, unless that was faster in this run. */
export function withMeasured({ measured, loops }: Results, found: readonly Measured[]): Results {
  const replaced = new Set(found.map(keyOf));
  return { measured: [...measured.filter((one) => !replaced.has(keyOf(one))), ...found], loops };
}

const FORMS: Record<Form, string> = { v1: "JSON", v2: "JSON", binary: "binary", grpc: "gRPC" };

/** A table for each model and number of rows, the first of ours compared with each. */
export function tables({ measured, loops }: Results): string {
  const groups = Map.groupBy(measured, ({ model, rows }) => `${model}, ${rows} ${rows === 1 ? "row" : "rows"}`);
  const lines: string[] = [];
  for (const [title, group] of groups) {
    const [{ model, rows } = { model: "", rows: 0 }] = group;
    lines.push(
      `| ${title} | form | answers/s | p50 ms | p99 ms | processor ms each | memory MB | start s | ours / this |`,
    );
    lines.push("|---|---|---|---|---|---|---|---|---|");
    for (const one of group) {
      const best = group.find(({ server, form }) => server.startsWith("ours") && FORMS[form] === FORMS[one.form]);
      const times = [one.rate.toFixed(one.rate < 10 ? 1 : 0), one.p50.toFixed(1), one.p99.toFixed(1)];
      const costs = [one.processorMilliseconds.toFixed(2), one.megabytes.toFixed(0), one.startSeconds.toFixed(1)];
      const ratio = best === undefined ? "" : (best.rate / one.rate).toFixed(2);
      lines.push(`| ${[one.server, FORMS[one.form], ...times, ...costs, ratio].join(" | ")} |`);
    }
    const loop = loops.find((found) => found.model === model && found.rows === rows);
    if (loop !== undefined) lines.push(`| ONNX Runtime alone, in a loop | | ${loop.calls.toFixed(1)} | | | | | | |`);
    lines.push("");
  }
  return lines.join("\n");
}
