/** Answers each call of both protocols; knows no sockets. */
import { isUtf8 } from "node:buffer";
import { JSON_LENGTH_HEADER, readInfer, writeInfer } from "./infer.ts";
import { SIGNATURE_NAME, parsePredictDocument, readPrediction, writePrediction } from "./predict.ts";
import { RequestError, refuse } from "./request-error.ts";
import type { Route } from "./route.ts";
import { MODEL_VERSION, type ServedModel } from "./served-model.ts";
import type { Datatype, Tensor, TensorSpec } from "./tensor.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** The HTTP request as calls see it. */
export interface CallContext {
  readonly header: (name: string) => string | undefined;
  readonly readBody: () => Promise<Buffer>;
  /** Computes, waiting at most so many milliseconds (default: the server's) since the request came. */
  readonly compute: (inputs: readonly Tensor[], timeout: number | undefined) => Promise<readonly Tensor[]>;
}

/** The version that the server tells of itself. */
export interface ServerIdentity {
  readonly version: string;
}

export async function answerCall(
  route: Route,
  model: ServedModel,
  server: ServerIdentity,
  context: CallContext,
): Promise<Reply> {
  switch (route.call) {
    case "predict":
      return predict(route, model, context);
    case "status":
      return status(checkServable(route, model), model);
    case "predictMetadata":
      return predictMetadata(checkServable(route, model), model);
    case "infer":
      return infer(route, model, context);
    case "modelReady":
      checkModel(route, model);
      return json(model.ready ? 200 : 503, { name: model.name, ready: model.ready });
    case "modelMetadata":
      checkModel(route, model);
      return json(200, modelMetadata(model));
    case "live":
      return json(model.live ? 200 : 503, { live: model.live });
    case "ready":
      return json(model.ready ? 200 : 503, { ready: model.ready });
    case "server":
      return json(200, { name: "modelwright", version: server.version, extensions: ["binary_tensor_data"] });
    case "models":
      return json(200, { models: [model.name] });
  }
}

function json(status: number, value: unknown): Reply {
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) };
}

type ModelRoute = Extract<Route, { model: string }>;

function checkServable(route: ModelRoute, model: ServedModel): ModelRoute {
  const { model: name, version } = route;
  if (name === model.name && (version ?? MODEL_VERSION) === MODEL_VERSION) return route;
  const servable = version === undefined ? `Latest(${name})` : `Specific(${name}, ${version})`;
  throw new RequestError("NotFound", `Servable not found for request: ${servable}`);
}

function checkModel({ model: name, version }: ModelRoute, model: ServedModel): void {
  if (name !== model.name) throw new RequestError("NotFound", `Request for unknown model: '${name}' is not found`);
  if ((version ?? MODEL_VERSION) !== MODEL_VERSION) {
    throw new RequestError(
      "NotFound",
      `Request for unknown model: '${name}' has no version ${version}; it has ${MODEL_VERSION}`,
    );
  }
}

async function predict(route: ModelRoute, model: ServedModel, context: CallContext): Promise<Reply> {
  const timeout = timeoutHeader(context);
  const body = await context.readBody();
  if (!isUtf8(body)) refuse("JSON Parse error: Invalid encoding in string. at offset: 0");
  const document = parsePredictDocument(body.toString(), model.loaded?.signature ?? { inputs: [], outputs: [] });
  checkServable(route, model);
  const { format, inputs } = readPrediction(document, model.name, model.signature);
  const outputs = await context.compute(inputs, timeout);
  return { status: 200, headers: { "Content-Type": "application/json" }, body: writePrediction(format, outputs) };
}

async function infer(route: ModelRoute, model: ServedModel, context: CallContext): Promise<Reply> {
  const header = timeoutHeader(context);
  checkModel(route, model);
  const { signature } = model;
  const body = await context.readBody();
  const request = readInfer(body, context.header(JSON_LENGTH_HEADER), model.name, signature);
  const parameter = request.timeoutMicroseconds === undefined ? Infinity : request.timeoutMicroseconds / 1000;
  const timeout = Math.min(header ?? Infinity, parameter);
  const outputs = await context.compute(request.inputs, timeout === Infinity ? undefined : timeout);
  return { status: 200, ...writeInfer({ name: model.name, version: route.version }, request, outputs) };
}

export const TIMEOUT_HEADER = "Modelwright-Timeout-Ms";
export const MAX_TIMEOUT_MILLISECONDS = 3_600_000;

function timeoutHeader({ header }: CallContext): number | undefined {
  const text = header(TIMEOUT_HEADER);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > MAX_TIMEOUT_MILLISECONDS) {
    refuse(`header ${TIMEOUT_HEADER} must be a whole number of milliseconds from 1 to ${MAX_TIMEOUT_MILLISECONDS}`);
  }
  return value;
}

const VERSION_STATES = {
  Loading: "LOADING",
  Warming: "LOADING",
  Serving: "AVAILABLE",
  Draining: "UNLOADING",
  Failed: "END",
} as const;

/** TensorFlow Serving's answer, with the keys that KServe's clients look for beside it. */
function status(route: ModelRoute, model: ServedModel): Reply {
  const state = VERSION_STATES[model.state];
  const version = { version: route.version ?? MODEL_VERSION, state, status: { error_code: "OK", error_message: "" } };
  return json(200, { model_version_status: [version], name: model.name, ready: model.ready });
}

const DATA_TYPES: Readonly<Record<Datatype, string>> = {
  BOOL: "DT_BOOL",
  UINT8: "DT_UINT8",
  UINT16: "DT_UINT16",
  UINT32: "DT_UINT32",
  UINT64: "DT_UINT64",
  INT8: "DT_INT8",
  INT16: "DT_INT16",
  INT32: "DT_INT32",
  INT64: "DT_INT64",
  FP16: "DT_HALF",
  BF16: "DT_BFLOAT16",
  FP32: "DT_FLOAT",
  FP64: "DT_DOUBLE",
  BYTES: "DT_STRING",
};

function tensorInfos(specs: readonly TensorSpec[]): object {
  const infos = specs.map(({ name, datatype, shape }) => {
    const dim = shape.map((size) => ({ size: String(size), name: "" }));
    return [name, { dtype: DATA_TYPES[datatype], tensor_shape: { dim, unknown_rank: false }, name: `${name}:0` }];
  });
  return Object.fromEntries(infos) as object;
}

function predictMetadata(route: ModelRoute, model: ServedModel): Reply {
  const { inputs, outputs } = model.signature;
  const definition = {
    inputs: tensorInfos(inputs),
    outputs: tensorInfos(outputs),
    method_name: "tensorflow/serving/predict",
    defaults: {},
  };
  return json(200, {
    model_spec: { name: model.name, signature_name: "", version: route.version ?? MODEL_VERSION },
    metadata: { signature_def: { signature_def: { [SIGNATURE_NAME]: definition } } },
  });
}

function modelMetadata({ name, signature }: ServedModel): unknown {
  const { inputs, outputs } = signature;
  return { name, versions: [MODEL_VERSION], platform: "tensorflow_tfjslayers", inputs, outputs };
}
