/**
 * Serves one model by ours (each engine) and by Python's servers, one after the other, on one processor with one thread;
 * the client has the other one. Then ours is asked for more than it can do.
 *
 *     python3 -m venv A && A/bin/pip install -r bench/serving/requirements.txt
 *     python3 -m venv B && B/bin/pip install -r bench/serving/requirements-mlserver.txt
 *     python3 -m venv C && C/bin/pip install -r bench/serving/requirements-pytriton.txt
 *     npx node bench/serving-peers.ts --python A/bin/python --mlserver B/bin/python --pytriton C/bin/python
 *         [--models mlp,cnn,mobilenet,bert,overload] [--peers TEXT,…] [--rows 1,32] [--seconds 2] [--results FILE] [--folder FOLDER]
 *
 * `--peers` takes servers of whose names it holds a part. With `--results` runs of parts make one table; with `--folder`
 * models are made once.
 */
import { spawnSync } from "node:child_process";
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readOnnx } from "../runtime/formats/onnx/model-file.ts";
import { compileFolder } from "../runtime/serving/onnx-compiler.ts";
import { writeHeavyModel } from "./serving/heavy-model.ts";
import { throughput, whileRunning } from "./serving/measure.ts";
import { overload } from "./serving/overload.ts";
import { pinned } from "./serving/processes.ts";
import { type Form, MODELS, type Model, requestFor } from "./serving/requests.ts";
import { type Measured, readResults, tables, withMeasured, writeResults } from "./serving/results.ts";
import { type Server, onnxFile, serversOf } from "./serving/servers.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string" },
    mlserver: { type: "string" },
    pytriton: { type: "string" },
    models: { type: "string", default: "mlp,cnn,mobilenet,bert,overload" },
    peers: { type: "string", default: "" },
    rows: { type: "string", default: "1,32" },
    seconds: { type: "string", default: "2" },
    results: { type: "string" },
    folder: { type: "string" },
  },
});
const seconds = Number(values.seconds);
const cores = availableParallelism();
const wanted = values.models.split(",");
const parts = values.peers.split(",");
const servers = serversOf(values).filter(({ name }) => parts.some((part) => name.includes(part)));

/** Clients that keep a server busy; large models need few. */
const CONNECTIONS: Record<Model, Record<number, number>> = {
  mlp: { 1: 32, 32: 8 },
  cnn: { 1: 32, 32: 4 },
  mobilenet: { 1: 4, 32: 2 },
  bert: { 1: 4, 32: 2 },
};
/** Nobody sends more as text. */
const MOST_BYTES = 8 * 1024 * 1024;

async function prepare(folder: string, model: Model): Promise<string> {
  const target = join(folder, model);
  const made = onnxFile(target);
  if (
    await access(made).then(
      () => true,
      () => false,
    )
  )
    return target;
  if (values.python === undefined)
    throw new Error("models are made by Keras, and peers need it: name a Python with --python PATH");
  spawnSync(values.python, [join(import.meta.dirname, "serving/make_models.py"), folder, model], { stdio: "ignore" });
  const compiled = await compileFolder({ dir: target, shownAs: model });
  if (typeof compiled === "string") throw new Error(compiled);
  await mkdir(`${target}-onnx`, { recursive: true });
  await writeFile(made, compiled.bytes);
  return target;
}

async function inputsOf(folder: string, model: Model) {
  const bytes = await readFile(onnxFile(folder));
  const [first] = readOnnx(bytes, model).inputs;
  return MODELS[model](first?.name ?? "x");
}

async function measureServer(server: Server, folder: string, model: Model, rows: number[]): Promise<Measured[]> {
  const inputs = await inputsOf(folder, model);
  const first = requestFor(inputs, 1, server.forms.includes("v1") ? "v1" : "v2");
  const found: Measured[] = [];
  await whileRunning(server, { folder, cores }, first, async (running) => {
    for (const count of rows) {
      for (const form of server.forms) {
        const request = requestFor(inputs, count, form);
        if (form.startsWith("v") && request.body.length > MOST_BYTES) continue;
        const settings = { connections: CONNECTIONS[model][count] ?? 4, seconds };
        const { startSeconds } = running;
        const about = { model, server: server.name, form: form satisfies Form, rows: count, startSeconds };
        try {
          found.push({ ...about, ...(await throughput(running, form, request, settings)) });
        } catch (error) {
          console.error(`${server.name}, ${model}, ${form}, ${count} rows: ${String(error)}`);
        }
      }
    }
  });
  return found;
}

function loopsOf(folder: string, model: Model, rows: number[]) {
  if (values.python === undefined) return [];
  const script = join(import.meta.dirname, "serving/raw_loop.py");
  const command = pinned(1, cores, [values.python, script, onnxFile(folder), values.seconds, ...rows.map(String)]);
  const { stdout, stderr } = spawnSync(command[0] ?? "", command.slice(1), { encoding: "utf8" });
  if (stdout === "") throw new Error(stderr);
  const calls = JSON.parse(stdout) as Record<string, number>;
  return rows.map((count) => ({ model, rows: count, calls: calls[count] ?? Number.NaN }));
}

async function compare(folder: string, model: Model): Promise<void> {
  const rows = values.rows.split(",").map(Number);
  const target = await prepare(folder, model);
  let results = await readResults(values.results);
  for (const server of servers) {
    try {
      results = withMeasured(results, await measureServer(server, target, model, rows));
    } catch (error) {
      console.error(`${server.name}, ${model}: ${error instanceof Error ? error.message : String(error)}`);
    }
    await writeResults(values.results, results);
  }
  const loops = loopsOf(target, model, rows);
  const others = results.loops.filter(
    (one) => !loops.some((loop) => loop.model === one.model && loop.rows === one.rows),
  );
  results = { ...results, loops: [...others, ...loops] };
  await writeResults(values.results, results);
  console.log(tables({ ...results, measured: results.measured.filter((one) => one.model === model) }));
}

const scratch = await mkdtemp(join(tmpdir(), "bench-serving-"));
if (cores > 1) spawnSync("taskset", ["-a", "-cp", "0", String(process.pid)]);
try {
  for (const model of Object.keys(MODELS) as Model[]) {
    if (wanted.includes(model)) await compare(values.folder ?? scratch, model);
  }
  if (wanted.includes("overload")) {
    const folder = await mkdtemp(join(scratch, "heavy-"));
    await writeHeavyModel(folder);
    await overload(folder, { seconds, cores });
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
process.exit(0);
