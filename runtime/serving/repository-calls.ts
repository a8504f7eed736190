/** The model repository extension of the Open Inference Protocol: what there is, and loading and unloading it. */
import { Failure } from "../failure.ts";
import { type CallContext, type Host, type Reply, json } from "./calls.ts";
import { isObject } from "./json.ts";
import { type IndexEntry, type ModelRepository, NotServed } from "./model-repository.ts";
import { RequestError, refuse } from "./request-error.ts";
import type { RepositoryRoute } from "./route.ts";

export async function answerRepositoryCall(route: RepositoryRoute, host: Host, context: CallContext): Promise<Reply> {
  if (route.call === "repositoryIndex") {
    return json(200, repositoryIndex(host.repository, readReady(await context.readBody())));
  }
  await context.readBody();
  if (route.call === "repositoryLoad") {
    await loadModel(host, route.model);
    return json(200, { name: route.model, load: true });
  }
  await unloadModel(host, route.model);
  return json(200, { name: route.model, unload: true });
}

/** All versions, or those that serve. */
export function repositoryIndex(repository: ModelRepository, readyOnly: boolean): IndexEntry[] {
  return repository.index().filter(({ state }) => !readyOnly || state === "READY");
}

/** Throws RequestError. */
export async function loadModel(host: Host, name: string): Promise<void> {
  allowControl(host);
  try {
    await host.repository.load(name);
  } catch (error) {
    if (error instanceof Failure) refuse(`failed to load '${name}': ${error.reason}: ${error.message}`);
    throw unknownModel(error, name);
  }
}

/** Throws RequestError. */
export async function unloadModel(host: Host, name: string): Promise<void> {
  allowControl(host);
  await host.repository.unload(name).catch((error: unknown) => {
    throw unknownModel(error, name);
  });
}

function allowControl({ repositoryControl }: Host): void {
  if (repositoryControl) return;
  throw new RequestError(
    "Forbidden",
    "models are not loaded and unloaded by clients here; start the server with --repository-control to allow it",
  );
}

function unknownModel(error: unknown, name: string): unknown {
  return error instanceof NotServed
    ? new RequestError("NotFound", `there is no model '${name}' to load or unload`)
    : error;
}

/** The body may be missing. */
function readReady(body: Buffer): boolean {
  if (body.length === 0) return false;
  let document: unknown;
  try {
    document = JSON.parse(body.toString());
  } catch {
    refuse("the request is not valid JSON");
  }
  const ready = isObject(document) ? (document["ready"] ?? false) : refuse("the request must be a JSON object");
  return typeof ready === "boolean" ? ready : refuse("Invalid value for 'ready': expected a boolean");
}
