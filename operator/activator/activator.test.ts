import { afterEach, describe, expect, it } from "@jest/globals";
import {
  type Client as GrpcClient,
  credentials,
  makeGenericClientConstructor,
  Metadata,
  Server as GrpcServer,
  ServerCredentials,
  type ServiceError,
} from "@grpc/grpc-js";
import { createServer, type IncomingMessage, request as ask } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { FakeClock } from "../kernel/testing/fake-clock.ts";
import { silentLogger } from "../kernel/logger.ts";
import { until } from "../../test/cluster/wait.ts";
import { Activator } from "./activator.ts";
import { freePort } from "../../test/cluster/ports.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const HOST = "127.0.0.1";

async function activator() {
  const clock = new FakeClock();
  const limits = { timeout: 60_000, mostPerPort: 100, most: 100, mostPerPod: 10 };
  const made = new Activator({ clock, logger: silentLogger, instance: "one", host: HOST, ...limits });
  cleanups.push(() => made.destroy());
  const port = await freePort();
  const route = (ports: Record<string, number> = {}, addresses = Object.keys(ports).length === 0 ? [] : [HOST]) =>
    made.route(new Map([[port, { service: "lab/digits", addresses, ports }]]));
  await route();
  return { made, clock, port, route };
}

/** A pod that answers with what it was asked. */
async function httpPod(): Promise<number> {
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      response.writeHead(201, { "X-Pod": "one", "Set-Cookie": ["a=1", "b=2"] });
      response.end(JSON.stringify({ method: request.method, url: request.url, host: request.headers.host, body }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

function post(port: number, body: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const path = "/v1/models/digits:predict?x=1";
    const request = ask(
      { host: HOST, port, method: "POST", path, headers: { host: "digits.lab", ...headers } },
      resolve,
    );
    request.once("error", reject);
    request.end(body);
  });
}

const path = "/inference.GRPCInferenceService/ModelInfer";
const bytes = { requestSerialize: (value: Buffer) => value, requestDeserialize: (value: Buffer) => value };
const answers = { responseSerialize: (value: Buffer) => value, responseDeserialize: (value: Buffer) => value };
const SERVICE = {
  infer: { path, requestStream: false, responseStream: false, ...bytes, ...answers },
  stream: { path: `${path}Stream`, requestStream: true, responseStream: true, ...bytes, ...answers },
} as const;

async function grpcPod(): Promise<number> {
  const server = new GrpcServer();
  server.addService(SERVICE, {
    infer: (
      call: { request: Buffer; metadata: Metadata },
      done: (e: object | null, v?: Buffer, t?: Metadata) => void,
    ) => {
      if (call.request.toString() === "bad") return done({ code: 3, details: "no such shape" });
      const trailers = new Metadata();
      trailers.set("seen", String(call.metadata.get("asked")[0]));
      done(null, Buffer.concat([Buffer.from("re:"), call.request]), trailers);
    },
    stream: (call: NodeJS.ReadWriteStream) => {
      call.on("data", (value: Buffer) => call.write(Buffer.concat([Buffer.from("re:"), value])));
      call.on("end", () => call.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${HOST}:0`, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  cleanups.push(() => server.forceShutdown());
  return port;
}

interface Caller extends GrpcClient {
  infer(
    value: Buffer,
    metadata: Metadata,
    options: object,
    done: (error: ServiceError | null, value?: Buffer) => void,
  ): NodeJS.EventEmitter;
  stream(): Duplex;
}

function grpcClient(port: number): Caller {
  const Client = makeGenericClientConstructor(SERVICE, "inference.GRPCInferenceService");
  const client = new Client(`${HOST}:${port}`, credentials.createInsecure());
  cleanups.push(() => client.close());
  // The constructor gives it the methods of SERVICE.
  return client as unknown as Caller;
}

function infer(client: Caller, value: string, options: object = {}) {
  const metadata = new Metadata();
  metadata.set("asked", "yes");
  return new Promise<{ value: string; seen: unknown }>((resolve, reject) => {
    let seen: unknown;
    const call = client.infer(Buffer.from(value), metadata, options, (error, answer) => {
      if (error) reject(error);
      else setImmediate(() => resolve({ value: String(answer), seen }));
    });
    call.on("status", (status: { metadata: Metadata }) => {
      seen = status.metadata.get("seen")[0];
    });
  });
}

const waits = (made: Activator, count = 1) => until("it is held", () => Promise.resolve(made.held === count));

describe("an HTTP request for a model without pods", () => {
  it("is held, and answered by the first pod as if it had asked it itself", async () => {
    const { made, port, route } = await activator();
    const body = "x".repeat(1_000_000);
    const answer = post(port, body);
    await waits(made);
    expect(made.load().ports).toEqual([{ port, waiting: 1, received: 1 }]);
    await route({ http: await httpPod() });
    const response = await answer;
    expect(response.statusCode).toBe(201);
    expect(response.headers).toMatchObject({ "x-pod": "one", "set-cookie": ["a=1", "b=2"], connection: "close" });
    expect(JSON.parse(await text(response))).toEqual({
      method: "POST",
      url: "/v1/models/digits:predict?x=1",
      host: "digits.lab",
      body,
    });
    await until("all is done", () => Promise.resolve(made.busy === 0));
  });

  it("gets 503 and Retry-After when its time is over, and not before", async () => {
    const { made, clock, port } = await activator();
    const answer = post(port, "{}");
    await waits(made);
    await clock.advance(59_000);
    expect(made.held).toBe(1);
    await clock.advance(1000);
    const response = await answer;
    expect(response.statusCode).toBe(503);
    expect(response.headers["retry-after"]).toBe("5");
    expect(JSON.parse(await text(response))).toEqual({ error: "the model has not started in time; try again later" });
  });

  it("is forgotten when its client goes away", async () => {
    const { made, port } = await activator();
    const socket = connect(port, HOST);
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await waits(made);
    socket.destroy();
    await waits(made, 0);
  });

  it("waits on while its pod cannot be reached", async () => {
    const { made, clock, port, route } = await activator();
    const answer = post(port, "{}");
    await waits(made);
    await route({ http: await freePort() });
    await waits(made);
    await route({ http: await httpPod() });
    await clock.advance(1000);
    expect((await answer).statusCode).toBe(201);
  });
});

describe("a gRPC call for a model without pods", () => {
  it("is held, and answered with its metadata by the first pod", async () => {
    const { made, port, route } = await activator();
    const answer = infer(grpcClient(port), "one");
    await waits(made);
    await route({ grpc: await grpcPod() });
    expect(await answer).toEqual({ value: "re:one", seen: "yes" });
  });

  it("may be a stream, and is told the pod's own errors", async () => {
    const { port, route } = await activator();
    await route({ grpc: await grpcPod() });
    const client = grpcClient(port);
    const call = client.stream();
    for (const value of ["a", "b", "c"]) call.write(Buffer.from(value));
    call.end();
    expect((await call.toArray()).map(String)).toEqual(["re:a", "re:b", "re:c"]);
    await expect(infer(client, "bad")).rejects.toMatchObject({ code: 3, details: "no such shape" });
  });

  it("is unavailable when its time is over, and where the pods speak no gRPC", async () => {
    const { made, clock, port, route } = await activator();
    const late = infer(grpcClient(port), "one");
    await waits(made);
    const told = expect(late).rejects.toMatchObject({
      code: 14,
      details: expect.stringContaining("not started in time"),
    });
    await clock.advance(60_000);
    await told;
    await route({ http: await httpPod() });
    await expect(infer(grpcClient(port), "one")).rejects.toMatchObject({ code: 14 });
  });
});

describe("the activator", () => {
  it("says at once that a request has come, to whoever waits for news", async () => {
    const { made, port } = await activator();
    const { version, instance } = made.load();
    const news = made.news(instance, version);
    void post(port, "{}").catch(() => undefined);
    expect((await news).ports).toEqual([{ port, waiting: 1, received: 1 }]);
  });

  it("stops listening on a port some time after nobody claims it", async () => {
    const { made, clock, port } = await activator();
    await made.route(new Map());
    expect(made.load().ports).toHaveLength(1);
    await clock.advance(31_000);
    await made.route(new Map());
    expect(made.load().ports).toEqual([]);
    await expect(post(port, "{}")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});
