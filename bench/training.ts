/**
 * Seconds per epoch of a training, ours on each engine and Keras' fit, one after the other in fresh processes on the
 * same threads. `node bench/training.ts [--python PATH] [--threads N] [--epochs N] [--rounds N] [--only WORKLOAD] [--without wasm]`;
 * PATH is a Python with tensorflow and keras, without which only ours are measured.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";

const { values } = parseArgs({
  options: {
    python: { type: "string" },
    threads: { type: "string", default: "1" },
    epochs: { type: "string", default: "2" },
    rounds: { type: "string", default: "2" },
    only: { type: "string" },
    without: { type: "string", multiple: true, default: [] },
  },
});

const WORKLOADS = ["mlp-32", "mlp-128", "cnn-32", "lstm-32", "gru-32"];
const OURS = ["compiled", "interpreted", "wasm"];
const PEERS = ["tfdata", "numpy", "jit"];
const Result = z.object({ seconds: z.number(), first: z.number() });

const environment = {
  ...process.env,
  TF_NUM_INTRAOP_THREADS: values.threads,
  TF_NUM_INTEROP_THREADS: values.threads,
  CUDA_VISIBLE_DEVICES: "",
};

/** Seconds per epoch; undefined when it could not be measured, of which the reason is printed. */
function measure(workload: string, kind: string): number | undefined {
  const ours = OURS.includes(kind);
  const program = ours ? process.execPath : values.python;
  if (program === undefined) return undefined;
  const script = join(import.meta.dirname, "training", ours ? "work.ts" : "keras_peer.py");
  const args = [script, workload, kind, values.epochs, ...(ours ? [values.threads] : [])];
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", env: environment });
  if (status === 0) return Result.parse(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).seconds;
  console.error(`${workload} ${kind}: ${(error?.message ?? stderr).trim().split("\n").slice(-3).join(" ")}`);
  return undefined;
}

if (values.python === undefined) {
  console.log("Keras is not measured: name a Python that has tensorflow-cpu 2.21.0 and keras with --python PATH\n");
}
const kinds = [...OURS, ...PEERS].filter((kind) => !values.without.includes(kind));
const shown = (seconds: number | undefined) => (seconds === undefined ? "-" : seconds.toFixed(3));
console.log(`| ${values.threads} threads, s per epoch | ${kinds.join(" | ")} | Keras fit / compiled |`);
console.log(`|---|${kinds.map(() => "---|").join("")}---|`);
for (const workload of WORKLOADS.filter((name) => values.only === undefined || name === values.only)) {
  const best = new Map<string, number>();
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const kind of kinds) {
      const seconds = measure(workload, kind);
      if (seconds !== undefined) best.set(kind, Math.min(seconds, best.get(kind) ?? Infinity));
    }
  }
  const [ours, peer] = [best.get("compiled"), best.get("tfdata")];
  const ratio = ours === undefined || peer === undefined ? "-" : (peer / ours).toFixed(2);
  console.log(`| ${workload} | ${kinds.map((kind) => shown(best.get(kind))).join(" | ")} | ${ratio} |`);
}
