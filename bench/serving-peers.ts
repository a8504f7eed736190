/**
 * Serves one model by ours (each engine) and by Python's servers, one after the other, on one processor with one thread;
 * the client has the other one. Rounds take turns, and the best of each counts. Then ours is asked for more than it can do.
 *
 *     python3 -m venv A && A/bin/pip install -r bench/serving/requirements.txt
 *     python3 -m venv B && B/bin/pip install -r bench/serving/requirements-mlserver.txt
 *     npx node bench/serving-peers.ts --python A/bin/python --mlserver B/bin/python [--seconds 3] [--rounds 2] [--connections 32] [--only mlp|cnn|overload]
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compileFolder } from "../runtime/serving/onnx-compiler.ts";
import { JSON_LENGTH_HEADER } from "../runtime/serving/infer.ts";
import { writeHeavyModel } from "./serving/heavy-model.ts";
import { type Rate, type Request, closedLoop, openLoop } from "./serving/load.ts";
import { computedSeconds, family, megabytes, pinned, start, stop } from "./serving/processes.ts";
import { freePort } from "../test/cluster/ports.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string" },
    mlserver: { type: "string" },
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "2" },
    connections: { type: "string", default: "32" },
    only: { type: "string" },
    without: { type: "string", multiple: true, default: [] },
  },
});
const seconds = Number(values.seconds);
const connections = Number(values.connections);
const cores = availableParallelism();
const START_MILLISECONDS = 120_000;

const SHAPES = { mlp: [784], cnn: [28, 28, 1] } as const;
type Model = keyof typeof SHAPES;
type Form = "v1" | "v2" | "binary";

const JSON_TYPE = { "Content-Type": "application/json" };

/** One row of numbers as pixels have them, in the form that the server takes. */
function requestFor(model: Model, form: Form): Request {
  const shape = SHAPES[model];
  const row = Float32Array.from({ length: 784 }, (_, index) => Math.fround((index * 37) % 256) / 256);
  const spec = { name: "x", shape: [1, ...shape], datatype: "FP32" };
  if (form === "v2") {
    const body = JSON.stringify({ inputs: [{ ...spec, data: [...row] }] });
    return { path: "/v2/models/m/infer", body: Buffer.from(body), headers: JSON_TYPE };
  }
  if (form === "binary") {
    const input = { ...spec, parameters: { binary_data_size: row.byteLength } };
    const head = Buffer.from(JSON.stringify({ inputs: [input], parameters: { binary_data_output: true } }));
    const headers = { [JSON_LENGTH_HEADER]: String(head.length) };
    return { path: "/v2/models/m/infer", body: Buffer.concat([head, Buffer.from(row.buffer)]), headers };
  }
  const nested =
    model === "mlp"
      ? [...row]
      : Array.from({ length: 28 }, (_, y) => [...row.subarray(y * 28, y * 28 + 28)].map((v) => [v]));
  return {
    path: "/v1/models/m:predict",
    body: Buffer.from(JSON.stringify({ instances: [nested] })),
    headers: JSON_TYPE,
  };
}

interface Server {
  readonly name: string;
  readonly form: Form;
  readonly command: (model: string, port: number) => readonly string[];
}

/** A folder beside the model's: ours take a folder with one model only. */
const ONNX_FILE = "-onnx/model.onnx";

const SERVE = [process.execPath, join(import.meta.dirname, "../runtime/main.ts"), "serve"];
const PORTS = ["--grpc-port", "0", "--management-port", "0", "--host", "127.0.0.1", "--drain-delay", "0"];
const ours = (name: string, engine: string, form: Form): Server => ({
  name: `ours, ${name}`,
  form,
  command: (folder, port) => [...SERVE, folder, "--name", "m", "--engine", engine, "--port", String(port), ...PORTS],
});
const peer = (name: string, python: string | undefined, script: string, file: string, form: Form): Server[] =>
  python === undefined
    ? []
    : [
        {
          name,
          form,
          command: (folder, port) => [
            python,
            join(import.meta.dirname, "serving", script),
            `${folder}${file}`,
            String(port),
          ],
        },
      ];

const SERVERS: readonly Server[] = [
  ours("ONNX Runtime", "OnnxRuntime", "v1"),
  ours("ONNX Runtime, binary", "OnnxRuntime", "binary"),
  ours("TensorFlow", "TensorFlow", "v1"),
  ours("Wasm", "Wasm", "v1"),
  ...peer("TensorFlow, FastAPI", values.python, "fastapi_peer.py", "/model.h5", "v1"),
  ...peer("TensorFlow, KServe", values.python, "kserve_peer.py", "/model.h5", "v1"),
  ...peer("ONNX Runtime, MLServer", values.mlserver, "mlserver_peer.py", ONNX_FILE, "v2"),
].filter(({ name }) => !values.without.includes(name));

async function until(url: string, request: Request, failed: () => string | undefined): Promise<void> {
  const deadline = performance.now() + START_MILLISECONDS;
  for (;;) {
    const answer = await fetch(`${url}${request.path}`, {
      method: "POST",
      body: request.body,
      headers: request.headers,
    }).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.status === 200) return;
    const reason = failed();
    if (reason !== undefined) throw new Error(reason);
    if (performance.now() > deadline)
      throw new Error(`no answer in time; the last had status ${answer?.status ?? "none"}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

interface Measured extends Rate {
  readonly processorMilliseconds: number;
  readonly megabytes: number;
  readonly startSeconds: number;
}

/** Starts the server, asks it, ends it. */
async function measure<T>(
  server: Server,
  folder: string,
  request: Request,
  ask: (url: string, pid: number) => Promise<T>,
) {
  const port = await freePort();
  const startedAt = performance.now();
  const child = start(pinned(1, cores, server.command(folder, port)));
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-600)));
  try {
    const url = `http://127.0.0.1:${port}`;
    await until(url, request, () => (child.exitCode === null ? undefined : said));
    const startSeconds = (performance.now() - startedAt) / 1000;
    return { startSeconds, result: await ask(url, child.pid ?? 0) };
  } finally {
    await stop(child);
  }
}

async function throughput(server: Server, folder: string, model: Model): Promise<Measured> {
  const request = requestFor(model, server.form);
  const { startSeconds, result } = await measure(server, folder, request, async (url, pid) => {
    const pids = await family(pid);
    const before = await computedSeconds(pids);
    const rate = await closedLoop(url, request, seconds, connections);
    // One second of asking that does not count was computed, too.
    const computed = ((await computedSeconds(pids)) - before) * (seconds / (seconds + 1));
    return {
      ...rate,
      processorMilliseconds: (computed * 1000) / (rate.rate * seconds),
      megabytes: await megabytes(pids),
    };
  });
  return { ...result, startSeconds };
}

async function compare(folder: string, model: Model): Promise<void> {
  const best = new Map<string, Measured>();
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const server of SERVERS) {
      try {
        const measured = await throughput(server, folder, model);
        if (measured.rate > (best.get(server.name)?.rate ?? 0)) best.set(server.name, measured);
      } catch (error) {
        console.error(`${server.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  const first = best.get(SERVERS[0]?.name ?? "")?.rate ?? NaN;
  console.log(
    `\n| ${model}, ${connections} connections | answers/s | p50 ms | p99 ms | processor ms each | memory MB | start s | ours, ONNX Runtime / this |`,
  );
  console.log("|---|---|---|---|---|---|---|---|");
  for (const { name } of SERVERS) {
    const found = best.get(name);
    if (found === undefined) continue;
    const { rate, p50, p99, processorMilliseconds, megabytes: memory, startSeconds } = found;
    const cells = [
      rate.toFixed(0),
      p50.toFixed(1),
      p99.toFixed(1),
      processorMilliseconds.toFixed(2),
      memory.toFixed(0),
      startSeconds.toFixed(1),
    ];
    console.log(`| ${[name, ...cells, (first / rate).toFixed(2)].join(" | ")} |`);
  }
  if (values.python === undefined) return;
  const loop = pinned(1, cores, [
    values.python,
    join(import.meta.dirname, "serving/raw_loop.py"),
    `${folder}${ONNX_FILE}`,
  ]);
  const { stdout, stderr } = spawnSync(loop[0] ?? "", loop.slice(1), { encoding: "utf8" });
  console.log(stdout === "" ? stderr : `ONNX Runtime alone, rows a second by rows of a call: ${stdout.trim()}`);
}

/** Ours, with a batch that takes 10 ms and more, asked for 2, 5 and 10 times what it can do. */
async function overload(folder: string): Promise<void> {
  const server = ours("ONNX Runtime", "OnnxRuntime", "v1");
  const request = {
    path: "/v1/models/m:predict",
    body: Buffer.from('{"instances":[[0.1,2.25,-3,4]]}'),
    headers: JSON_TYPE,
  };
  await measure(server, folder, request, async (url) => {
    // As many clients as fill a batch while another one is computed, so that the most is found.
    const { rate } = await closedLoop(url, request, seconds, 192);
    console.log(
      "\n| overload | offered/s | answered/s | of the most | p99 ms | refused | refused in, p50 ms | failed |",
    );
    console.log("|---|---|---|---|---|---|---|---|");
    console.log(`| none | | ${rate.toFixed(0)} | 1.00 | | | | |`);
    for (const factor of [2, 5, 10]) {
      const found = await openLoop(url, request, rate * factor, seconds);
      const cells = [
        found.offered.toFixed(0),
        found.good.toFixed(0),
        (found.good / rate).toFixed(2),
        found.goodP99.toFixed(0),
      ];
      console.log(
        `| ${[`${factor}x`, ...cells, found.refused.toFixed(2), found.refusedP50.toFixed(1), found.failed].join(" | ")} |`,
      );
    }
  });
}

const scratch = await mkdtemp(join(tmpdir(), "bench-serving-"));
if (cores > 1) spawnSync("taskset", ["-a", "-cp", "0", String(process.pid)]);
try {
  const models = (["mlp", "cnn"] as const).filter((model) => values.only === undefined || values.only === model);
  if (models.length > 0 && values.python !== undefined) {
    spawnSync(values.python, [join(import.meta.dirname, "serving/make_models.py"), scratch], { stdio: "ignore" });
    for (const model of models) {
      const folder = join(scratch, model);
      const compiled = await compileFolder({ dir: folder, shownAs: model });
      if (typeof compiled === "string") throw new Error(compiled);
      await mkdir(`${folder}-onnx`);
      await writeFile(`${folder}${ONNX_FILE}`, compiled.bytes);
      await compare(folder, model);
    }
  } else if (models.length > 0)
    console.log("Models are made by Keras, and peers need it: name a Python with --python PATH");
  if (values.only === undefined || values.only === "overload") {
    const folder = await mkdtemp(join(scratch, "heavy-"));
    await writeHeavyModel(folder);
    await overload(folder);
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
process.exit(0);
