/** What a ModelDeployment declares about its requests, seen by clients. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, gunzipSync, gzipSync } from "node:zlib";
import sharp from "sharp";
import { linear, writeLinearModel, writePairModel } from "../../runtime/serving/testing/models.ts";
import {
  LOOPBACK,
  Program,
  type Server,
  closePrograms,
  startServer,
  until,
} from "../../runtime/serving/testing/program.ts";
import { ask, parsed } from "./http.ts";

let scratch = "";
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "settings-"));
  await writeLinearModel(join(scratch, "models", "linear"));
  await writePairModel(join(scratch, "models", "pair"));
  await writeFile(join(scratch, "models", "linear", "labels.txt"), "low\nmiddle\nhigh\n");
  await writeFile(join(scratch, "models", "linear", "vocab.txt"), "[PAD]\n[UNK]\nhello\nwor\n##ld\n!\n");
});

afterEach(closePrograms, 30_000);
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function manifest(model: string, settings: object): Promise<string[]> {
  const file = join(scratch, "deployment.yaml");
  const spec = { model: { uri: `pvc://models/${model}` }, runtime: { engine: "Wasm" }, ...settings };
  const object = { apiVersion: "modelwright.dev/v1alpha1", kind: "ModelDeployment", metadata: { name: "m" }, spec };
  await writeFile(file, JSON.stringify(object));
  return ["-f", file, "--volumes", scratch, "--drain-delay", "0"];
}

async function serving(settings: object, model = "linear"): Promise<Server> {
  return startServer(await manifest(model, settings));
}

const predict = ({ url }: Server, body: object, headers = {}) =>
  ask(`${url}/v1/models/m:predict`, { body: JSON.stringify(body), headers });

async function load({ management }: Server) {
  return parsed(await ask(`${management}/load`)) as { inFlight: number; queued: number };
}

async function metrics({ management }: Server): Promise<string> {
  return (await ask(`${management}/metrics`)).body.toString();
}

describe("processing before the model", () => {
  it("rescales and normalizes", async () => {
    const input = [{ rescale: { scale: 2, offset: 1 } }, { normalize: { mean: [1, 2, 3, 4], std: [1, 2, 4, 8] } }];
    const server = await serving({ processing: { input } });
    const answer = await predict(server, { instances: [[1, 2, 3, 4]] });
    expect(parsed(answer)).toEqual({ predictions: [linear([2, 1.5, 1, 0.625])] });
  });

  it("decodes JPEG and PNG, whatever their size, and refuses what is neither", async () => {
    const server = await serving({ processing: { input: [{ image: { width: 2, height: 2, channels: 1 } }] } });
    const flat = { create: { width: 40, height: 20, channels: 3, background: { r: 100, g: 100, b: 100 } } } as const;
    const expected = linear([100, 100, 100, 100]);
    const shades = Buffer.from([0, 50, 100, 200]);
    const small = { raw: { width: 2, height: 2, channels: 1 } } as const;
    const pictures = await Promise.all([sharp(flat).png().toBuffer(), sharp(flat).jpeg({ quality: 100 }).toBuffer()]);
    const exact = await sharp(shades, small).png().toBuffer();
    const instances = [...pictures, exact].map((bytes) => ({ b64: bytes.toString("base64") }));
    const { predictions } = parsed(await predict(server, { instances })) as { predictions: number[][] };
    expect(predictions).toEqual([expected, expected, linear([0, 50, 100, 200])]);
    expect(parsed(await ask(`${server.url}/v2/models/m`))).toMatchObject({
      inputs: [{ name: "x", datatype: "BYTES", shape: [-1] }],
    });
    const gif = await sharp(flat).gif().toBuffer();
    // A PNG that says to be 60000 x 60000.
    const bomb = Buffer.from(exact);
    bomb.writeUInt32BE(60_000, 16);
    bomb.writeUInt32BE(60_000, 20);
    for (const [bytes, why] of [
      [gif, /element 0 is no JPEG or PNG/],
      [exact.subarray(0, 40), /element 0 cannot be decoded/],
      [bomb, /element 0 cannot be decoded/],
    ] as const) {
      const refused = await predict(server, { instances: [{ b64: bytes.toString("base64") }] });
      expect([refused.status, (parsed(refused) as { error: string }).error]).toEqual([400, expect.stringMatching(why)]);
    }
  });

  it("makes rows of a class's number, and the ids of a text's words", async () => {
    const classes = await serving({ processing: { input: [{ oneHot: { classes: 4 } }] } });
    expect(parsed(await predict(classes, { instances: [2, 0] }))).toEqual({
      predictions: [linear([0, 0, 1, 0]), linear([1, 0, 0, 0])],
    });
    expect((await predict(classes, { instances: [4] })).status).toBe(400);
    const words = await serving({ processing: { input: [{ tokenize: { maxLength: 4 } }] } });
    expect(parsed(await predict(words, { instances: ["Héllo World!", "what"] }))).toEqual({
      predictions: [linear([2, 3, 4, 5]), linear([1, 0, 0, 0])],
    });
  });

  it.each([
    ["a step that does not fit", { input: [{ oneHot: { classes: 5 } }] }, "processing.input[0].oneHot"],
    ["a file that is not there", { output: [{ labels: { file: "no.txt" } }] }, "processing.output.labels.file"],
    ["labels that are too few", { output: [{ labels: { names: ["a"] } }] }, "1 labels for the model's 3 classes"],
  ])(
    "never becomes ready with %s, and says why",
    async (_, processing, why) => {
      const program = new Program([...(await manifest("linear", { processing })), ...LOOPBACK]);
      expect(await program.line("serving failed")).toMatchObject({ error: expect.stringContaining(why) });
      expect([64, 66]).toContain(await program.exited);
    },
    30_000,
  );
});

describe("processing after the model", () => {
  it("names the best scores, and says which reach the threshold", async () => {
    const output = [{ labels: { file: "labels.txt" } }, { topK: 2 }, { threshold: 5 }];
    const server = await serving({ processing: { output } });
    const [, second = 0, third = 0] = linear([1, 2, 3, 4]);
    const answer = parsed(await predict(server, { inputs: [[1, 2, 3, 4]] })) as { outputs: object };
    expect(answer.outputs).toEqual({
      "y/y": [[third, second]],
      labels: [["high", "middle"]],
      classes: [[2, 1]],
      decisions: [[third >= 5, second >= 5]],
    });
    expect(parsed(await ask(`${server.url}/v2/models/m`))).toMatchObject({
      outputs: [
        { name: "y/y", datatype: "FP32", shape: [-1, 2] },
        { name: "labels", datatype: "BYTES", shape: [-1, 2] },
        { name: "classes", datatype: "INT32" },
        { name: "decisions", datatype: "BOOL" },
      ],
    });
  });
});

describe("batches, queue and warm-up as declared", () => {
  it("pads batches to the allowed sizes, and the warm-up has seen each of them", async () => {
    const server = await serving({ batching: { maxBatchSize: 4, allowedSizes: [4, 2] } });
    const instances = [1, 2, 3].map((value) => [value, 0, 0, 0]);
    const answer = await predict(server, { instances });
    expect(parsed(answer)).toEqual({ predictions: instances.map(linear) });
    expect(await metrics(server)).toContain('modelwright_batch_padded_rows_total{model="m",version="1"} 1');
  });

  it("puts requests together that come within maxDelay", async () => {
    const server = await serving({ batching: { maxBatchSize: 3, maxDelay: "10s" } });
    const answers = await Promise.all([1, 2, 3].map((value) => predict(server, { instances: [[value, 0, 0, 0]] })));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await metrics(server)).toContain('modelwright_batch_rows_bucket{le="4",model="m",version="1"} 1');
    expect(await metrics(server)).toContain('modelwright_batch_rows_sum{model="m",version="1"} 3');
  });

  it("refuses what its queue cannot hold, and drops what has waited for too long", async () => {
    const server = await serving({ queue: { maxRequests: 1, timeout: "1s" } });
    process.kill(server.enginePid, "SIGSTOP");
    const first = predict(server, { instances: [[1, 2, 3, 4]] });
    await until("the engine computes", async () => (await load(server)).inFlight === 1);
    const late = predict(server, { instances: [[1, 2, 3, 4]] });
    await until("one waits", async () => (await load(server)).queued === 1);
    expect((await predict(server, { instances: [[1, 2, 3, 4]] })).status).toBe(429);
    expect((await late).status).toBe(504);
    process.kill(server.enginePid, "SIGCONT");
    expect((await first).status).toBe(200);
  });

  it("counts requests that are still being decoded as waiting", async () => {
    const image = { width: 2, height: 2, channels: 1 };
    const server = await serving({ queue: { maxRequests: 2 }, processing: { input: [{ image }] } });
    process.kill(server.enginePid, "SIGSTOP");
    const noise = { type: "gaussian", mean: 128, sigma: 30 } as const;
    const create = { width: 1500, height: 1500, channels: 3, background: "#000", noise } as const;
    const b64 = (await sharp({ create }).png().toBuffer()).toString("base64");
    const statuses = Promise.all(
      Array.from({ length: 6 }, async () => (await predict(server, { instances: [{ b64 }] })).status),
    );
    // Two wait or are decoded, one may be computed meanwhile; the engine stands still.
    await until("the others are refused", async () => (await load(server)).inFlight <= 3);
    process.kill(server.enginePid, "SIGCONT");
    const refused = (await statuses).filter((status) => status === 429).length;
    expect(refused).toBeGreaterThanOrEqual(3);
    expect((await statuses).filter((status) => status === 200)).toHaveLength(6 - refused);
  });

  it("computes the sample before it is ready, and never becomes ready with one that the model does not take", async () => {
    const good = await serving({ warmup: { requests: 2, sample: { a: [1, 2], n: [2] } } }, "pair");
    expect((await ask(`${good.management}/readyz`)).status).toBe(200);
    const bad = new Program([...(await manifest("pair", { warmup: { sample: { a: [1] } } })), ...LOOPBACK]);
    expect(await bad.line("serving failed")).toMatchObject({ error: expect.stringContaining("warmup.sample") });
    expect(await bad.exited).toBe(64);
  });
});

describe("logging and packing of requests", () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const instances = [[1, 2, 3, 4]];

  it("gives every request an id, the client's own or a new one, and logs it with its trace", async () => {
    const server = await serving({ logging: { access: "All" } });
    const answer = await predict(server, { instances }, { "X-Request-Id": "order-17", Traceparent: traceparent });
    expect(answer.headers["x-request-id"]).toBe("order-17");
    const other = await ask(`${server.url}/v1/models/nothing:predict`, { body: "{}" });
    expect(other.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    const lines = () => server.program.lines.filter(({ message }) => message === "request");
    await until("both are logged", () => lines().length === 2);
    expect(lines()).toEqual([
      {
        time: expect.any(String),
        level: "info",
        message: "request",
        requestId: "order-17",
        traceId: "0af7651916cd43dd8448eb211c80319c",
        parentSpanId: "b7ad6b7169203331",
        protocol: "v1",
        call: "predict",
        code: 200,
        seconds: expect.any(Number),
        client: "127.0.0.1",
        model: "m",
        version: "1",
        bytesIn: JSON.stringify({ instances }).length,
        bytesOut: answer.body.length,
      },
      expect.objectContaining({ requestId: other.headers["x-request-id"], code: 404, call: "predict" }),
    ]);
  });

  it("logs only what went wrong where nothing is said", async () => {
    const server = await serving({});
    await predict(server, { instances });
    await predict(server, { instances: [[1]] });
    await server.program.line("request");
    expect(server.program.lines.filter(({ message }) => message === "request").map(({ code }) => code)).toEqual([400]);
  });

  it("takes bodies packed with gzip or deflate, and packs large answers for who takes that", async () => {
    const server = await serving({});
    const large = { instances: Array.from({ length: 500 }, () => instances[0]) };
    const url = `${server.url}/v1/models/m:predict`;
    const plain = await predict(server, large);
    expect(plain.headers["content-encoding"]).toBeUndefined();
    for (const [encoding, pack] of [
      ["gzip", gzipSync],
      ["deflate", deflateSync],
    ] as const) {
      // prettier-ignore
      const headers = { "Content-Encoding": encoding, "Accept-Encoding": "gzip, deflate" };
      const answer = await ask(url, { body: pack(JSON.stringify(large)), headers });
      expect(answer.headers).toMatchObject({ "content-encoding": "gzip", vary: "Accept-Encoding" });
      expect(gunzipSync(answer.body)).toEqual(plain.body);
    }
    const small = await predict(server, { instances }, { "Accept-Encoding": "gzip" });
    expect(small.headers["content-encoding"]).toBeUndefined();
    for (const pack of [gzipSync, deflateSync]) {
      const headers = { "Content-Encoding": pack === gzipSync ? "gzip" : "deflate" };
      expect((await ask(url, { body: pack(Buffer.alloc(65 * 1024 * 1024)), headers })).status).toBe(413);
    }
  });
});
