/** Answers each call of both protocols; knows no sockets. */
import { openApi } from "./description/openapi.ts";
import { PAGE_REPLY } from "./description/page.ts";
import { answerInferCall } from "./infer-calls.ts";
import type { ModelRepository } from "./model-repository.ts";
import { answerPredictCall } from "./predict-calls.ts";
import { answerRepositoryCall } from "./repository-calls.ts";
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
    signatureName?: string,
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
    case "openApi":
      return json(200, openApi(host));
    case "page":
      return PAGE_REPLY;
  }
}

/** What both REST and gRPC tell of the server. */
export function serverMetadata({ version }: Host) {
  return { name: "modelwright", version, extensions: ["binary_tensor_data", "model_repository"] };
}

export function json(status: number, value: unknown): Reply {
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) };
}
