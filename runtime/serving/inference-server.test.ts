import { once } from "node:events";
import { connect } from "node:net";
import { Registry } from "prom-client";
import { InferenceServer, type InferenceServerOptions } from "./inference-server.ts";
import { ServedModel } from "./served-model.ts";
import { ServingMetrics } from "./serving-metrics.ts";
import type { Signature } from "./tensor.ts";
import { FakeClock } from "./testing/fake-clock.ts";
import { FakeEngine } from "./testing/fake-engine.ts";
import { repositoryOf } from "./testing/repository.ts";
import { until } from "./testing/program.ts";

const signature: Signature = {
  inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
  outputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
};

const open: InferenceServer[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.stop(0)));
});

async function setUp(options: Partial<InferenceServerOptions> = {}) {
  const clock = new FakeClock();
  const engine = new FakeEngine(signature);
  const model = new ServedModel({
    name: "m",
    version: "1",
    revision: "m-1",
    uri: "pvc://models/m",
    digest: "sha256:0",
    model: { dir: "dir", shownAs: "pvc://models/m", engine: "Wasm" },
    startEngine: () => engine,
    clock,
  });
  const repository = await repositoryOf(model);
  const errors: unknown[] = [];
  const metrics = new ServingMetrics(new Registry());
  const host = { repository, version: "1.2.3", repositoryControl: false };
  const onError = (error: unknown) => void errors.push(error);
  const server = new InferenceServer({ host, metrics, clock, onError, ...options });
  open.push(server);
  const port = await server.listen(0, "127.0.0.1");
  return { clock, engine, repository, server, metrics, errors, port };
}

/** Sends `text` and returns all that comes until the server hangs up. */
async function talk(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk) => (received += chunk.toString()));
  socket.write(text);
  await once(socket, "close");
  return received;
}

const GET = "GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n";
const BODY = JSON.stringify({ instances: [[1, 2]] });
const POST = `POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY.length}\r\n`;

function rowsRequest(rows: number): string {
  const body = JSON.stringify({ instances: Array.from({ length: rows }, () => [1, 2]) });
  return `POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

describe("inference server", () => {
  it("cuts off headers that come too slowly, in its own form", async () => {
    const { port } = await setUp({ headersTimeout: 100, requestTimeout: 200 });
    const answer = await talk(port, "GET /v2 HTTP/1.1\r\nHost: x\r\n");
    expect(answer).toMatch(
      /^HTTP\/1\.1 408 [^]*Connection: close[^]*\{"error":"the request was not received in time"\}$/,
    );
  });

  it("cuts off bodies that come too slowly, and forgets them", async () => {
    const { port, metrics, repository } = await setUp({ headersTimeout: 100, requestTimeout: 200 });
    expect(await talk(port, `${POST}\r\n{"inst`)).toMatch(/^HTTP\/1\.1 408 /);
    await until("it is forgotten", () => metrics.load(repository).inFlight === 0);
    expect(metrics.load(repository)).toMatchObject({ inFlight: 0, queued: 0, finished: 1, busySeconds: 0 });
  });

  it("closes a connection with the first answer after its age, which is up to half longer at random", async () => {
    for (const [random, age] of [
      [0, 60_000],
      [1, 90_000],
    ] as const) {
      // prettier-ignore
      const { port, clock } = await setUp({ random: () => random });
      const socket = connect(port, "127.0.0.1");
      let answers = "";
      socket.on("data", (chunk) => (answers += chunk.toString()));
      const ask = async () => {
        answers = "";
        socket.write(GET);
        await once(socket, "data");
        return answers;
      };
      expect(await ask()).toContain("Connection: keep-alive");
      clock.advance(age - 1);
      expect(await ask()).toContain("Connection: keep-alive");
      clock.advance(1);
      expect(await ask()).toContain("Connection: close");
      await once(socket, "close");
    }
  });

  it("tells the client nothing of a fault of ours but that it was one", async () => {
    const { port, engine, errors } = await setUp();
    engine.infer = () => Promise.reject(new Error("secret detail"));
    const answer = await talk(port, `${POST}Connection: close\r\n\r\n${BODY}`);
    expect(answer).toMatch(/^HTTP\/1\.1 500 /);
    expect(answer).not.toContain("secret");
    expect(errors).toMatchObject([{ code: "Internal", cause: { message: "secret detail" } }]);
  });

  it("answers calls whose deadline passed while the body came with 504 and computes nothing", async () => {
    const { port, engine, clock } = await setUp();
    const before = engine.shapes.length;
    const socket = connect(port, "127.0.0.1");
    socket.write(`${POST}Modelwright-Timeout-Ms: 5\r\n\r\n${BODY.slice(0, 4)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    clock.advance(5);
    socket.write(BODY.slice(4));
    const [answer] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 504 /);
    expect(engine.shapes.length).toBe(before);
  });

  it("counts what it answers", async () => {
    const { port, metrics, repository } = await setUp();
    await talk(port, `${POST}Connection: close\r\n\r\n${BODY}`);
    await talk(port, `GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(metrics.load(repository)).toMatchObject({ inFlight: 0, queued: 0, finished: 1 });
  });

  it("cuts off a client that does not read its answer in time", async () => {
    // More than the connection's buffers hold.
    const rows = 600_000;
    const { port, clock, metrics, repository } = await setUp({ answerTimeout: 1000 });
    const slow = connect(port, "127.0.0.1");
    slow.pause();
    const closed = once(slow, "close");
    slow.write(rowsRequest(rows));
    await until("the answer is sent", () => metrics.load(repository).finished === 1);
    clock.advance(999);
    expect(slow.closed).toBe(false);
    clock.advance(1);
    let received = 0;
    slow.on("data", (chunk) => (received += chunk.length));
    slow.on("error", () => {});
    slow.resume();
    await closed;
    expect(received).toBeLessThan(rows * 10);
  }, 60_000);

  it("lets a client that reads have all of a large answer, and waits for it no longer", async () => {
    const { port, clock } = await setUp({ answerTimeout: 1000 });
    const reader = connect(port, "127.0.0.1");
    reader.write(rowsRequest(20_000));
    let text = "";
    reader.on("data", (chunk) => (text += chunk.toString()));
    await until("all of it is there", () => text.endsWith("[1.0,2.0]]}"));
    reader.destroy();
    await until("it is forgotten", () => clock.pending === 0);
  }, 30_000);

  it("refuses a body when others hold too much already, and takes it when they are answered", async () => {
    const { port, engine } = await setUp({ bodyBudget: 100 });
    const answers: ((outputs: []) => void)[] = [];
    const first = connect(port, "127.0.0.1");
    engine.infer = () => new Promise((resolve) => answers.push(resolve));
    first.write(`${POST}\r\n${BODY}`);
    await until("the engine computes", () => answers.length === 1);
    const large = `POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n${" ".repeat(90)}`;
    expect(await talk(port, large)).toMatch(/^HTTP\/1\.1 429 [^]*Retry-After: 1[^]*bytes of other requests are held/);
    answers[0]?.([]);
    await once(first, "data");
    const answered = connect(port, "127.0.0.1");
    answered.write(large);
    const [answer] = (await once(answered, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 /);
    first.destroy();
    answered.destroy();
  });
});
