import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import type { IReplicaSet } from "kubernetes-models/apps/v1/ReplicaSet";
import type { IJob } from "kubernetes-models/batch/v1/Job";
import type { ILease } from "kubernetes-models/coordination.k8s.io/v1/Lease";
import type { IEndpointSlice } from "kubernetes-models/discovery.k8s.io/v1/EndpointSlice";
import type { IEvent } from "kubernetes-models/events.k8s.io/v1/Event";
import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import type { INamespace } from "kubernetes-models/v1/Namespace";
import type { INode } from "kubernetes-models/v1/Node";
import type { IPersistentVolumeClaim } from "kubernetes-models/v1/PersistentVolumeClaim";
import type { IPod } from "kubernetes-models/v1/Pod";
import type { ISecret } from "kubernetes-models/v1/Secret";
import type { IService } from "kubernetes-models/v1/Service";
import type { KubernetesObject } from "./meta.ts";

export interface ResourceName {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Where a kind lives in the API, and the type of its objects. */
export interface Resource<T extends KubernetesObject> extends ResourceName {
  readonly apiVersion: string;
  /** Never set: carries the type. */
  readonly type?: T;
}

function resource<T extends KubernetesObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
  namespaced = true,
): Resource<T> {
  return { group, version, plural, kind, namespaced, apiVersion: group ? `${group}/${version}` : version };
}

/** The kinds of Kubernetes itself that controllers commonly use. */
export const Resources = {
  ConfigMap: resource<IConfigMap>("", "v1", "configmaps", "ConfigMap"),
  Secret: resource<ISecret>("", "v1", "secrets", "Secret"),
  Service: resource<IService>("", "v1", "services", "Service"),
  Pod: resource<IPod>("", "v1", "pods", "Pod"),
  PersistentVolumeClaim: resource<IPersistentVolumeClaim>("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
  Namespace: resource<INamespace>("", "v1", "namespaces", "Namespace", false),
  Node: resource<INode>("", "v1", "nodes", "Node", false),
  Deployment: resource<IDeployment>("apps", "v1", "deployments", "Deployment"),
  ReplicaSet: resource<IReplicaSet>("apps", "v1", "replicasets", "ReplicaSet"),
  Job: resource<IJob>("batch", "v1", "jobs", "Job"),
  EndpointSlice: resource<IEndpointSlice>("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
  Lease: resource<ILease>("coordination.k8s.io", "v1", "leases", "Lease"),
  Event: resource<IEvent>("events.k8s.io", "v1", "events", "Event"),
} as const;

/** A kind that a CustomResourceDefinition adds. */
export function customResource<T extends KubernetesObject>(name: ResourceName): Resource<T> {
  return resource<T>(name.group, name.version, name.plural, name.kind, name.namespaced);
}

/** The path of a collection, or of one object in it. An empty namespace means all namespaces. */
export function pathOf(
  target: Resource<KubernetesObject>,
  namespace: string,
  name?: string,
  subresource?: string,
): string {
  const root = target.group ? `/apis/${target.group}/${target.version}` : `/api/${target.version}`;
  const scope = target.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  const object = name === undefined ? "" : `/${encodeURIComponent(name)}`;
  return `${root}${scope}/${target.plural}${object}${subresource ? `/${subresource}` : ""}`;
}
