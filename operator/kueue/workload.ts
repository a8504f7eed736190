/** What the operator keeps of Kueue's Workloads: one for each Job, and one for each pod of a Deployment. */
import type { Identified, KubernetesObject, Stored } from "../kernel/meta.ts";
import { customResource } from "../kernel/resource.ts";
import { present } from "../pods/pod-record.ts";

interface WorkloadCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

export interface Workload extends KubernetesObject {
  spec?: { active?: boolean };
  status?: { admission?: { clusterQueue?: string }; conditions?: WorkloadCondition[] };
}

export const WorkloadResource = customResource<Workload>({
  group: "kueue.x-k8s.io",
  version: "v1beta2",
  plural: "workloads",
  kind: "Workload",
  namespaced: true,
});

/** Why it was told to give its place up, or cannot have one, in Kueue's words. */
interface Said {
  readonly reason: string;
  readonly message: string;
}

export interface WorkloadRecord extends Identified {
  readonly active: boolean;
  readonly admitted: boolean;
  readonly reserved: boolean;
  readonly clusterQueue?: string | undefined;
  readonly evicted?: Said | undefined;
  readonly pending?: Said | undefined;
}

export function workloadRecord({ metadata, spec, status }: Stored<Workload>): WorkloadRecord {
  const { name, namespace, uid, resourceVersion, ownerReferences, deletionTimestamp } = metadata;
  const said = (type: string, wanted: "True" | "False"): Said | undefined => {
    const found = status?.conditions?.find((condition) => condition.type === type && condition.status === wanted);
    return found && { reason: found.reason ?? "", message: found.message ?? "" };
  };
  return {
    metadata: present({ name, namespace, uid, resourceVersion, ownerReferences, deletionTimestamp }),
    active: spec?.active ?? true,
    admitted: said("Admitted", "True") !== undefined,
    reserved: said("QuotaReserved", "True") !== undefined,
    clusterQueue: status?.admission?.clusterQueue,
    evicted: said("Evicted", "True"),
    pending: said("QuotaReserved", "False"),
  };
}
