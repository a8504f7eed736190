import { type Client, credentials, makeGenericClientConstructor, status } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import type { TrafficDirective } from "../../../crds/contract/traffic.ts";
import { AccessLog } from "../access-log.ts";
import { systemClock } from "../clock.ts";
import { INFERENCE, loadProto, serviceOf } from "../grpc/definition.ts";
import { GrpcServer } from "../grpc/grpc-server.ts";
import type { InferenceEngine } from "../inference-engine.ts";
import { ServedModel } from "../served-model.ts";
import { ServingMetrics } from "../serving-metrics.ts";
import type { Signature, Tensor } from "../tensor.ts";
import { FakeEngine } from "../testing/fake-engine.ts";
import { until } from "../testing/program.ts";
import { repositoryOf } from "../testing/repository.ts";
import { GrpcForwarder } from "./grpc-forward.ts";
import { GrpcTraffic } from "./grpc-traffic.ts";
import { TrafficSplitter } from "./splitter.ts";

const signatureOf = (name: string): Signature => ({
  inputs: [{ name, datatype: "FP32", shape: [-1, 1] }],
  outputs: [{ name, datatype: "FP32", shape: [-1, 1] }],
});

/** Answers twice what it is asked. */
class DoublingEngine extends FakeEngine {
  override async infer(inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
    const echoed = await super.infer(inputs);
    return echoed.map((tensor) => {
      const data = Float32Array.from(tensor.data, Number);
      return { ...tensor, data: data.map((value) => 2 * value) };
    });
  }
}

/** Fails on what the test asks, not on what it is warmed up with. */
class FailingEngine extends FakeEngine {
  override infer(inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
    return inputs[0]?.data[0] === 7 ? Promise.reject(new Error("no")) : super.infer(inputs);
  }
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function pod(revision: string, engine: InferenceEngine = new FakeEngine(signatureOf("x"))) {
  const clock = systemClock;
  const model = new ServedModel({
    name: "m",
    version: "1",
    revision,
    uri: "pvc://models/m",
    digest: "sha256:0",
    model: { dir: "dir", shownAs: "pvc://models/m", engine: "Wasm" },
    startEngine: () => engine,
    clock,
  });
  const splitter = new TrafficSplitter({ clock, revision, start: 0 });
  const forwarder = new GrpcForwarder();
  let text = "";
  const accessLog = new AccessLog({ level: "All", clock, write: (lines) => void (text += lines) });
  const server = new GrpcServer({
    accessLog,
    host: { repository: await repositoryOf(model), version: "1", repositoryControl: false },
    metrics: new ServingMetrics(new Registry()),
    clock,
    traffic: new GrpcTraffic(splitter, forwarder),
    onError: () => undefined,
  });
  const port = await server.listen(0, "127.0.0.1");
  const Service = makeGenericClientConstructor(serviceOf(loadProto("inference.proto"), INFERENCE), INFERENCE);
  const client = new Service(`127.0.0.1:${port}`, credentials.createInsecure());
  closing.push(
    () => forwarder.close(),
    () => client.close(),
    () => server.stop(0),
  );
  /** By which the requests were known that it has answered. */
  const requestIds = (): string[] => {
    accessLog.flush();
    const lines = text.split("\n").filter(Boolean);
    return lines.map((line) => (JSON.parse(line) as { requestId: string }).requestId);
  };
  return { splitter, port, client, requestIds };
}

function directive(port: number, more: Partial<TrafficDirective> = {}): TrafficDirective {
  const target = { revision: "m-2", address: "127.0.0.1", ports: { http: port, grpc: port } };
  return { id: "m-2.1", target, weight: 100, ...more };
}

type Unary = (message: object, options: object, callback: (error: unknown, value: Answer) => void) => void;
interface Answer {
  readonly outputs: readonly { contents: { fp32_contents: number[] } }[];
}

/** What the model makes of a number. */
async function infer(client: Client, value = 7, name = "x"): Promise<number | undefined> {
  // Generic clients have a method for each call.
  const call = (client as unknown as Record<string, Unary>)["ModelInfer"]?.bind(client);
  const inputs = [{ name, datatype: "FP32", shape: [1, 1], contents: { fp32_contents: [value] } }];
  const answer = await new Promise<Answer>((resolve, reject) => {
    call?.({ model_name: "m", inputs }, { deadline: Date.now() + 20_000 }, (error, found) =>
      error ? reject(error) : resolve(found),
    );
  });
  return answer.outputs[0]?.contents.fp32_contents[0];
}

describe("a pod that shares gRPC calls with another version", () => {
  it("gives away exactly its share, and learns how long the other one took", async () => {
    const { splitter, client } = await pod("m-1");
    const other = await pod("m-2", new DoublingEngine(signatureOf("x")));
    splitter.follow(directive(other.port, { weight: 25 }));
    const answers = await Promise.all(Array.from({ length: 200 }, () => infer(client)));
    expect(answers.filter((value) => value === 14)).toHaveLength(50);
    expect(answers.filter((value) => value === 7)).toHaveLength(150);
    const { diverted, local } = splitter.report().stage;
    expect([diverted.requests, diverted.failed, local.requests]).toEqual([50, 0, 150]);
    expect(Object.values(diverted.latency).reduce((all, count) => all + count, 0)).toBe(50);
  });

  it("passes on the name that it has given a call without one", async () => {
    const one = await pod("m-1");
    const other = await pod("m-2", new DoublingEngine(signatureOf("x")));
    one.splitter.follow(directive(other.port));
    expect(await infer(one.client)).toBe(14);
    await until("both have logged it", () => one.requestIds().length === 1);
    expect(other.requestIds()).toEqual(one.requestIds());
  });

  it("never diverts a call twice", async () => {
    const [one, two] = [await pod("m-1"), await pod("m-2", new DoublingEngine(signatureOf("x")))];
    one.splitter.follow(directive(two.port));
    two.splitter.follow(directive(one.port));
    expect(await infer(one.client)).toBe(14);
    expect(two.splitter.report().stage.diverted.requests).toBe(0);
  });

  it.each([
    ["fails", () => new FailingEngine(signatureOf("x"))],
    ["has another signature", () => new FakeEngine(signatureOf("y"))],
  ])("answers itself when the other version %s, and counts it", async (_, engine) => {
    const { splitter, client } = await pod("m-1");
    const other = await pod("m-2", engine());
    splitter.follow(directive(other.port));
    expect(await infer(client)).toBe(7);
    expect(splitter.report().stage.diverted).toMatchObject({ requests: 1, failed: 1 });
  });

  it("answers itself when nobody is there", async () => {
    const { splitter, client } = await pod("m-1");
    splitter.follow(directive(1));
    expect(await infer(client)).toBe(7);
    expect(splitter.report().stage.diverted).toMatchObject({ requests: 1, failed: 1 });
  });

  it("does not blame the other version for a wrong request", async () => {
    const { splitter, client } = await pod("m-1");
    const other = await pod("m-2");
    splitter.follow(directive(other.port));
    await expect(infer(client, 7, "z")).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    expect(splitter.report().stage.diverted).toMatchObject({ requests: 1, failed: 0 });
  });

  it("copies calls and compares the answers; clients get its own", async () => {
    const { splitter, client } = await pod("m-1");
    const other = await pod("m-2", new DoublingEngine(signatureOf("x")));
    splitter.follow(directive(other.port, { weight: 0, shadow: { percent: 100, tolerance: 0.1 } }));
    expect([await infer(client, 7), await infer(client, 0)]).toEqual([7, 0]);
    await until("both are compared", () => splitter.report().stage.shadow.compared === 2);
    expect(splitter.report().stage.shadow.drifted).toBe(1);
  });
});
