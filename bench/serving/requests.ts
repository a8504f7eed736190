/** Requests of each form for the models of the benchmark. */
import { fileURLToPath } from "node:url";
import { loadSync } from "@grpc/proto-loader";
import { JSON_LENGTH_HEADER } from "../../runtime/serving/infer.ts";
import type { Request } from "./load.ts";

export type Form = "v1" | "v2" | "binary" | "grpc";
type Datatype = "FP32" | "INT32";

interface Input {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: Datatype;
  /** Of a row. */
  readonly data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
}

const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** Numbers as pixels have them. */
function pixels(name: string, shape: readonly number[]): Input {
  const data = Float32Array.from({ length: count(shape) }, (_, index) => ((index * 37) % 256) / 256);
  return { name, shape, datatype: "FP32", data };
}

function whole(name: string, length: number, value: (index: number) => number): Input {
  return { name, shape: [length], datatype: "INT32", data: Int32Array.from({ length }, (_, index) => value(index)) };
}

/** `input`: of Keras' MobileNetV2 the name is made up when the model is. */
export const MODELS = {
  mlp: (input: string) => [pixels(input, [784])],
  cnn: (input: string) => [pixels(input, [28, 28, 1])],
  mobilenet: (input: string) => [pixels(input, [224, 224, 3])],
  bert: () => [whole("ids", 128, (index) => (index * 211) % 30_000), whole("places", 128, (index) => index)],
};
export type Model = keyof typeof MODELS;

const JSON_TYPE = { "Content-Type": "application/json" };
/** KServe's server answers nobody without it. */
const IDENTITY = { id: "1" };
const INFER = "/v2/models/m/infer";
const PROTO = fileURLToPath(new URL("../../runtime/serving/grpc/inference.proto", import.meta.url));

function nested(values: ArrayLike<number>, shape: readonly number[]): unknown {
  const [size = 0, ...rest] = shape;
  if (rest.length === 0) return Array.from(values);
  const stride = count(rest);
  return Array.from({ length: size }, (_, index) =>
    nested(Array.prototype.slice.call(values, index * stride, (index + 1) * stride), rest),
  );
}

const repeated = ({ data }: Input, rows: number) =>
  Buffer.concat(Array.from({ length: rows }, () => Buffer.from(data.buffer)));

export function requestFor(inputs: readonly Input[], rows: number, form: Form): Request {
  const specs = inputs.map(({ name, shape, datatype }) => ({ name, shape: [rows, ...shape], datatype }));
  const raw = inputs.map((input) => repeated(input, rows));
  const tensor = (index: number) => specs[index] ?? { name: "", shape: [], datatype: "FP32" };
  switch (form) {
    case "v1": {
      const values = inputs.map((input) => nested(input.data, input.shape));
      const row = inputs.length === 1 ? values[0] : Object.fromEntries(specs.map(({ name }, i) => [name, values[i]]));
      const body = JSON.stringify({ instances: Array.from({ length: rows }, () => row) });
      return { path: "/v1/models/m:predict", body: Buffer.from(body), headers: JSON_TYPE };
    }
    case "v2": {
      const data = ({ data: values }: Input) => Array.from({ length: rows }, () => [...values]).flat();
      const body = JSON.stringify({
        ...IDENTITY,
        inputs: inputs.map((input, index) => ({ ...tensor(index), data: data(input) })),
      });
      return { path: INFER, body: Buffer.from(body), headers: JSON_TYPE };
    }
    case "binary": {
      const sized = specs.map((spec, i) => ({ ...spec, parameters: { binary_data_size: raw[i]?.length } }));
      const head = Buffer.from(
        JSON.stringify({ ...IDENTITY, inputs: sized, parameters: { binary_data_output: true } }),
      );
      const type = { "Content-Type": "application/octet-stream" };
      const headers = { ...type, [JSON_LENGTH_HEADER]: String(head.length) };
      return { path: INFER, body: Buffer.concat([head, ...raw]), headers };
    }
    case "grpc": {
      const service = loadSync(PROTO, { keepCase: true, longs: String })["inference.GRPCInferenceService"];
      const method = (service as Record<string, { path: string; requestSerialize: (message: object) => Buffer }>)[
        "ModelInfer"
      ];
      if (method === undefined) throw new Error("there is no call ModelInfer");
      const message = { ...IDENTITY, model_name: "m", inputs: specs, raw_input_contents: raw };
      return { path: method.path, body: method.requestSerialize(message), headers: {} };
    }
  }
}
