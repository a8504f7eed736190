/** What a decision wants to be written. */
import type { KubernetesObject } from "./kernel/meta.ts";
import type { Resource } from "./kernel/resource.ts";
import type { Note } from "./reasons.ts";

interface Named {
  metadata: { name: string; namespace: string };
}

interface Common {
  readonly resource: Resource<KubernetesObject>;
  /** Told to users once it is written. */
  readonly note?: Note;
  /** It needs nothing of the write before it: both are sent together. */
  readonly beside?: true;
}

/** By POST, so that a foreign object of that name is never touched. */
export interface Create extends Common {
  readonly verb: "create";
  readonly object: KubernetesObject & Named;
  /** Its name is known to nobody else: one that exists is ours, and nothing is left to do. */
  readonly unique?: boolean;
}

/** Server-side apply of all that the operator wants of this very object. */
export interface Apply extends Common {
  readonly verb: "apply";
  readonly object: KubernetesObject & { metadata: { name: string; namespace: string; uid: string } };
}

/** A merge patch of this very object, for objects whose other fields cannot change. */
export interface Patch extends Common, Named {
  readonly verb: "patch";
  readonly metadata: { name: string; namespace: string; uid: string };
  readonly patch: { metadata?: Record<string, unknown>; spec?: Record<string, unknown> };
}

/** Of this very object; with a resourceVersion only as it was seen. */
export interface Delete extends Common, Named {
  readonly verb: "delete";
  readonly metadata: { name: string; namespace: string; uid: string; resourceVersion?: string };
}

export type Write = Create | Apply | Patch | Delete;

/** Name and identity of a record, for a Patch or Delete. */
export function identityOf(record: { metadata: { name: string; namespace?: string; uid: string } }) {
  const { name, namespace = "", uid } = record.metadata;
  return { name, namespace, uid };
}
