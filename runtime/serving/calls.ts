/** Answers each call of both protocols; knows no sockets. */
import { answerInferCall } from "./infer-calls.ts";
import type { ModelRepository } from "./model-repository.ts";
import { answerPredictCall } from "./predict-calls.ts";
import { answerRepositoryCall } from "./repository-calls.ts";
import { refuse } from "./request-error.ts";
import type { Route } from "./route.ts";
import type { Servable } from "./servable.ts";
import type { Tensor } from "./tensor.ts";

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
  readonly compute: (
    model: Servable,
    inputs: readonly Tensor[],
    timeout: number | undefined,
  ) => Promise<readonly Tensor[]>;
}

/** What is behind the server, and what it tells of itself. */
export interface Host {
  readonly repository: ModelRepository;
  readonly version: string;
  /** Clients may load and unload models. */
  readonly repositoryControl: boolean;
}

export function answerCall(route: Route, host: Host, context: CallContext): Promise<Reply> | Reply {
  const { repository } = host;
  switch (route.call) {
    case "predict":
    case "classify":
    case "regress":
    case "status":
    case "predictMetadata":
      return answerPredictCall(route, repository, context);
    case "infer":
    case "modelReady":
    case "modelMetadata":
      return answerInferCall(route, repository, context);
    case "repositoryIndex":
    case "repositoryLoad":
    case "repositoryUnload":
      return answerRepositoryCall(route, host, context);
    case "live":
      return json(repository.live ? 200 : 503, { live: repository.live });
    case "ready":
      return json(repository.ready ? 200 : 503, { ready: repository.ready });
    case "server":
      return json(200, serverMetadata(host));
    case "models":
      return json(200, { models: repository.names() });
  }
}

/** What both REST and gRPC tell of the server. */
export function serverMetadata({ version }: Host) {
  return { name: "modelwright", version, extensions: ["binary_tensor_data", "model_repository"] };
}

export function json(status: number, value: unknown): Reply {
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) };
}

export const TIMEOUT_HEADER = "Modelwright-Timeout-Ms";
export const MAX_TIMEOUT_MILLISECONDS = 3_600_000;

/** Throws 400. */
export function timeoutHeader({ header }: CallContext): number | undefined {
  const text = header(TIMEOUT_HEADER);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > MAX_TIMEOUT_MILLISECONDS) {
    refuse(`header ${TIMEOUT_HEADER} must be a whole number of milliseconds from 1 to ${MAX_TIMEOUT_MILLISECONDS}`);
  }
  return value;
}
