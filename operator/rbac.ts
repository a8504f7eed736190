/** All that the operator may do, as rules of a ClusterRole, or of Roles where it watches some namespaces only. */

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const WATCH = ["get", "list", "watch"] as const;
const CHILD = [...WATCH, "create", "patch", "delete"] as const;

/** In the namespaces that it watches. Of Secrets it can make new ones, and read or change none. */
export const rules: readonly Rule[] = [
  { apiGroups: ["modelwright.dev"], resources: ["trainingjobs", "optimizationjobs", "modeldeployments"], verbs: WATCH },
  {
    apiGroups: ["modelwright.dev"],
    resources: ["trainingjobs/status", "optimizationjobs/status", "modeldeployments/status"],
    verbs: ["patch"],
  },
  {
    // The right to make an owner reference with blockOwnerDeletion, where the cluster asks for it.
    apiGroups: ["modelwright.dev"],
    resources: ["trainingjobs/finalizers", "optimizationjobs/finalizers", "modeldeployments/finalizers"],
    verbs: ["update"],
  },
  { apiGroups: [""], resources: ["configmaps", "services"], verbs: CHILD },
  // Keys that the workers of a run share.
  { apiGroups: [""], resources: ["secrets"], verbs: ["create"] },
  // The annotation that tells a pod what to share with another version.
  { apiGroups: [""], resources: ["pods"], verbs: [...WATCH, "patch", "delete"] },
  // Core events tell why a Job has no pods.
  { apiGroups: [""], resources: ["events"], verbs: ["list"] },
  { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["create", "patch"] },
  { apiGroups: ["batch"], resources: ["jobs"], verbs: CHILD },
  { apiGroups: ["apps"], resources: ["deployments"], verbs: CHILD },
  { apiGroups: ["policy"], resources: ["poddisruptionbudgets"], verbs: CHILD },
  { apiGroups: ["autoscaling"], resources: ["horizontalpodautoscalers"], verbs: CHILD },
  { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: CHILD },
  // Where Kueue is installed, for objects with spec.queueName: what it has decided, and places in the queue.
  { apiGroups: ["kueue.x-k8s.io"], resources: ["workloads"], verbs: WATCH },
  { apiGroups: ["visibility.kueue.x-k8s.io"], resources: ["localqueues/pendingworkloads"], verbs: ["get"] },
  // Where a cluster has this kind, and a deployment asks for it: it is not watched.
  { apiGroups: ["gateway.networking.k8s.io"], resources: ["httproutes"], verbs: ["get", "create", "patch", "delete"] },
];

/** Of the activator, in the namespaces that it watches. */
export const activatorRules: readonly Rule[] = [
  { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: WATCH },
];

/** In its own namespace: leader election, and where the activators are. */
export const leaseRules: readonly Rule[] = [
  { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: WATCH },
  { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["get", "watch", "create", "update"] },
];
