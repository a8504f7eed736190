import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  makeGenericClientConstructor,
  status,
} from "@grpc/grpc-js";
import { type PackageDefinition, loadSync } from "@grpc/proto-loader";
import { protoPath as healthProto } from "grpc-health-check";
import { loadProto, serviceOf } from "../../runtime/serving/grpc/definition.ts";
import { linear, writeLinearModel, writePairModel } from "../../runtime/serving/testing/models.ts";
import { type Server, closePrograms, startServer } from "../../runtime/serving/testing/program.ts";
import { ask as askHttp } from "./http.ts";

type Message = Record<string, unknown>;
type Unary = (message: object, options: object, callback: (error: unknown, value: Message) => void) => void;

let scratch = "";
let server: Server;
const clients: Client[] = [];
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "conformance-grpc-"));
  await writeLinearModel(join(scratch, "models", "linear"));
  await writePairModel(join(scratch, "models", "pair"));
  server = await startServer([join(scratch, "models"), "--engine", "Wasm", "--drain-delay", "0"]);
}, 60_000);

afterAll(async () => {
  for (const client of clients) client.close();
  await closePrograms();
  await rm(scratch, { recursive: true, force: true });
});

function clientOf(definition: PackageDefinition, service: string, at = server): Client {
  const Service = makeGenericClientConstructor(serviceOf(definition, service), service);
  const client = new Service(`127.0.0.1:${at.grpcPort}`, credentials.createInsecure(), {
    // A client takes 4 MiB unless it says otherwise.
    "grpc.max_receive_message_length": -1,
  });
  clients.push(client);
  return client;
}

function ask(client: Client, method: string, message: object, milliseconds = 20_000): Promise<Message> {
  // Generic clients have a method for each call.
  const call = (client as unknown as Record<string, Unary>)[method]?.bind(client);
  return new Promise((resolve, reject) => {
    call?.(message, { deadline: Date.now() + milliseconds }, (error, value) =>
      error ? reject(error) : resolve(value),
    );
  });
}

const inference = (at?: Server) => clientOf(loadProto("inference.proto"), "inference.GRPCInferenceService", at);
const ROW = [1, 2, 3, 4];
const x = { name: "x", datatype: "FP32", shape: [1, 4] };
const bytes = (values: readonly number[]) => Buffer.from(new Float32Array(values).buffer);

/** Asks the model `pair`, whose input `n` is INT32, with a value of another datatype. */
function inferPair(datatype: string, contents: object): Promise<Message> {
  return ask(inference(), "ModelInfer", {
    model_name: "pair",
    inputs: [
      { name: "a", datatype: "FP64", shape: [1, 2], contents: { fp64_contents: [1, 2] } },
      { name: "n", datatype, shape: [1, 1], contents },
    ],
  });
}

describe("the Open Inference Protocol over gRPC", () => {
  it("tells of the server and its models", async () => {
    const client = inference();
    expect(await ask(client, "ServerLive", {})).toEqual({ live: true });
    expect(await ask(client, "ServerReady", {})).toEqual({ ready: true });
    expect(await ask(client, "ServerMetadata", {})).toMatchObject({
      name: "modelwright",
      extensions: ["binary_tensor_data", "model_repository"],
    });
    expect(await ask(client, "ModelReady", { name: "linear" })).toEqual({ ready: true });
    expect(await ask(client, "ModelReady", { name: "linear", version: "1" })).toEqual({ ready: true });
    expect(await ask(client, "ModelMetadata", { name: "linear" })).toMatchObject({
      name: "linear",
      versions: ["1"],
      platform: "tensorflow_tfjslayers",
      inputs: [{ name: "x", datatype: "FP32", shape: ["-1", "4"] }],
    });
    expect(await ask(client, "RepositoryIndex", { ready: true })).toMatchObject({
      models: [{ name: "linear", version: "1", state: "READY" }, { name: "pair" }],
    });
  });

  it("answers raw tensors with raw ones, and typed ones with typed ones", async () => {
    const client = inference();
    const raw = await ask(client, "ModelInfer", {
      model_name: "linear",
      id: "42",
      inputs: [x],
      raw_input_contents: [bytes(ROW)],
    });
    expect(raw).toMatchObject({ model_name: "linear", id: "42", outputs: [{ datatype: "FP32", shape: ["1", "3"] }] });
    expect(raw["raw_output_contents"]).toEqual([bytes(linear(ROW))]);
    const typed = await ask(client, "ModelInfer", {
      model_name: "linear",
      inputs: [{ ...x, contents: { fp32_contents: ROW } }],
    });
    expect(typed).toMatchObject({ outputs: [{ contents: { fp32_contents: linear(ROW) } }] });
    expect(typed["raw_output_contents"]).toEqual([]);
  });

  it("casts datatypes by the declared policy", async () => {
    expect(await inferPair("INT64", { int64_contents: [2] })).toMatchObject({
      outputs: [{}, { contents: { fp32_contents: [23] } }],
    });
    expect(await inferPair("UINT8", { uint_contents: [1] })).toMatchObject({
      outputs: [{}, { contents: { fp32_contents: [13] } }],
    });
    await expect(inferPair("INT64", { int64_contents: ["9007199254740993"] })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining("fits the model's INT32"),
    });
  });

  it.each([
    ["an unknown model", { model_name: "other", inputs: [x] }, status.NOT_FOUND, "unknown model: 'other'"],
    ["an unknown version", { model_name: "linear", model_version: "9" }, status.NOT_FOUND, "no version 9"],
    ["a wrong shape", { inputs: [{ ...x, shape: [1, 5] }] }, status.INVALID_ARGUMENT, "Expected [-1,4], got [1,5]"],
    ["no inputs", { inputs: [] }, status.INVALID_ARGUMENT, "'x' is missing"],
    [
      "raw and typed contents",
      { inputs: [{ ...x, contents: { fp32_contents: ROW } }], raw_input_contents: [bytes(ROW)] },
      status.INVALID_ARGUMENT,
      "contents field must not be specified when using raw_input_contents",
    ],
    [
      "too few raw contents",
      { inputs: [x, x], raw_input_contents: [bytes(ROW)] },
      status.INVALID_ARGUMENT,
      "the number of inputs (2) does not match the expected number of raw input contents (1)",
    ],
    [
      "too few bytes",
      { inputs: [x], raw_input_contents: [bytes([1])] },
      status.INVALID_ARGUMENT,
      "are 16 bytes, got 4",
    ],
    [
      "values in another field",
      { inputs: [{ ...x, contents: { fp64_contents: ROW } }] },
      status.INVALID_ARGUMENT,
      "belong into fp32_contents",
    ],
    [
      "typed halves",
      { inputs: [{ ...x, datatype: "FP16", contents: { fp32_contents: ROW } }] },
      status.INVALID_ARGUMENT,
      "belong into raw_input_contents",
    ],
    [
      "an unknown output",
      { inputs: [x], outputs: [{ name: "z" }], raw_input_contents: [bytes(ROW)] },
      status.INVALID_ARGUMENT,
      "unexpected inference output 'z'",
    ],
  ])("refuses %s", async (_, message, code, details) => {
    const asked = ask(inference(), "ModelInfer", { model_name: "linear", ...message });
    await expect(asked).rejects.toMatchObject({ code, details: expect.stringContaining(details) });
  });

  it("lets clients load nothing unless it was started so", async () => {
    await expect(ask(inference(), "RepositoryModelLoad", { model_name: "linear" })).rejects.toMatchObject({
      code: status.PERMISSION_DENIED,
    });
  });

  it("keeps deadlines, and computes nothing that is late", async () => {
    const busy = await startServer([join(scratch, "models", "linear"), "--engine", "Wasm", "--drain-delay", "0"]);
    const client = inference(busy);
    const message = { model_name: "linear", inputs: [x], raw_input_contents: [bytes(ROW)] };
    process.kill(busy.enginePid, "SIGSTOP");
    const asked = [300, 100].map((milliseconds) => ask(client, "ModelInfer", message, milliseconds));
    for (const late of asked) await expect(late).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
    process.kill(busy.enginePid, "SIGCONT");
    expect(await ask(client, "ModelInfer", message)).toMatchObject({ outputs: [{ shape: ["1", "3"] }] });
    const metrics = (await askHttp(`${busy.management}/metrics`)).body.toString();
    expect(metrics).toContain('modelwright_batch_rows_count{model="linear",version="1"} 2');
    expect(metrics).toMatch(/protocol="grpc",call="ModelInfer",code="(CANCELLED|DEADLINE_EXCEEDED)",model="linear"/);
  }, 30_000);

  it("takes tensors of many megabytes", async () => {
    const rows = 500_000;
    const large = await ask(inference(), "ModelInfer", {
      model_name: "linear",
      inputs: [{ ...x, shape: [rows, 4] }],
      raw_input_contents: [Buffer.alloc(rows * 16)],
    });
    expect(large).toMatchObject({ outputs: [{ shape: [String(rows), "3"] }] });
  }, 30_000);
});

describe("gRPC's own services", () => {
  it("tell of health, once and as it changes", async () => {
    const client = clientOf(loadSync(healthProto, { enums: String }), "grpc.health.v1.Health");
    expect(await ask(client, "Check", {})).toEqual({ status: "SERVING" });
    expect(await ask(client, "Check", { service: "inference.GRPCInferenceService" })).toEqual({ status: "SERVING" });
    await expect(ask(client, "Check", { service: "other" })).rejects.toMatchObject({ code: status.NOT_FOUND });
    const watch = (client as unknown as Record<string, (message: object) => ClientReadableStream<Message>>)["Watch"];
    const stream = watch?.call(client, {});
    const first = await new Promise((resolve) => stream?.once("data", resolve));
    expect(first).toEqual({ status: "SERVING" });
    stream?.on("error", () => {});
    stream?.cancel();
  });

  it("describe the services by reflection", async () => {
    const proto = join(
      import.meta.dirname,
      "../../node_modules/@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto",
    );
    const client = clientOf(loadSync(proto, { keepCase: true }), "grpc.reflection.v1.ServerReflection");
    const open = (client as unknown as Record<string, () => ClientDuplexStream<object, Message>>)[
      "ServerReflectionInfo"
    ];
    const stream = open?.call(client);
    stream?.on("error", () => {});
    stream?.write({ list_services: "" });
    const answer = await new Promise<Message>((resolve) => stream?.once("data", resolve));
    stream?.end();
    expect(answer).toMatchObject({
      list_services_response: {
        service: expect.arrayContaining([
          { name: "inference.GRPCInferenceService" },
          { name: "grpc.health.v1.Health" },
        ]),
      },
    });
  });
});
