import type { IPod } from "kubernetes-models/v1/Pod";
import type { Resource } from "./resource.ts";

export type ObjectMeta = NonNullable<IPod["metadata"]>;
export type OwnerReference = NonNullable<ObjectMeta["ownerReferences"]>[number];

/** Anything the API server stores. */
export interface KubernetesObject {
  apiVersion?: string | undefined;
  kind?: string | undefined;
  metadata?: ObjectMeta | undefined;
}

/** An object as the API server returns it: named, versioned, and exactly as sent (raw JSON, dates are strings). */
export type Stored<T extends KubernetesObject> = T & {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta & { name: string; uid: string; resourceVersion: string };
};

/** The least a record in a store must keep of an object. */
export interface Identified {
  metadata: Pick<
    ObjectMeta,
    "namespace" | "ownerReferences" | "deletionTimestamp" | "labels" | "annotations" | "generation"
  > & {
    name: string;
    uid: string;
    resourceVersion: string;
  };
}

type DeepPartial<T> = T extends readonly (infer Item)[]
  ? DeepPartial<Item>[]
  : T extends object
    ? { [Key in keyof T]?: DeepPartial<T[Key]> | undefined }
    : T;

/** The fields that the caller wants to own, for server-side apply. apiVersion and kind come from the resource. */
export type Intent<T extends KubernetesObject> = Omit<DeepPartial<T>, "metadata" | "apiVersion" | "kind"> & {
  metadata: DeepPartial<ObjectMeta> & { name: string };
};

/** `namespace/name`, or `/name` for cluster-scoped objects: the key of queues and stores. */
export function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ""}/${name}`;
}

export function keyOfObject(object: { metadata: { namespace?: string; name: string } }): string {
  return keyOf(object.metadata.namespace, object.metadata.name);
}

/** The reference that makes `owner` the controller of a child, so that the child goes when its owner goes. */
export function controllerReference<T extends KubernetesObject>(
  resource: Resource<T>,
  owner: { metadata: { name: string; uid: string } },
): OwnerReference {
  return {
    apiVersion: resource.apiVersion,
    kind: resource.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function controllerOf(object: { metadata: Pick<ObjectMeta, "ownerReferences"> }): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

/**
 * Orders two resourceVersions of one resource: negative, zero or positive.
 * They are decimal integers without leading zeros, and may exceed what a number holds.
 */
export function compareResourceVersions(left: string, right: string): number {
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}
