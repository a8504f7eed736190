/** Which call a method and path mean. Pure. */
import { RequestError, refuse } from "./request-error.ts";
import type { VersionChoice } from "./model-repository.ts";

interface Target extends VersionChoice {
  readonly model: string;
}

export type PredictRoute = Target & {
  readonly call: "predict" | "classify" | "regress" | "status" | "predictMetadata";
};
export type InferRoute = Target & { readonly call: "infer" | "modelReady" | "modelMetadata" };
export type RepositoryRoute =
  | { readonly call: "repositoryIndex" }
  | { readonly call: "repositoryLoad" | "repositoryUnload"; readonly model: string };
export type ServerRoute = { readonly call: "live" | "ready" | "server" | "models" | "openApi" | "page" };

export type Route = PredictRoute | InferRoute | RepositoryRoute | ServerRoute;

export type Call = Route["call"];

/** TensorFlow Serving's paths; the others belong to the Open Inference Protocol. */
export function isPredictPath(path: string): boolean {
  return /^\/v1(?:\/|$)/i.test(path);
}

/** `path`: of the URL, still encoded, without the query. Throws RequestError. */
export function matchRoute(method: string, path: string): Route {
  return isPredictPath(path) ? predictRoute(method, path) : inferRoute(method, path);
}

const PREDICT = /^\/v1\/models\/([^/:]+)(?:\/versions\/(\d+)|\/labels\/([^/:]+))?:(classify|regress|predict)$/i;
const STATUS = /^\/v1\/models(?:\/([^/:]+))?(?:\/versions\/(\d+)|\/labels\/([^/:]+))?(\/metadata)?$/i;
const MAX_VERSION = 2n ** 63n - 1n;
const ACTIONS: Readonly<Record<string, "predict" | "classify" | "regress">> = {
  predict: "predict",
  classify: "classify",
  regress: "regress",
};

function predictRoute(method: string, path: string): PredictRoute {
  const match = (method === "POST" ? PREDICT : method === "GET" || method === "HEAD" ? STATUS : undefined)?.exec(path);
  if (!match) refuse(`Malformed request: ${method} ${path}`);
  const [, name, digits, label, action] = match;
  if (name === undefined) refuse("Missing model name in request.");
  if (digits !== undefined && BigInt(digits) > MAX_VERSION) refuse(`Failed to convert version: ${digits} to numeric.`);
  const target = {
    model: decode(name),
    ...(digits === undefined ? {} : { version: String(BigInt(digits)) }),
    ...(label === undefined ? {} : { label: decode(label) }),
  };
  if (method !== "POST") return { call: action === undefined ? "status" : "predictMetadata", ...target };
  return { call: ACTIONS[action?.toLowerCase() ?? ""] ?? "predict", ...target };
}

const MODEL = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(\/ready|\/infer)?$/;
const REPOSITORY = /^\/v2\/repository\/models\/([^/]+)\/(load|unload)$/;
const SERVER_CALLS: Readonly<Record<string, ServerRoute["call"]>> = {
  "/v2": "server",
  "/v2/health/live": "live",
  "/v2/health/ready": "ready",
  "/v2/models": "models",
  "/openapi.json": "openApi",
  "/docs": "page",
};

function inferRoute(method: string, path: string): Exclude<Route, PredictRoute> {
  const plain = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  const server = Object.hasOwn(SERVER_CALLS, plain) ? SERVER_CALLS[plain] : undefined;
  if (server !== undefined) {
    allow(method, ["GET", "HEAD"]);
    return { call: server };
  }
  if (plain.startsWith("/v2/repository/")) return repositoryRoute(method, plain);
  const match = MODEL.exec(plain);
  const [, name, version, action] = match ?? [];
  if (name === undefined) throw new RequestError("NotFound", `there is nothing at ${plain}`);
  const target = { model: decode(name), ...(version === undefined ? {} : { version: decode(version) }) };
  allow(method, action === "/infer" ? ["POST"] : ["GET", "HEAD"]);
  if (action === "/infer") return { call: "infer", ...target };
  return { call: action === "/ready" ? "modelReady" : "modelMetadata", ...target };
}

function repositoryRoute(method: string, path: string): RepositoryRoute {
  const [, name, action] = REPOSITORY.exec(path) ?? [];
  if (path !== "/v2/repository/index" && name === undefined) {
    throw new RequestError("NotFound", `there is nothing at ${path}`);
  }
  allow(method, ["POST"]);
  if (name === undefined) return { call: "repositoryIndex" };
  return { call: action === "load" ? "repositoryLoad" : "repositoryUnload", model: decode(name) };
}

function allow(method: string, allowed: readonly string[]): void {
  if (allowed.includes(method)) return;
  const headers = { Allow: allowed.join(", ") };
  throw new RequestError("MethodNotAllowed", `method ${method} is not allowed here; use ${allowed.join(" or ")}`, {
    headers,
  });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    refuse("the path holds a name that is not URL-encoded UTF-8");
  }
}
