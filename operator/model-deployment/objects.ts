/** The children of a ModelDeployment besides the records of its revisions. */
import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import type { IPodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import type { IService } from "kubernetes-models/v1/Service";
import { LABELS, PORTS } from "../../crds/contract/names.ts";
import { QUEUE_LABEL } from "../kueue/labels.ts";
import type { PodTemplate } from "../pods/types.ts";
import { childMetadata, type DeploymentOwner, revisionLabels } from "./revision.ts";

/** Annotations in which the operator keeps what has happened, beside what it is about. */
export const ANNOTATIONS = {
  /** When the revision was last started; RFC 3339. */
  startedAt: "modelwright.dev/started-at",
  /** The failure by which an update was given up, as JSON. */
  failure: "modelwright.dev/failure",
  /** The spec went on to another revision: the same one asked for again is tried anew. */
  superseded: "modelwright.dev/superseded",
  /** When the Service was last switched to another revision; RFC 3339. */
  switchedAt: "modelwright.dev/switched-at",
  /** The revision that served before. */
  previous: "modelwright.dev/previous-revision",
} as const;

/** Old pods that no one needs are kept this long after traffic has moved, for proxies that are behind. */
export const MOVE_SECONDS = 5;

export function revisionDeployment(
  owner: DeploymentOwner,
  revision: string,
  template: PodTemplate,
  replicas: number,
  annotations: Record<string, string>,
) {
  const queue = template.metadata?.labels?.[QUEUE_LABEL];
  const labels = { ...revisionLabels(owner, revision), ...(queue === undefined ? {} : { [QUEUE_LABEL]: queue }) };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { ...childMetadata(owner, revision, labels), annotations },
    spec: {
      replicas,
      // Revisions are records of their own; a Deployment has but one.
      revisionHistoryLimit: 0,
      // Its own deadline is that of spec.rollout.
      strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
      selector: { matchLabels: revisionLabels(owner, revision) },
      template,
    },
  } satisfies IDeployment;
}

export const SERVICE_PORT = { name: "http", port: 80, targetPort: "http" } as const;
export const GRPC_PORT = { name: "grpc", port: PORTS.grpc, targetPort: "grpc" } as const;

function service(
  owner: DeploymentOwner,
  name: string,
  labels: Record<string, string>,
  revision: string,
  annotations?: Record<string, string>,
) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { ...childMetadata(owner, name, labels), ...(annotations === undefined ? {} : { annotations }) },
    spec: {
      selector: revisionLabels(owner, revision),
      ports: [SERVICE_PORT, GRPC_PORT].map((port) => ({ ...port, protocol: "TCP" })),
    },
  } satisfies IService;
}

/** Reaches one revision, whether it serves users or not. */
export function revisionService(owner: DeploymentOwner, revision: string) {
  return service(owner, revision, revisionLabels(owner, revision), revision);
}

/** What users call: the revision that serves. */
export function frontService(
  owner: DeploymentOwner,
  revision: string,
  { switchedAt, previous }: { switchedAt: string; previous?: string | undefined },
) {
  const labels = { [LABELS.modelDeployment]: owner.metadata.name };
  const annotations = {
    [ANNOTATIONS.switchedAt]: switchedAt,
    ...(previous === undefined ? {} : { [ANNOTATIONS.previous]: previous }),
  };
  return service(owner, owner.metadata.name, labels, revision, annotations);
}

/** At most one pod of a revision is taken away at a time, and one that is not ready never blocks a drain. */
export function revisionBudget(owner: DeploymentOwner, revision: string) {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: childMetadata(owner, revision, revisionLabels(owner, revision)),
    spec: {
      maxUnavailable: 1,
      unhealthyPodEvictionPolicy: "AlwaysAllow",
      selector: { matchLabels: revisionLabels(owner, revision) },
    },
  } satisfies IPodDisruptionBudget;
}
