import type { KubernetesObject, Stored } from "./meta.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** For the call with all its retries; default 30. */
  readonly timeoutSeconds?: number | undefined;
}

export interface SelectOptions {
  /** Empty or absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListOptions extends SelectOptions, CallOptions {
  /** Objects a page; default 500. */
  readonly limit?: number | undefined;
}

export interface List<T extends KubernetesObject> {
  readonly items: Stored<T>[];
  readonly resourceVersion: string;
}

export interface WatchOptions extends SelectOptions {
  readonly resourceVersion?: string | undefined;
  /** Begin with an ADDED event for every object, ended by a bookmark with `initialEnd`. */
  readonly sendInitialEvents?: boolean | undefined;
  /** The server ends the watch after this time, having sent a bookmark shortly before. */
  readonly timeoutSeconds: number;
  /** Without a byte for this long the connection counts as dead. */
  readonly silenceSeconds: number;
  readonly signal: AbortSignal;
}

export type WatchEvent<T extends KubernetesObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: Stored<T> }
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string; readonly initialEnd: boolean };

export interface ApplyOptions extends CallOptions {
  /** Take over fields that others own; default true, as a controller is the authority on its own objects. */
  readonly force?: boolean | undefined;
  readonly subresource?: string | undefined;
  readonly fieldManager?: string | undefined;
}

export interface DeleteOptions extends CallOptions {
  /** Delete only this very object. */
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  /** Default Background. */
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan" | undefined;
}

export interface JsonPatchOperation {
  readonly op: "add" | "remove" | "replace" | "test" | "move" | "copy";
  readonly path: string;
  readonly from?: string;
  readonly value?: unknown;
}
