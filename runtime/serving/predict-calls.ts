/** TensorFlow Serving's calls. */
import { isUtf8 } from "node:buffer";
import { type CallContext, type Reply, json } from "./calls.ts";
import { type Method, readExamples, writeResults } from "./examples.ts";
import { type ModelRepository, NotServed, type VersionSlot } from "./model-repository.ts";
import { SIGNATURE_NAME, chosenSignature, parsePredictDocument, readPrediction, writePrediction } from "./predict.ts";
import { RequestError, refuse } from "./request-error.ts";
import type { PredictRoute } from "./route.ts";
import type { Servable } from "./servable.ts";
import type { Datatype, Signature, TensorSpec } from "./tensor.ts";
import { timeoutHeader } from "./timeout-header.ts";

export async function answerPredictCall(
  route: PredictRoute,
  repository: ModelRepository,
  context: CallContext,
): Promise<Reply> {
  switch (route.call) {
    case "predict":
    case "classify":
    case "regress":
      return compute(route.call, route, repository, context);
    case "status":
      return status(route, repository);
    case "predictMetadata":
      return metadata(findServable(route, repository));
  }
}

/** Throws RequestError with TensorFlow Serving's words. */
function findServable(route: PredictRoute, repository: ModelRepository): Servable {
  return asServable(route, () => repository.find(route.model, route));
}

function asServable<T>(route: PredictRoute, find: () => T): T {
  const { model, version, label } = route;
  try {
    return find();
  } catch (error) {
    if (!(error instanceof NotServed)) throw error;
    if (error.missing === "label") refuse(`Unrecognized servable version label: ${label}`);
    const servable = version === undefined ? `Latest(${model})` : `Specific(${model}, ${version})`;
    throw new RequestError("NotFound", `Servable not found for request: ${servable}`, { cause: error });
  }
}

async function compute(
  method: "predict" | Method,
  route: PredictRoute,
  repository: ModelRepository,
  context: CallContext,
): Promise<Reply> {
  const timeout = timeoutHeader(context);
  const body = await context.readBody();
  if (!isUtf8(body)) refuse("JSON Parse error: Invalid encoding in string. at offset: 0");
  // The body is judged before the model: what is no JSON is wrong for any model.
  const document = parsePredictDocument(body.toString(), signatureOf(route, repository));
  const model = findServable(route, repository);
  const { name, signature } = chosenSignature(document.members, model.signature, model.loaded?.signatures);
  if (method === "predict") {
    const { format, inputs } = readPrediction(document, model.name, signature);
    return text(writePrediction(format, await context.compute(model, inputs, timeout, name)));
  }
  const inputs = readExamples(method, document, model.name, signature);
  return text(writeResults(method, await context.compute(model, inputs, timeout, name), model.name));
}

function text(body: string): Reply {
  return { status: 200, headers: { "Content-Type": "application/json" }, body };
}

const NO_SIGNATURE: Signature = { inputs: [], outputs: [] };

function signatureOf(route: PredictRoute, repository: ModelRepository): Signature {
  try {
    const { signature, loaded } = repository.find(route.model, route);
    // Which of them is meant is known when the document has been read.
    const others = Object.values(loaded?.signatures ?? {});
    return { ...signature, inputs: [signature, ...others].flatMap(({ inputs }) => inputs) };
  } catch {
    return NO_SIGNATURE;
  }
}

const VERSION_STATES = {
  Loading: "LOADING",
  Warming: "LOADING",
  Serving: "AVAILABLE",
  Draining: "UNLOADING",
  Failed: "END",
} as const;

/** TensorFlow Serving's answer, with the keys that KServe's clients look for beside it. */
function status(route: PredictRoute, repository: ModelRepository): Reply {
  const slots = asServable(route, () => chosenSlots(route, repository));
  const ready = slots.some(({ model }) => model?.ready);
  return json(200, { model_version_status: slots.reverse().map(versionStatus), name: route.model, ready });
}

function chosenSlots({ model, version, label }: PredictRoute, repository: ModelRepository): VersionSlot[] {
  const wanted = label === undefined ? version : repository.labelled(model, label);
  const slots = repository.versions(model);
  if (wanted === undefined) return slots;
  const chosen = slots.filter((slot) => slot.version === wanted);
  if (chosen.length === 0) throw new NotServed("version");
  return chosen;
}

function versionStatus({ version, model, failure = model?.failure }: VersionSlot) {
  const state = failure === undefined ? VERSION_STATES[model?.state ?? "Loading"] : "END";
  const error =
    failure === undefined
      ? { error_code: "OK", error_message: "" }
      : { error_code: "UNKNOWN", error_message: `${failure.reason}: ${failure.message}` };
  return { version, state, status: error };
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

function metadata({ name, version, signature, loaded }: Servable): Reply {
  const all = { ...loaded?.signatures, [SIGNATURE_NAME]: signature };
  const definitions = Object.entries(all).map(([key, { inputs, outputs }]) => [
    key,
    {
      inputs: tensorInfos(inputs),
      outputs: tensorInfos(outputs),
      method_name: "tensorflow/serving/predict",
      defaults: {},
    },
  ]);
  return json(200, {
    model_spec: { name, signature_name: "", version },
    metadata: { signature_def: { signature_def: Object.fromEntries(definitions) as object } },
  });
}
