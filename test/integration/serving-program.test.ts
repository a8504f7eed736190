import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, type IncomingHttpHeaders, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ServingProgress } from "../../crds/contract/progress.ts";
import { fileRecords, filesDigest } from "../../runtime/store/files.ts";
import { JSON_LENGTH_HEADER } from "../../runtime/serving/infer.ts";
import { linear, writeLinearModel, writePairModel } from "../../runtime/serving/testing/models.ts";
import {
  LOOPBACK,
  Program,
  closePrograms,
  type Server,
  startServer,
  until,
} from "../../runtime/serving/testing/program.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Call {
  readonly method?: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
  readonly signal?: AbortSignal;
}

function call(url: string, { method, body, headers = {}, agent, signal }: Call = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
    const options = { method: method ?? (body === undefined ? "GET" : "POST"), headers: { ...length, ...headers } };
    const request = httpRequest(url, { ...options, ...(agent && { agent }), ...(signal && { signal }) }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

function parse(answer: Answer): unknown {
  return JSON.parse(answer.body.toString());
}

function predictBody(x: readonly number[]): string {
  return JSON.stringify({ instances: [x] });
}

let scratch = "";
let linearDir = "";
let pairDir = "";
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "serving-"));
  linearDir = await writeLinearModel(join(scratch, "linear"));
  pairDir = await writePairModel(join(scratch, "pair"));
});

afterAll(async () => {
  await closePrograms();
  await rm(scratch, { recursive: true, force: true });
});

describe.each(["Wasm", "TensorFlow", "OnnxRuntime"])("a server on %s", (engine) => {
  let server: Server;
  let pair: Server;
  beforeAll(async () => {
    [server, pair] = await Promise.all([
      startServer([linearDir, "--engine", engine, "--drain-delay", "0"]),
      startServer([pairDir, "--engine", engine, "--name", "pa ir/1", "--drain-delay", "0"]),
    ]);
  }, 30_000);

  it("answers TensorFlow Serving's calls", async () => {
    const predict = `${server.url}/v1/models/linear:predict`;
    const x = [[1, 2, 3, 4], [-1, 0.5, 0, 8]]; // prettier-ignore
    expect(parse(await call(predict, { body: JSON.stringify({ instances: x }) }))).toEqual({
      predictions: x.map(linear),
    });
    expect(parse(await call(predict, { body: JSON.stringify({ inputs: x }) }))).toEqual({ outputs: x.map(linear) });
    expect((await call(predict, { body: '{"instances":[[NaN,0,0,0]]}' })).body.toString()).toBe(
      '{"predictions":[[NaN,NaN,NaN]]}',
    );
    expect(parse(await call(`${server.url}/v1/models/linear/versions/1`))).toEqual({
      model_version_status: [{ version: "1", state: "AVAILABLE", status: { error_code: "OK", error_message: "" } }],
      name: "linear",
      ready: true,
    });
    expect(parse(await call(`${server.url}/v1/models/linear/metadata`))).toMatchObject({
      model_spec: { name: "linear", signature_name: "", version: "1" },
      metadata: {
        signature_def: {
          signature_def: {
            serving_default: {
              inputs: { x: { dtype: "DT_FLOAT", tensor_shape: { dim: [{ size: "-1" }, { size: "4" }] } } },
              method_name: "tensorflow/serving/predict",
            },
          },
        },
      },
    });
  });

  it("refuses with TensorFlow Serving's statuses", async () => {
    const status = async (path: string, body?: string) =>
      (await call(`${server.url}${path}`, body === undefined ? {} : { body })).status;
    expect(await status("/v1/models/other:predict", "")).toBe(400);
    expect(await status("/v1/models/other:predict", predictBody([1, 2, 3, 4]))).toBe(404);
    expect(await status("/v1/models/linear/versions/2:predict", predictBody([1, 2, 3, 4]))).toBe(404);
    expect(await status("/v1/models/other")).toBe(404);
    expect(await status("/v1/models")).toBe(400);
    const refused = await call(`${server.url}/v1/models/linear:predict`, { body: predictBody([1, 2]) });
    expect(refused.headers["content-type"]).toBe("application/json");
    expect(parse(refused)).toEqual({
      error: "unexpected shape for input 'x' for model 'linear'. Expected [-1,4], got [1,2]",
    });
  });

  it("answers the Open Inference Protocol's calls", async () => {
    const get = async (path: string) => parse(await call(`${server.url}${path}`));
    expect(await get("/v2")).toMatchObject({
      name: "modelwright",
      extensions: ["binary_tensor_data", "model_repository"],
    });
    expect(await get("/v2/health/live")).toEqual({ live: true });
    expect(await get("/v2/health/ready")).toEqual({ ready: true });
    expect(await get("/v2/models")).toEqual({ models: ["linear"] });
    expect(await get("/v2/models/linear/ready")).toEqual({ name: "linear", ready: true });
    expect(await get("/v2/models/linear/versions/1")).toEqual({
      name: "linear",
      versions: ["1"],
      platform: "tensorflow_tfjslayers",
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 4] }],
      outputs: [{ name: "y/y", datatype: "FP32", shape: [-1, 3] }],
    });
    const input = { name: "x", shape: [1, 4], datatype: "UINT8", data: [[1, 2, 3, 4]] };
    const infer = await call(`${server.url}/v2/models/linear/infer`, {
      body: JSON.stringify({ id: "7", inputs: [input] }),
    });
    expect(infer.status).toBe(200);
    expect(parse(infer)).toEqual({
      model_name: "linear",
      id: "7",
      outputs: [{ name: "y/y", datatype: "FP32", shape: [1, 3], data: linear([1, 2, 3, 4]) }],
    });
  });

  it("takes and gives binary tensors", async () => {
    const inputs = [{ name: "x", shape: [2, 4], datatype: "FP32", parameters: { binary_data_size: 32 } }];
    const json = Buffer.from(JSON.stringify({ id: "é", inputs, parameters: { binary_data_output: true } }));
    const x = new Float32Array([1, 2, 3, 4, Number.NaN, 0, 0, 0]);
    const answer = await call(`${server.url}/v2/models/linear/infer`, {
      body: Buffer.concat([json, Buffer.from(x.buffer)]),
      headers: { [JSON_LENGTH_HEADER]: String(json.length) },
    });
    const length = Number(answer.headers[JSON_LENGTH_HEADER.toLowerCase()]);
    expect(JSON.parse(answer.body.subarray(0, length).toString())).toMatchObject({
      id: "é",
      outputs: [{ name: "y/y", shape: [2, 3], parameters: { binary_data_size: 24 } }],
    });
    const values = Array.from({ length: 6 }, (_, index) => answer.body.readFloatLE(length + index * 4));
    expect(values).toEqual([...linear([1, 2, 3, 4]), Number.NaN, Number.NaN, Number.NaN]);
    expect(answer.body.length).toBe(length + 24);
  });

  it("serves a model with several inputs and outputs, under a name that needs encoding", async () => {
    const path = `${pair.url}/v1/models/pa%20ir%2F1:predict`;
    const metadata = parse(await call(`${pair.url}/v2/models/pa%20ir%2F1`)) as { outputs: { name: string }[] };
    const [all = "", sum = ""] = metadata.outputs.map(({ name }) => name);
    const predict = await call(path, { body: '{"instances":[{"a":[1,2],"n":[2]},{"n":[0],"a":[3,4]}]}' });
    expect(parse(predict)).toEqual({
      predictions: [
        { [all]: [1, 2, 20], [sum]: [23] },
        { [all]: [3, 4, 0], [sum]: [7] },
      ],
    });
    expect((await call(path, { body: '{"instances":[{"a":[1,2],"n":[1.0]}]}' })).status).toBe(400);
    const inputs = [
      { name: "n", shape: [1, 1], datatype: "INT64", data: [1] },
      { name: "a", shape: [1, 2], datatype: "FP64", data: [1, 2] },
    ];
    const infer = await call(`${pair.url}/v2/models/pa%20ir%2F1/infer`, {
      body: JSON.stringify({ inputs, outputs: [{ name: sum }] }),
    });
    expect(parse(infer)).toMatchObject({ outputs: [{ name: sum, data: [13] }] });
    const uneven = [{ ...inputs[0], shape: [2, 1], data: [1, 1] }, inputs[1]];
    const refused = await call(`${pair.url}/v2/models/pa%20ir%2F1/infer`, { body: JSON.stringify({ inputs: uneven }) });
    expect(refused.status).toBe(400);
    expect(parse(refused)).toMatchObject({ error: expect.stringContaining("all inputs need the same number") });
  });

  it("tells progress, load and metrics on the management port", async () => {
    const progress = ServingProgress.parse(parse(await call(`${server.management}/progress`)));
    expect(progress).toMatchObject({ state: "Serving", engine, device: "CPU", model: { uri: linearDir } });
    expect(progress.model.digest).toBe(filesDigest(await fileRecords(linearDir)));
    expect(progress.loadSeconds).toBeGreaterThan(0);
    expect(progress.warmupSeconds).toBeGreaterThan(0);
    expect(progress.peakMemoryBytes).toBeGreaterThan(10_000_000);
    expect(parse(await call(`${server.management}/load`))).toMatchObject({ inFlight: 0, queued: 0 });
    const metrics = (await call(`${server.management}/metrics`)).body.toString();
    expect(metrics).toMatch(
      /modelwright_requests_total\{protocol="v1",call="predict",code="200",model="linear",version="1"\} [1-9]/,
    );
    expect(metrics).toMatch(/modelwright_engine_busy_seconds_total\{model="linear",version="1"\} 0\.\d*[1-9]/);
    expect((await call(`${server.management}/readyz`)).status).toBe(200);
  });

  it("comes back by itself when its engine is killed, and is not ready meanwhile", async () => {
    const predict = `${pair.url}/v1/models/pa%20ir%2F1:predict`;
    const body = '{"instances":[{"a":[1,2],"n":[2]}]}';
    process.kill(pair.enginePid, "SIGSTOP");
    const inFlight = call(predict, { body });
    await until(
      "the request is there",
      async () => (parse(await call(`${pair.management}/load`)) as { inFlight: number }).inFlight === 1,
    );
    process.kill(pair.enginePid, "SIGKILL");
    const answer = await inFlight;
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toBe("1");
    expect((await call(`${pair.management}/readyz`)).status).toBe(503);
    expect((await call(`${pair.management}/livez`)).status).toBe(200);
    expect((await call(`${pair.url}/v2/health/ready`)).status).toBe(503);
    expect((await call(predict, { body })).status).toBe(503);
    await until("it is ready again", async () => (await call(`${pair.management}/readyz`)).status === 200);
    expect((await call(predict, { body })).status).toBe(200);
    expect((await call(`${pair.management}/metrics`)).body.toString()).toContain(
      'modelwright_engine_restarts_total{model="pa ir/1",version="1"} 1',
    );
  }, 30_000);

  it("ends with 0 on SIGTERM", async () => {
    pair.program.kill("SIGTERM");
    expect(await pair.program.exited).toBe(0);
  });
});

describe("a busy server", () => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer([linearDir, "--engine", "Wasm", "--drain-delay", "0.3"]);
  }, 30_000);

  const predict = (options: Omit<Call, "body"> = {}) =>
    call(`${server.url}/v1/models/linear:predict`, { body: predictBody([1, 2, 3, 4]), ...options });
  const load = async () => parse(await call(`${server.management}/load`)) as { inFlight: number; queued: number };
  const waiting = (count: number) => until(`${count} requests wait`, async () => (await load()).queued === count);

  it("refuses what its queue cannot hold with 429, drops what is late or abandoned, and answers the rest in few batches", async () => {
    process.kill(server.enginePid, "SIGSTOP");
    const first = predict();
    await until("the engine computes", async () => (await load()).inFlight === 1);
    const late = predict({ headers: { "Modelwright-Timeout-Ms": "30" } });
    const inputs = [{ name: "x", shape: [1, 4], datatype: "FP32", data: [1, 2, 3, 4] }];
    const late2 = call(`${server.url}/v2/models/linear/infer`, {
      body: JSON.stringify({ inputs, parameters: { timeout: 30_000 } }),
    });
    expect((await late).status).toBe(504);
    expect((await late2).status).toBe(504);
    const abort = new AbortController();
    const abandoned = predict({ signal: abort.signal });
    await waiting(1);
    abort.abort();
    await expect(abandoned).rejects.toThrow("aborted");
    await waiting(0);
    const many = Array.from({ length: 256 }, () => predict());
    await waiting(256);
    const refused = await predict();
    expect(refused.status).toBe(429);
    expect(refused.headers["retry-after"]).toBe("1");
    expect(parse(refused)).toEqual({ error: "256 requests are waiting already; try again later" });
    expect((await call(`${server.url}/v2/health/live`)).status).toBe(200);
    process.kill(server.enginePid, "SIGCONT");
    const answers = await Promise.all([first, ...many]);
    expect(new Set(answers.map((answer) => answer.body.toString())).size).toBe(1);
    expect(parse(answers[0] ?? refused)).toEqual({ predictions: [linear([1, 2, 3, 4])] });
    const metrics = (await call(`${server.management}/metrics`)).body.toString();
    // The first one alone, then 256 rows in batches of 64; nothing was computed for the dropped ones.
    expect(metrics).toContain('modelwright_batch_rows_count{model="linear",version="1"} 5');
    expect(metrics).toContain('modelwright_batch_rows_sum{model="linear",version="1"} 257');
    expect(metrics).toContain(
      'modelwright_requests_total{protocol="v1",call="predict",code="499",model="linear",version="1"} 1',
    );
  }, 30_000);

  it.each([
    ["Modelwright-Timeout-Ms", "soon", 400],
    ["Modelwright-Timeout-Ms", "0", 400],
    ["Content-Encoding", "br", 415],
  ])("refuses the header %s: %s", async (name, value, status) => {
    expect((await predict({ headers: { [name]: value } })).status).toBe(status);
  });

  it("takes gzipped bodies, and refuses broken ones", async () => {
    const url = `${server.url}/v1/models/linear:predict`;
    const headers = { "Content-Encoding": "gzip" };
    expect((await call(url, { body: gzipSync(predictBody([1, 2, 3, 4])), headers })).status).toBe(200);
    expect((await call(url, { body: "no gzip", headers })).status).toBe(400);
    expect((await call(url, { body: gzipSync(Buffer.alloc(65 * 1024 * 1024)), headers })).status).toBe(413);
  });

  it("refuses bodies above 64 MiB in its own form before reading them", async () => {
    const socket = connect(server.port, "127.0.0.1");
    socket.write("POST /v1/models/linear:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 67108865\r\n\r\n");
    const [head] = (await once(socket, "data")) as [Buffer];
    expect(head.toString()).toMatch(
      /^HTTP\/1\.1 413 [^]*Connection: close[^]*"error": "the body is larger than 67108864 bytes/i,
    );
    socket.destroy();
  });

  it.each([
    ["GARBAGE\r\n\r\n", "400"],
    ["GET /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "400"],
    [`GET /v2 HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(20_000)}\r\n\r\n`, "431"],
  ])("refuses what is no request in its own form and hangs up", async (bytes, status) => {
    const socket = connect(server.port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.write(bytes);
    await once(socket, "close");
    const text = Buffer.concat(chunks).toString();
    expect(text).toContain(`HTTP/1.1 ${status} `);
    expect(text).toContain('{"error":');
  });

  it("tells no name or version of its software in headers", async () => {
    const { headers } = await call(`${server.url}/v2`);
    const known = ["connection", "content-length", "content-type", "date", "keep-alive", "x-request-id"];
    expect(Object.keys(headers).sort()).toEqual(known);
  });

  it("finishes what it has begun after it stopped accepting", async () => {
    process.kill(server.enginePid, "SIGSTOP");
    const pending = [predict(), predict()];
    await waiting(1);
    server.program.kill("SIGTERM");
    await until("it stopped accepting", () => call(`${server.url}/v2`).then(() => false, () => true)); // prettier-ignore
    process.kill(server.enginePid, "SIGCONT");
    for (const answer of await Promise.all(pending)) {
      expect(answer.status).toBe(200);
      expect(answer.headers.connection).toBe("close");
    }
    expect(await server.program.exited).toBe(0);
  }, 30_000);
});

describe("a draining server", () => {
  it("fails no request of clients that follow its readiness", async () => {
    const server = await startServer([linearDir, "--engine", "Wasm", "--drain-delay", "1.5"]);
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const load = { running: true };
    let sent = 0;
    let closing = 0;
    const failures: unknown[] = [];
    const client = async (id: number) => {
      for (let n = 0; load.running; n++) {
        const x = [id, n, 1, 1];
        sent += 1;
        try {
          const answer = await call(`${server.url}/v1/models/linear:predict`, { body: predictBody(x), agent });
          if (answer.headers.connection === "close") closing += 1;
          const [y] = (parse(answer) as { predictions: number[][] }).predictions;
          if (answer.status !== 200 || y?.join() !== linear(x).join()) failures.push(parse(answer));
        } catch (error) {
          failures.push(error);
        }
      }
    };
    const clients = Array.from({ length: 8 }, (_, id) => client(id + 1));
    try {
      await until("there is load", () => sent > 200);
      server.program.kill("SIGTERM");
      await until("readiness ends", async () => (await call(`${server.management}/readyz`)).status === 503);
      expect((await call(`${server.management}/livez`)).status).toBe(200);
      // As long as a proxy may take to see it.
      await new Promise((resolve) => setTimeout(resolve, 700));
    } finally {
      load.running = false;
    }
    await Promise.all(clients);
    agent.destroy();
    expect(failures).toEqual([]);
    expect(closing).toBeGreaterThan(10);
    expect(await server.program.exited).toBe(0);
  }, 30_000);

  it("ends with 0 when it is told to stop before it has loaded", async () => {
    const program = new Program([linearDir, "--engine", "Wasm", ...LOOPBACK]);
    await program.line("starting");
    program.kill("SIGTERM");
    expect(await program.exited).toBe(0);
  }, 30_000);
});

async function run(args: readonly string[], env?: Record<string, string>) {
  const program = new Program([...args, ...LOOPBACK], env);
  const code = await program.exited;
  return { code, failure: program.lines.find((line) => line.message === "serving failed") };
}

async function job(change: object = {}): Promise<string[]> {
  const file = join(scratch, "job.json");
  const model = { uri: "pvc://models/linear" };
  const base = { kind: "ServingRun", name: "digits", namespace: "default", revision: "digits-1" };
  await writeFile(file, JSON.stringify({ ...base, compute: { engine: "Wasm" }, model, ...change }));
  return ["--job", file];
}

async function volumes(): Promise<Record<string, string>> {
  await writeLinearModel(join(scratch, "volumes", "models", "linear"));
  return { MODELWRIGHT_VOLUMES: join(scratch, "volumes") };
}

describe("a server that cannot serve", () => {
  it("serves what a job file says, when it is right", async () => {
    const env = await volumes();
    const digest = filesDigest(await fileRecords(linearDir));
    const server = await startServer(await job({ model: { uri: "pvc://models/linear", digest } }), env);
    expect(parse(await call(`${server.url}/v2/models`))).toEqual({ models: ["digits"] });
    expect(parse(await call(`${server.management}/progress`))).toMatchObject({
      revision: "digits-1",
      model: { uri: "pvc://models/linear", digest },
    });
  }, 30_000);

  it("ends with 65 and DigestMismatch when the model is not the one that was pinned", async () => {
    const env = await volumes();
    const digest = filesDigest(await fileRecords(linearDir));
    const weights = join(scratch, "volumes", "models", "linear", "weights.bin");
    const bytes = await readFile(weights);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    await writeFile(weights, bytes);
    const message = join(scratch, "message.json");
    const args = await job({ model: { uri: "pvc://models/linear", digest } });
    const { code, failure } = await run([...args, "--termination-message", message], env);
    expect(code).toBe(65);
    expect(failure).toMatchObject({ reason: "DigestMismatch", exitCode: 65 });
    expect(ServingProgress.parse(JSON.parse(await readFile(message, "utf8")))).toMatchObject({
      revision: "digits-1",
      state: "Failed",
      model: { uri: "pvc://models/linear" },
      failure: {
        reason: "DigestMismatch",
        exitCode: 65,
        message: expect.stringContaining("pvc://models/linear has digest"),
      },
    });
  });

  it.each([
    ["a model that is not there", { model: { uri: "pvc://models/other" } }, 66, "InputMissing"],
    ["a claim that is not there", { model: { uri: "pvc://other/linear" } }, 66, "InputMissing"],
    ["a field that is unknown", { replicas: 2 }, 64, "InvalidSpec"],
    ["a URI of another kind", { model: { uri: "ftp://bucket/key" } }, 64, "InvalidSpec"],
  ])("ends with its code for %s", async (_, change, exitCode, reason) => {
    const { code, failure } = await run(await job(change), await volumes());
    expect(code).toBe(exitCode);
    expect(failure).toMatchObject({ reason, exitCode });
  });

  it("names what is wrong with a model that cannot be loaded", async () => {
    const dir = await writeLinearModel(join(scratch, "truncated"));
    await writeFile(join(dir, "weights.bin"), Buffer.alloc(8));
    const { code, failure } = await run([dir, "--engine", "Wasm"]);
    expect(code).toBe(64);
    expect(failure).toMatchObject({
      reason: "ModelUnsupported",
      error: expect.stringContaining("has 8 bytes of weights"),
    });
  });

  it.each([
    [["dir", "--port", "x"], "--port: x is no number from 0 to 65535"],
    [["--prot", "1"], "usage: modelwright serve [DIR]"],
    [[], "give one folder or --model, or --job"],
  ])("explains the command line when it is wrong: %j", async (args, message) => {
    const program = new Program(args);
    expect(await program.exited).toBe(64);
    expect(program.lines[0]).toMatchObject({ reason: "InvalidSpec", error: expect.stringContaining(message) });
  });
});
