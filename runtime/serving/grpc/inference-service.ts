/** The Open Inference Protocol's gRPC calls. */
import {
  Metadata,
  type ServerUnaryCall,
  type StatusObject,
  type UntypedServiceImplementation,
  type handleUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import type { AccessLog } from "../access-log.ts";
import { type Host, serverMetadata } from "../calls.ts";
import type { Clock } from "../clock.ts";
import { findServable, modelMetadata } from "../infer-calls.ts";
import { inferFor } from "../inference.ts";
import { loadModel, repositoryIndex, unloadModel } from "../repository-calls.ts";
import { REQUEST_ID, identityOf } from "../request-identity.ts";
import type { Servable } from "../servable.ts";
import type { ServingMetrics } from "../serving-metrics.ts";
import { type GrpcTraffic, isDivertedCall, tellSeconds } from "../traffic/grpc-traffic.ts";
import {
  type InferRequestMessage,
  type InferResponseMessage,
  readInferMessage,
  writeInferMessage,
} from "./infer-message.ts";
import { serviceErrorOf } from "./service-error.ts";

export interface InferenceServiceOptions {
  readonly host: Host;
  readonly metrics: ServingMetrics;
  readonly clock: Clock;
  /** Milliseconds that a request may wait for the engine when it has no deadline. */
  readonly timeout: number;
  readonly accessLog?: AccessLog | undefined;
  /** Shares calls with another version. */
  readonly traffic?: GrpcTraffic | undefined;
  /** A fault of ours; the client is told nothing of it. */
  readonly onError: (error: unknown, call: string) => void;
}

interface Named {
  readonly name?: string;
  readonly version?: string;
}

interface Handling {
  /** The model that is asked, for metrics. */
  model?: Servable;
}

type Handler<In, Out> = (call: ServerUnaryCall<In, Out>, handling: Handling) => Promise<Out> | Out;

export function inferenceService(options: InferenceServiceOptions): UntypedServiceImplementation {
  const { host } = options;
  const { repository } = host;
  const chosen = (name = "", version = "") => findServable(repository, name, version === "" ? {} : { version });
  const handlers: Record<string, Handler<never, unknown>> = {
    ServerLive: () => ({ live: repository.live }),
    ServerReady: () => ({ ready: repository.ready }),
    ServerMetadata: () => serverMetadata(host),
    ModelReady: ({ request: { name, version } }: ServerUnaryCall<Named, unknown>) => ({
      ready: isReady(() => chosen(name, version)),
    }),
    ModelMetadata: ({ request: { name, version } }: ServerUnaryCall<Named, unknown>) =>
      modelMetadata(repository, chosen(name, version)),
    ModelInfer: (call: ServerUnaryCall<InferRequestMessage, InferResponseMessage>, handling) => {
      const { model_name, model_version } = call.request;
      const model = chosen(model_name, model_version);
      handling.model = model;
      const timeout = Math.min(deadlineMilliseconds(call.getDeadline()), options.timeout);
      const local = () => infer(call, model, options);
      return options.traffic === undefined ? local() : options.traffic.answer({ call, timeout, local });
    },
    RepositoryIndex: ({ request: { ready = false } }: ServerUnaryCall<{ ready?: boolean }, unknown>) => ({
      models: repositoryIndex(repository, ready),
    }),
    RepositoryModelLoad: async ({ request }: ServerUnaryCall<{ model_name?: string }, unknown>) => {
      await loadModel(host, request.model_name ?? "");
      return {};
    },
    RepositoryModelUnload: async ({ request }: ServerUnaryCall<{ model_name?: string }, unknown>) => {
      await unloadModel(host, request.model_name ?? "");
      return {};
    },
  };
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handler]) => [name, answering(name, handler, options)]),
  );
}

/** An unknown model is not found; one that is being loaded is known, and not ready. */
function isReady(find: () => Servable): boolean {
  try {
    return find().ready;
  } catch (error) {
    if (serviceErrorOf(error).code === status.UNAVAILABLE) return false;
    throw error;
  }
}

/** Counts each call and gives its errors their gRPC form. */
function answering(
  name: string,
  handler: Handler<never, unknown>,
  options: InferenceServiceOptions,
): handleUnaryCall<unknown, unknown> {
  const { metrics, clock, onError, accessLog } = options;
  const inference = name === "ModelInfer";
  const answer = async (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
    const startedAt = clock.now();
    const handling: Handling = {};
    const identity = identityOf((header) => call.metadata.get(header)[0]?.toString());
    // Whoever the call is passed on to knows it by the same name.
    call.metadata.set(REQUEST_ID, identity.requestId);
    metrics.received(inference);
    let refusal: StatusObject | null = null;
    let value: unknown;
    try {
      // The service's definition says which message each handler gets.
      value = await handler(call as ServerUnaryCall<never, unknown>, handling);
    } catch (error) {
      refusal = serviceErrorOf(error);
      if (refusal.code === status.INTERNAL) onError(error, name);
    }
    const seconds = (clock.now() - startedAt) / 1000;
    const trailer = refusal?.metadata ?? new Metadata();
    trailer.set(REQUEST_ID, identity.requestId);
    if (isDivertedCall(call.metadata)) tellSeconds(trailer, seconds);
    callback(refusal, value, trailer);
    const code = status[refusal?.code ?? status.OK];
    const { model } = handling;
    metrics.answered({ protocol: "grpc", call: name, code, seconds, inference, model });
    const client = addressOf(call.getPeer());
    const asked = { protocol: "grpc", call: name, model: model?.name, version: model?.version };
    accessLog?.record({ ...identity, ...asked, code, seconds, client });
  };
  return (call, callback) => void answer(call, callback);
}

async function infer(
  call: ServerUnaryCall<InferRequestMessage, InferResponseMessage>,
  model: Servable,
  { clock, timeout }: InferenceServiceOptions,
): Promise<InferResponseMessage> {
  const { request } = call;
  const startedAt = clock.now();
  const asked = readInferMessage(request, model.name, model.signature);
  const whenGone = (callback: () => void) => {
    call.once("cancelled", callback);
    return () => call.off("cancelled", callback);
  };
  const client = { startedAt, caller: addressOf(call.getPeer()), whenGone };
  const parameter = asked.timeoutMicroseconds === undefined ? Infinity : asked.timeoutMicroseconds / 1000;
  const patience = Math.min(deadlineMilliseconds(call.getDeadline()), parameter);
  const outputs = await inferFor(client, model, asked.inputs, patience === Infinity ? timeout : patience, clock);
  const { model_version: version = "", id = "" } = request;
  return writeInferMessage({ model: model.name, version, id }, asked, outputs);
}

const MAX_TIMEOUT_MILLISECONDS = 3_600_000;

/** Milliseconds until then; Infinity when there is no deadline. */
function deadlineMilliseconds(deadline: Date | number): number {
  const left = Number(deadline) - Date.now();
  return left === Infinity ? left : Math.min(left, MAX_TIMEOUT_MILLISECONDS);
}

/** Without the port, which differs by connection. */
function addressOf(peer: string): string {
  return peer.slice(0, peer.lastIndexOf(":"));
}
