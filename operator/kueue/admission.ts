/** What Kueue has decided of a Job or a pod, as a reason and words for its user. Pure. */
import { bounded, type ObservedFailure } from "../reasons.ts";
import type { WorkloadRecord } from "./workload.ts";

/** Absent: the cluster does not have Kueue's kinds. Unknown: they cannot be read. */
export type Presence = "Present" | "Absent" | "Unknown";

export type QueueReason = Extract<
  ObservedFailure,
  "WaitingForAdmission" | "WaitingForQuota" | "Preempted" | "Evicted" | "Inadmissible" | "KueueNotInstalled"
>;

export const QUEUE_REASONS: readonly ObservedFailure[] = [
  "WaitingForAdmission",
  "WaitingForQuota",
  "Preempted",
  "Evicted",
  "Inadmissible",
  "KueueNotInstalled",
] satisfies QueueReason[];

export const isQueueReason = (reason: string): boolean => QUEUE_REASONS.some((one) => one === reason);

export interface Admission {
  readonly reason: QueueReason | "Admitted";
  readonly message: string;
  readonly clusterQueue?: string | undefined;
  /** The first is 1. */
  readonly position?: number | undefined;
}

/** `workload`: undefined while Kueue has not made one. */
export function admissionOf(queue: string, presence: Presence, workload: WorkloadRecord | undefined): Admission {
  return bounded(decided(queue, presence, workload));
}

function decided(queue: string, presence: Presence, workload: WorkloadRecord | undefined): Admission {
  if (presence === "Absent") return { reason: "KueueNotInstalled", message: NOT_INSTALLED };
  if (workload === undefined) {
    const why =
      presence === "Unknown"
        ? "Kueue's Workloads cannot be read; see the operator's log"
        : `Kueue has not answered for LocalQueue ${queue} yet; should it never, see that it manages this namespace and that its integrations have batch/job, pod and deployment`;
    return { reason: "WaitingForAdmission", message: why };
  }
  const { clusterQueue, admitted, reserved, active, evicted, pending } = workload;
  const { name } = workload.metadata;
  if (admitted) return { reason: "Admitted", message: `admitted by ClusterQueue ${clusterQueue ?? ""}`, clusterQueue };
  if (!active) {
    const message = `Workload ${name} is deactivated${evicted === undefined ? "" : ` (${evicted.message})`}; set its spec.active to true to queue it again`;
    return { reason: "Inadmissible", message };
  }
  if (reserved) {
    const message = `ClusterQueue ${clusterQueue ?? ""} has reserved quota; its admission checks are under way`;
    return { reason: "WaitingForAdmission", message, clusterQueue };
  }
  if (pending?.reason === "Inadmissible") {
    const message = `${pending.message}; correct spec.queueName, or ask the administrator for the queue`;
    return { reason: "Inadmissible", message };
  }
  if (evicted !== undefined) {
    const reason = evicted.reason === "Preempted" ? "Preempted" : "Evicted";
    return { reason, message: `${evicted.message}; it goes on when there is quota in LocalQueue ${queue} again` };
  }
  if (pending === undefined) return { reason: "WaitingForAdmission", message: `waiting in LocalQueue ${queue}` };
  return { reason: "WaitingForQuota", message: `waiting in LocalQueue ${queue}: ${pending.message}` };
}

export const NOT_INSTALLED =
  "spec.queueName is set, and the cluster does not have Kueue (kueue.x-k8s.io/v1beta2); install it, or remove spec.queueName";
