import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Registry } from "prom-client";
import type { TrafficDirective } from "../../../crds/contract/traffic.ts";
import { InferenceServer } from "../inference-server.ts";
import { ServedModel } from "../served-model.ts";
import { ServingMetrics } from "../serving-metrics.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { FakeEngine } from "../testing/fake-engine.ts";
import { repositoryOf } from "../testing/repository.ts";
import { until } from "../testing/program.ts";
import { HttpForwarder } from "./http-forward.ts";
import { HttpTraffic } from "./http-traffic.ts";
import { TrafficSplitter } from "./splitter.ts";

const SIGNATURE = {
  inputs: [{ name: "x", datatype: "FP32" as const, shape: [-1, 1] }],
  outputs: [{ name: "x", datatype: "FP32" as const, shape: [-1, 1] }],
};
const LOCAL = { predictions: [[7]] };

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A server that answers by echo, and shares with whatever is told. */
async function pod(revision: string) {
  const clock = new FakeClock();
  const model = new ServedModel({
    name: "m",
    version: "1",
    revision,
    uri: "pvc://models/m",
    digest: "sha256:0",
    model: { dir: "dir", shownAs: "pvc://models/m", engine: "Wasm" },
    startEngine: () => new FakeEngine(SIGNATURE),
    clock,
  });
  const splitter = new TrafficSplitter({ clock, revision, start: 0 });
  const forwarder = new HttpForwarder();
  const server = new InferenceServer({
    host: { repository: await repositoryOf(model), version: "1", repositoryControl: false },
    metrics: new ServingMetrics(new Registry()),
    clock,
    traffic: new HttpTraffic(splitter, forwarder),
    onError: () => undefined,
  });
  const port = await server.listen(0, "127.0.0.1");
  closing.push(
    () => forwarder.close(),
    () => server.stop(0),
  );
  return { splitter, port };
}

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** The pods of another version, which do as the test says. */
async function other(answer: Answer): Promise<{ port: number; server: Server; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => answer(request, response, Buffer.concat(chunks).toString()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, server, seen };
}

const says = (status: number, body: object, headers: Record<string, string> = {}): Answer => {
  return (_, response) => void response.writeHead(status, headers).end(JSON.stringify(body));
};

function directive(port: number, more: Partial<TrafficDirective> = {}): TrafficDirective {
  return {
    id: "m-2.1",
    target: { revision: "m-2", address: "127.0.0.1", ports: { http: port, grpc: port } },
    weight: 100,
    ...more,
  };
}

async function predict(port: number, instances: unknown = [[7]], headers: Record<string, string> = {}) {
  const body = JSON.stringify({ instances });
  const response = await fetch(`http://127.0.0.1:${port}/v1/models/m:predict`, { method: "POST", body, headers });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

describe("a pod that shares requests with another version", () => {
  it("gives away exactly its share, and sends the request and the answer on as they are", async () => {
    const { splitter, port } = await pod("m-1");
    const canary = await other((request, response, body) => {
      expect(body).toBe('{"instances":[[7]]}');
      expect(request.url).toBe("/v1/models/m:predict");
      response.writeHead(200, { "Modelwright-Seconds": "0.002", "X-Own": "yes" }).end('{"predictions":[[8]]}');
    });
    splitter.follow(directive(canary.port, { weight: 25 }));
    const answers = await Promise.all(
      Array.from({ length: 200 }, () => predict(port, [[7]], { traceparent: "00-a-b-01" })),
    );
    const diverted = answers.filter(({ body }) => JSON.stringify(body) === '{"predictions":[[8]]}');
    expect(diverted).toHaveLength(50);
    expect(diverted[0]?.headers.get("x-own")).toBe("yes");
    expect(diverted[0]?.headers.has("modelwright-seconds")).toBe(false);
    expect(canary.seen[0]?.headers).toMatchObject({ "modelwright-diverted": "1", traceparent: "00-a-b-01" });
    const { stage } = splitter.report();
    expect(stage.diverted).toMatchObject({ requests: 50, failed: 0, latency: { "35": 50 } });
    expect(stage.local.requests).toBe(150);
  });

  it.each<[string, Answer]>([
    ["a fault", says(500, { error: "no" })],
    ["not ready", says(503, { error: "no" })],
    ["a connection that breaks", (request) => request.socket.destroy()],
    [
      "an answer that breaks off",
      (request, response) => {
        response.writeHead(200, { "Content-Length": "100" }).write("{");
        setTimeout(() => request.socket.destroy(), 5);
      },
    ],
    ["a refusal of what this version answers", says(400, { error: "no" })],
    ["a full queue", says(429, { error: "no" })],
    ["no answer in time", () => undefined],
  ])("answers itself after %s, and counts it against the other version", async (_, answer) => {
    const { splitter, port } = await pod("m-1");
    const canary = await other(answer);
    splitter.follow(directive(canary.port, { timeoutMilliseconds: 100 }));
    expect(await predict(port)).toMatchObject({ status: 200, body: LOCAL });
    expect(splitter.report().stage.diverted).toMatchObject({ requests: 1, failed: 1 });
  });

  it("answers itself where nobody listens", async () => {
    const { splitter, port } = await pod("m-1");
    const { port: closed, server } = await other(says(200, {}));
    server.close();
    splitter.follow(directive(closed));
    expect(await predict(port)).toMatchObject({ status: 200, body: LOCAL });
    expect(splitter.report().stage.diverted).toMatchObject({ requests: 1, failed: 1 });
  });

  it("does not count a wrong request against the other version", async () => {
    const { splitter, port } = await pod("m-1");
    const canary = await other(says(400, { error: "wrong there too" }));
    splitter.follow(directive(canary.port));
    expect(await predict(port, [["text"]])).toMatchObject({ status: 400 });
    expect(splitter.report().stage.diverted).toMatchObject({ requests: 1, failed: 0 });
  });

  it("takes no notice of kept connections that the other side has closed", async () => {
    const { splitter, port } = await pod("m-1");
    const canary = await other(says(200, { predictions: [[8]] }));
    canary.server.keepAliveTimeout = 1;
    splitter.follow(directive(canary.port));
    for (let round = 0; round < 10; round++) {
      expect(await predict(port)).toMatchObject({ body: { predictions: [[8]] } });
      canary.server.closeIdleConnections();
    }
    expect(splitter.report().stage.diverted).toMatchObject({ requests: 10, failed: 0 });
  });

  it("never sends a request in a circle, and tells the one who diverted it how long it took", async () => {
    const [first, second] = [await pod("m-1"), await pod("m-2")];
    first.splitter.follow(directive(second.port));
    second.splitter.follow(directive(first.port));
    expect(await predict(first.port)).toMatchObject({ status: 200, body: LOCAL });
    expect(first.splitter.report().stage.diverted).toEqual({ requests: 1, failed: 0, latency: { "0": 1 } });
    expect(second.splitter.report().stage.local.requests).toBe(0);
  });

  it("copies its share and compares the answers; clients get its own", async () => {
    const { splitter, port } = await pod("m-1");
    const canary = await other(says(200, { predictions: [[7.5]] }));
    const shadow = { percent: 50, tolerance: 0.01 };
    splitter.follow(directive(canary.port, { weight: 0, shadow }));
    for (let round = 0; round < 10; round++) expect((await predict(port)).body).toEqual(LOCAL);
    await until("answers are compared", () => splitter.report().stage.shadow.compared === 5);
    expect(splitter.report().stage.shadow.drifted).toBe(5);
    splitter.follow(directive(canary.port, { id: "m-2.2", weight: 0, shadow: { percent: 100, tolerance: 0.1 } }));
    for (let round = 0; round < 4; round++) await predict(port);
    await until("answers are compared", () => splitter.report().stage.shadow.compared === 4);
    expect(splitter.report()).toMatchObject({ directive: "m-2.2", stage: { shadow: { drifted: 0 } } });
  });

  it("diverts nothing any more as soon as it is told so", async () => {
    const { splitter, port } = await pod("m-1");
    const canary = await other(says(200, { predictions: [[8]] }));
    splitter.follow(directive(canary.port));
    await predict(port);
    splitter.follow(undefined);
    for (let round = 0; round < 5; round++) expect((await predict(port)).body).toEqual(LOCAL);
    expect(canary.seen).toHaveLength(1);
  });
});
