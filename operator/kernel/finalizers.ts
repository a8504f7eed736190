import type { CallOptions } from "./requests.ts";
import type { Client } from "./client.ts";
import { ApiError } from "./errors.ts";
import type { KubernetesObject, ObjectMeta, Stored } from "./meta.ts";
import type { Resource } from "./resource.ts";

/** What a finalizer's change needs to know of an object; a projection that drops metadata.finalizers will not do. */
export interface Finalizable {
  readonly metadata: Pick<ObjectMeta, "namespace" | "finalizers"> & {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
  };
}

export function hasFinalizer({ metadata }: Finalizable, finalizer: string): boolean {
  return metadata.finalizers?.includes(finalizer) ?? false;
}

/**
 * Keeps the object from vanishing before `removeFinalizer`. Call it before the first thing is made that must be cleaned
 * up. Returns what was written, or undefined when the finalizer was there. A 409 means that the record was too old.
 */
export async function addFinalizer<T extends KubernetesObject>(
  client: Pick<Client, "patch">,
  resource: Resource<T>,
  object: Finalizable,
  finalizer: string,
  options: CallOptions = {},
): Promise<Stored<T> | undefined> {
  if (hasFinalizer(object, finalizer)) return undefined;
  return write(client, resource, object, [...(object.metadata.finalizers ?? []), finalizer], options);
}

/**
 * Lets the object vanish as far as this finalizer is concerned: the last write to a deleted object. Returns what was
 * written, or undefined when there was nothing to remove, the object included. A 409 means that the record was too old.
 */
export async function removeFinalizer<T extends KubernetesObject>(
  client: Pick<Client, "patch">,
  resource: Resource<T>,
  object: Finalizable,
  finalizer: string,
  options: CallOptions = {},
): Promise<Stored<T> | undefined> {
  if (!hasFinalizer(object, finalizer)) return undefined;
  const others = object.metadata.finalizers?.filter((name) => name !== finalizer) ?? [];
  try {
    return await write(client, resource, object, others, options);
  } catch (error) {
    if (error instanceof ApiError && error.isNotFound) return undefined;
    throw error;
  }
}

/** The whole list, of this very version of this very object: others' finalizers are never lost. */
function write<T extends KubernetesObject>(
  client: Pick<Client, "patch">,
  resource: Resource<T>,
  { metadata: { namespace = "", name, uid, resourceVersion } }: Finalizable,
  finalizers: readonly string[],
  options: CallOptions,
): Promise<Stored<T>> {
  return client.patch(resource, namespace, name, { metadata: { uid, resourceVersion, finalizers } }, options);
}
