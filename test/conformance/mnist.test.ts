import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { loadProto, serviceOf } from "../../runtime/serving/grpc/definition.ts";
import { JSON_LENGTH_HEADER } from "../../runtime/serving/infer.ts";
import { type Server, closePrograms, startServer } from "../../runtime/serving/testing/program.ts";
import { ask, parsed } from "./http.ts";

const FOLDER = join(import.meta.dirname, "../../examples/mnist");
const TOLERANCE = 1e-5;

interface Answers {
  readonly rows: readonly (readonly number[])[];
  readonly keras: readonly (readonly number[])[];
}

interface GrpcAnswer {
  readonly raw_output_contents: readonly Buffer[];
}

type Infer = (message: object, callback: (error: Error | null, answer: GrpcAnswer) => void) => void;

const { rows, keras } = JSON.parse(await readFile(join(FOLDER, "answers.json"), "utf8")) as Answers;

afterAll(closePrograms);

describe.each(["TensorFlow", "OnnxRuntime", "Wasm"])("Keras' model of 784-128-64-10 on %s", (engine) => {
  let server: Server;
  beforeAll(async () => {
    server = await startServer([FOLDER, "--engine", engine, "--drain-delay", "0"]);
  }, 60_000);

  const post = (path: string, body: object) =>
    ask(`${server.url}/${path}`, { body: JSON.stringify(body) }).then(parsed) as Promise<Record<string, unknown>>;
  const infer = "v2/models/mnist/infer";

  async function inferBinary(row: readonly number[]): Promise<number[]> {
    const data = Buffer.from(new Float32Array(row).buffer);
    const input = { name: "pixels", shape: [1, 784], datatype: "FP32", parameters: { binary_data_size: data.length } };
    const head = Buffer.from(JSON.stringify({ inputs: [input], parameters: { binary_data_output: true } }));
    const headers = { [JSON_LENGTH_HEADER]: String(head.length) };
    const { headers: answered, body } = await ask(`${server.url}/${infer}`, {
      body: Buffer.concat([head, data]),
      headers,
    });
    return floats(body.subarray(Number(answered[JSON_LENGTH_HEADER.toLowerCase()])));
  }

  async function inferGrpc(row: readonly number[]): Promise<number[]> {
    const Service = makeGenericClientConstructor(
      serviceOf(loadProto("inference.proto"), "inference.GRPCInferenceService"),
      "inference",
    );
    const client = new Service(`127.0.0.1:${server.grpcPort}`, credentials.createInsecure());
    const message = {
      model_name: "mnist",
      inputs: [{ name: "pixels", datatype: "FP32", shape: [1, 784] }],
      raw_input_contents: [Buffer.from(new Float32Array(row).buffer)],
    };
    try {
      // A generic client has a method for each call.
      const call = (client as unknown as { ModelInfer: Infer }).ModelInfer.bind(client);
      const answer = await new Promise<GrpcAnswer>((resolve, reject) =>
        call(message, (error, value) => (error === null ? resolve(value) : reject(error))),
      );
      return floats(answer.raw_output_contents[0] ?? Buffer.alloc(0));
    } finally {
      client.close();
    }
  }

  const ways: Record<string, (row: readonly number[]) => Promise<number[]>> = {
    "a row of TensorFlow Serving's REST": async (row) =>
      ((await post("v1/models/mnist:predict", { instances: [row] }))["predictions"] as number[][]).flat(),
    "a column of TensorFlow Serving's REST": async (row) =>
      ((await post("v1/models/mnist:predict", { inputs: [row] }))["outputs"] as number[][]).flat(),
    "Open Inference Protocol's JSON": async (row) => {
      const inputs = [{ name: "pixels", shape: [1, 784], datatype: "FP32", data: row }];
      return ((await post(infer, { inputs }))["outputs"] as { data: number[] }[])[0]?.data ?? [];
    },
    "Open Inference Protocol's binary tensors": inferBinary,
    "Open Inference Protocol's gRPC": inferGrpc,
  };

  it.each(Object.keys(ways))("answers random rows as Keras does by %s", async (way) => {
    for (const [index, row] of rows.entries()) {
      const found = (await ways[way]?.(row)) ?? [];
      expect(found).toHaveLength(10);
      const differences = found.map((value, digit) => Math.abs(value - (keras[index]?.[digit] ?? NaN)));
      expect(Math.max(...differences)).toBeLessThanOrEqual(TOLERANCE);
    }
  });
});

function floats(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
}
