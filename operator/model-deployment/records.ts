/** What the operator keeps of Deployments, Services, EndpointSlices and budgets. */
import { isIP } from "node:net";
import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import type { IEndpointSlice } from "kubernetes-models/discovery.k8s.io/v1/EndpointSlice";
import type { IPodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import type { IService } from "kubernetes-models/v1/Service";
import type { Identified, Stored } from "../kernel/meta.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import type { PodTemplate } from "../pods/types.ts";
import { metadataOf } from "../runs/job-record.ts";

export interface DeploymentRecord extends Identified {
  readonly generation: number;
  readonly observedGeneration: number;
  /** As asked for. */
  readonly wanted: number;
  /** Pods that there are. */
  readonly replicas: number;
  readonly updated: number;
  readonly ready: number;
  readonly template: PodTemplate;
  /** Why pods cannot be created. */
  readonly refusal?: string | undefined;
}

export function deploymentRecord(deployment: Stored<IDeployment>): DeploymentRecord {
  const { spec, status = {} } = deployment;
  const refusal = status.conditions?.find(({ type, status: holds }) => type === "ReplicaFailure" && holds === "True");
  return {
    metadata: metadataOf(deployment),
    generation: deployment.metadata.generation ?? 0,
    observedGeneration: status.observedGeneration ?? 0,
    wanted: spec?.replicas ?? 1,
    replicas: status.replicas ?? 0,
    updated: status.updatedReplicas ?? 0,
    ready: status.readyReplicas ?? 0,
    template: spec?.template ?? {},
    refusal: refusal?.message,
  };
}

/** Counts the pods themselves: the status of a Deployment follows them, after a while where a cluster is busy. */
export function counted(deployment: DeploymentRecord, pods: readonly PodRecord[]): DeploymentRecord {
  return { ...deployment, replicas: pods.length, ready: pods.filter(({ ready }) => ready).length };
}

export type ServiceRecord = Identified & {
  /** Its IP address; undefined before it has one. */
  readonly address?: string | undefined;
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly {
    readonly name?: string | undefined;
    readonly port: number;
    readonly targetPort?: number | string | undefined;
  }[];
};

export function serviceRecord(service: Stored<IService>): ServiceRecord {
  return {
    metadata: metadataOf(service),
    address: isIP(service.spec?.clusterIP ?? "") === 0 ? undefined : service.spec?.clusterIP,
    selector: service.spec?.selector ?? {},
    ports: (service.spec?.ports ?? []).map(({ name, port, targetPort }) => ({ name, port, targetPort })),
  };
}

export type SliceRecord = Identified & {
  /** Names of the pods behind ready endpoints. */
  readonly readyPods: readonly string[];
  readonly addressType: "IPv4" | "IPv6" | "FQDN";
  readonly addresses: readonly string[];
  readonly portNames: readonly string[];
  /** The first of its ports. */
  readonly port?: number | undefined;
};

export function sliceRecord(slice: Stored<IEndpointSlice>): SliceRecord {
  const ready = (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
  return {
    metadata: metadataOf(slice),
    readyPods: ready.flatMap(({ targetRef }) => (targetRef?.name === undefined ? [] : [targetRef.name])),
    addressType: slice.addressType,
    addresses: ready.flatMap(({ addresses }) => addresses),
    portNames: (slice.ports ?? []).map(({ name }) => name ?? ""),
    port: slice.ports?.[0]?.port,
  };
}

export type BudgetRecord = Identified;

export function budgetRecord(budget: Stored<IPodDisruptionBudget>): BudgetRecord {
  return { metadata: metadataOf(budget) };
}
