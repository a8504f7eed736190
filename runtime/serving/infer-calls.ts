/** The Open Inference Protocol's calls that are about a model. */
import { type CallContext, type Reply, json } from "./calls.ts";
import { JSON_LENGTH_HEADER, readInfer, writeInfer } from "./infer.ts";
import { type ModelRepository, NotServed, type VersionChoice } from "./model-repository.ts";
import { RequestError } from "./request-error.ts";
import type { InferRoute } from "./route.ts";
import type { Servable } from "./servable.ts";
import type { Signature } from "./tensor.ts";
import { timeoutHeader } from "./timeout-header.ts";

export async function answerInferCall(
  route: InferRoute,
  repository: ModelRepository,
  context: CallContext,
): Promise<Reply> {
  const model = findServable(repository, route.model, route);
  switch (route.call) {
    case "infer":
      return infer(route, model, context);
    case "modelReady":
      return json(model.ready ? 200 : 503, { name: model.name, ready: model.ready });
    case "modelMetadata":
      return json(200, modelMetadata(repository, model));
  }
}

/** Throws RequestError with this protocol's words. */
export function findServable(repository: ModelRepository, name: string, choice: VersionChoice): Servable {
  try {
    return repository.find(name, choice);
  } catch (error) {
    if (!(error instanceof NotServed)) throw error;
    const message = `Request for unknown model: '${name}'`;
    if (error.missing === "model") throw new RequestError("NotFound", `${message} is not found`, { cause: error });
    const versions = repository.versions(name).map(({ version }) => version);
    throw new RequestError("NotFound", `${message} has no version ${choice.version}; it has ${versions.join(", ")}`, {
      cause: error,
    });
  }
}

async function infer(route: InferRoute, model: Servable, context: CallContext): Promise<Reply> {
  const header = timeoutHeader(context);
  const { signature } = model;
  const body = await context.readBody();
  const request = readInfer(body, context.header(JSON_LENGTH_HEADER), model.name, signature);
  const parameter = request.timeoutMicroseconds === undefined ? Infinity : request.timeoutMicroseconds / 1000;
  const timeout = Math.min(header ?? Infinity, parameter);
  const outputs = await context.compute(model, request.inputs, timeout === Infinity ? undefined : timeout);
  return { status: 200, ...writeInfer({ name: model.name, version: route.version }, request, outputs) };
}

const PLATFORMS: Readonly<Record<string, string>> = {
  TfjsLayers: "tensorflow_tfjslayers",
  TfjsGraph: "tensorflow_tfjsgraph",
  Keras: "tensorflow_keras",
  KerasH5: "tensorflow_kerash5",
  SavedModel: "tensorflow_savedmodel",
  Onnx: "onnxruntime_onnx",
};

export interface ModelMetadata extends Signature {
  readonly name: string;
  /** Those that serve. */
  readonly versions: readonly string[];
  readonly platform: string;
}

/** Also for gRPC. Throws RequestError NotReady. */
export function modelMetadata(repository: ModelRepository, model: Servable): ModelMetadata {
  const { inputs, outputs } = model.signature;
  const versions = repository.versions(model.name).filter((slot) => slot.model?.ready);
  return {
    name: model.name,
    versions: versions.map(({ version }) => version),
    platform: PLATFORMS[model.loaded?.format ?? ""] ?? "tensorflow_unknown",
    inputs,
    outputs,
  };
}
