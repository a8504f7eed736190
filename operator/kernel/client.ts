import { ApiError, described, errorFromStatus } from "./errors.ts";
import type { Connection } from "./kube-config.ts";
import { lines } from "./lines.ts";
import type { Intent, KubernetesObject, Stored } from "./meta.ts";
import type {
  ApplyOptions,
  CallOptions,
  DeleteOptions,
  JsonPatchOperation,
  List,
  ListOptions,
  SelectOptions,
  WatchEvent,
  WatchOptions,
} from "./requests.ts";
import { pathOf, type Resource } from "./resource.ts";
import { type Call, type CallObserver, Transport } from "./transport.ts";
import type { Clock } from "./clock.ts";

export interface ClientOptions {
  readonly userAgent: string;
  /** The name under which written fields are owned. */
  readonly fieldManager: string;
  readonly metrics?: CallObserver | undefined;
  readonly clock?: Clock | undefined;
  readonly connections?: number | undefined;
}

/**
 * Typed access to an API server. Objects come back as sent: no field is dropped, dates stay strings.
 * For cluster-scoped kinds the namespace is "". Every method throws ApiError.
 */
export class Client {
  readonly fieldManager: string;
  readonly #transport: Transport;

  constructor(connection: Connection, options: ClientOptions) {
    this.fieldManager = options.fieldManager;
    this.#transport = new Transport(connection, { ...options, observer: options.metrics });
  }

  async get<T extends KubernetesObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    options: CallOptions & { readonly subresource?: string | undefined } = {},
  ): Promise<Stored<T>> {
    return this.#object(resource, {
      ...options,
      method: "GET",
      path: pathOf(resource, namespace, name, options.subresource),
      idempotent: true,
    });
  }

  /** As get, but undefined where there is no such object. */
  async find<T extends KubernetesObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    options: CallOptions = {},
  ): Promise<Stored<T> | undefined> {
    try {
      return await this.get(resource, namespace, name, options);
    } catch (error) {
      if (error instanceof ApiError && error.isNotFound) return undefined;
      throw error;
    }
  }

  /** All objects. A list that outlives its continue token starts anew. */
  async list<T extends KubernetesObject>(resource: Resource<T>, options: ListOptions = {}): Promise<List<T>> {
    for (let attempt = 1; ; attempt++) {
      const items: Stored<T>[] = [];
      let resourceVersion = "";
      try {
        for await (const page of this.pages(resource, options)) {
          for (const item of page.items) items.push(item);
          resourceVersion = page.resourceVersion;
        }
        return { items, resourceVersion };
      } catch (error) {
        if (attempt === 3 || !(error instanceof ApiError && error.isExpired)) throw error;
      }
    }
  }

  /** The pages of a consistent list, all of one resourceVersion. */
  async *pages<T extends KubernetesObject>(resource: Resource<T>, options: ListOptions = {}): AsyncGenerator<List<T>> {
    let next = "";
    do {
      const body = await this.#transport.json({
        method: "GET",
        path: pathOf(resource, options.namespace ?? ""),
        query: { ...selection(options), limit: options.limit ?? 500, continue: next || undefined },
        signal: options.signal,
        timeoutSeconds: options.timeoutSeconds,
        idempotent: true,
      });
      const list = body as { items?: T[] | null; metadata: { resourceVersion: string; continue?: string } };
      next = list.metadata.continue ?? "";
      yield {
        items: (list.items ?? []).map((item) => identified(resource, item)),
        resourceVersion: list.metadata.resourceVersion,
      };
    } while (next);
  }

  /** Creates an object; one of that name gives ApiError.isAlreadyExists. */
  async create<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    options: CallOptions = {},
  ): Promise<Stored<T>> {
    return this.#object(resource, {
      ...options,
      method: "POST",
      path: pathOf(resource, object.metadata?.namespace ?? ""),
      query: { fieldManager: this.fieldManager },
      body: { ...object, apiVersion: resource.apiVersion, kind: resource.kind },
      idempotent: false,
    });
  }

  /** Replaces a whole object; with metadata.resourceVersion only when nobody wrote meanwhile. */
  async replace<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T & { metadata: { name: string; namespace?: string } },
    options: CallOptions & { readonly subresource?: string | undefined } = {},
  ): Promise<Stored<T>> {
    return this.#object(resource, {
      ...options,
      method: "PUT",
      path: pathOf(resource, object.metadata.namespace ?? "", object.metadata.name, options.subresource),
      query: { fieldManager: this.fieldManager },
      body: { ...object, apiVersion: resource.apiVersion, kind: resource.kind },
      idempotent: false,
    });
  }

  /**
   * Server-side apply: owns exactly the fields of the intent, and gives up those of the last one that are gone.
   * With metadata.uid only that very object is changed, never created.
   */
  async apply<T extends KubernetesObject>(
    resource: Resource<T>,
    intent: Intent<T>,
    options: ApplyOptions = {},
  ): Promise<Stored<T>> {
    const { name, namespace = "" } = intent.metadata;
    return this.#object(resource, {
      ...options,
      method: "PATCH",
      path: pathOf(resource, namespace, name, options.subresource),
      query: { fieldManager: options.fieldManager ?? this.fieldManager, force: options.force ?? true },
      body: { ...intent, apiVersion: resource.apiVersion, kind: resource.kind },
      contentType: "application/apply-patch+yaml",
      idempotent: true,
    });
  }

  /** Server-side apply of the status. */
  applyStatus<T extends KubernetesObject>(
    resource: Resource<T>,
    intent: Intent<T>,
    options: ApplyOptions = {},
  ): Promise<Stored<T>> {
    return this.apply(resource, intent, { ...options, subresource: "status" });
  }

  /** An array is a JSON Patch, an object a JSON Merge Patch. */
  async patch<T extends KubernetesObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    patch: readonly JsonPatchOperation[] | Readonly<Record<string, unknown>>,
    options: CallOptions & { readonly subresource?: string | undefined } = {},
  ): Promise<Stored<T>> {
    const isJsonPatch = Array.isArray(patch);
    return this.#object(resource, {
      ...options,
      method: "PATCH",
      path: pathOf(resource, namespace, name, options.subresource),
      query: { fieldManager: this.fieldManager },
      body: patch,
      contentType: isJsonPatch ? "application/json-patch+json" : "application/merge-patch+json",
      idempotent: !isJsonPatch,
    });
  }

  /** True when the object was there. A precondition that does not hold gives ApiError.isConflict. */
  async delete<T extends KubernetesObject>(
    resource: Resource<T>,
    namespace: string,
    name: string,
    options: DeleteOptions = {},
  ): Promise<boolean> {
    const { uid, resourceVersion } = options;
    const preconditions = uid || resourceVersion ? { preconditions: { uid, resourceVersion } } : {};
    try {
      await this.#transport.json({
        ...options,
        method: "DELETE",
        path: pathOf(resource, namespace, name),
        body: {
          apiVersion: "v1",
          kind: "DeleteOptions",
          propagationPolicy: options.propagationPolicy ?? "Background",
          ...preconditions,
        },
        // A repeated delete could only hit a successor when no uid guards it.
        idempotent: uid !== undefined,
      });
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.isNotFound) return false;
      throw error;
    }
  }

  /** Events until the server ends the watch. Throws ApiError; `isExpired` asks for a new list. */
  async *watch<T extends KubernetesObject>(
    resource: Resource<T>,
    options: WatchOptions,
  ): AsyncGenerator<WatchEvent<T>> {
    const path = pathOf(resource, options.namespace ?? "");
    const call: Call = {
      method: "GET",
      path,
      query: {
        ...selection(options),
        watch: true,
        allowWatchBookmarks: true,
        timeoutSeconds: options.timeoutSeconds,
        resourceVersion: options.resourceVersion,
        ...(options.sendInitialEvents ? { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" } : {}),
      },
      signal: options.signal,
      idempotent: true,
    };
    const body = await this.#transport.stream(call, options.silenceSeconds);
    try {
      for await (const line of lines(body)) yield watchEvent(resource, line, `watch ${path}`);
    } catch (cause) {
      options.signal.throwIfAborted();
      if (cause instanceof ApiError) throw cause;
      const message = `watch ${path}: ${described(cause).message}`;
      throw new ApiError({ status: 0, reason: "ConnectionFailed", message, cause });
    } finally {
      body.destroy();
    }
  }

  /** Ends all connections, watches included. */
  close(): Promise<void> {
    this.#transport.close();
    return Promise.resolve();
  }

  async #object<T extends KubernetesObject>(resource: Resource<T>, call: Call): Promise<Stored<T>> {
    return identified(resource, (await this.#transport.json(call)) as T);
  }
}

function selection({ labelSelector, fieldSelector }: SelectOptions) {
  return { labelSelector: labelSelector || undefined, fieldSelector: fieldSelector || undefined };
}

/** Items of a list come without apiVersion and kind; one shape for all. The server always names and versions them. */
function identified<T extends KubernetesObject>(resource: Resource<T>, object: T): Stored<T> {
  object.apiVersion ??= resource.apiVersion;
  object.kind ??= resource.kind;
  return object as Stored<T>;
}

const initialEndAnnotation = "k8s.io/initial-events-end";

function watchEvent<T extends KubernetesObject>(resource: Resource<T>, line: string, context: string): WatchEvent<T> {
  const event = JSON.parse(line) as { type: string; object: T };
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return { type: event.type, object: identified(resource, event.object) };
    case "BOOKMARK":
      return {
        type: "BOOKMARK",
        resourceVersion: event.object.metadata?.resourceVersion ?? "",
        initialEnd: event.object.metadata?.annotations?.[initialEndAnnotation] === "true",
      };
    case "ERROR":
      throw errorFromStatus(event.object, context);
    default:
      throw new ApiError({
        status: 0,
        reason: "UnknownEvent",
        message: `${context}: unknown event type ${event.type}`,
      });
  }
}
