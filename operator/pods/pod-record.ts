/** What the operator keeps of a pod. */
import type { IPod } from "kubernetes-models/v1/Pod";
import { TRAFFIC_ANNOTATION } from "../../crds/contract/traffic.ts";
import { WORKER_INDEX_LABEL } from "../../crds/contract/workers.ts";
import type { Identified, Stored } from "../kernel/meta.ts";
import type { Admission } from "../kueue/admission.ts";
import { QUEUE_LABEL } from "../kueue/labels.ts";
import { CONTAINER } from "./template.ts";

export interface Ended {
  readonly exitCode: number;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly finishedAt?: string | undefined;
}

export interface PodRecord extends Identified {
  readonly createdAt: string;
  /** Number of the worker, from 0, where a run has several. */
  readonly worker?: number | undefined;
  readonly phase: string;
  /** Such as Evicted. */
  readonly reason?: string | undefined;
  readonly ip?: string | undefined;
  readonly image: string;
  readonly ready: boolean;
  /** Since when it is ready; RFC 3339. */
  readonly readySince?: string | undefined;
  /** When it found a node; RFC 3339. */
  readonly scheduledAt?: string | undefined;
  /** Why the scheduler has no node for it. */
  readonly unschedulable?: string | undefined;
  /** A gate of its spec keeps it from the scheduler. */
  readonly gated?: boolean | undefined;
  /** The LocalQueue of Kueue that it was made for. */
  readonly queue?: string | undefined;
  /** What Kueue has decided of it, where it is in a queue. */
  readonly admission?: Admission | undefined;
  /** Why a volume cannot be attached to its node. */
  readonly unattached?: string | undefined;
  readonly running: boolean;
  /** When the container started last; RFC 3339. */
  readonly startedAt?: string | undefined;
  readonly restarts: number;
  readonly waiting?: { readonly reason: string; readonly message: string } | undefined;
  readonly ended?: Ended | undefined;
  /** How the container ended before it was started again. */
  readonly endedBefore?: Ended | undefined;
  /** What it was told to share with another version. */
  readonly traffic?: string | undefined;
  /** The pod is, or was, taken away by a disruption. */
  readonly disrupted: boolean;
}

export function podRecord(pod: Stored<IPod>): PodRecord {
  const { name, namespace, uid, resourceVersion, labels, ownerReferences, deletionTimestamp } = pod.metadata;
  const status = pod.status ?? {};
  const container = status.containerStatuses?.find((candidate) => candidate.name === CONTAINER);
  const condition = (type: string) => status.conditions?.find((candidate) => candidate.type === type);
  const scheduled = condition("PodScheduled");
  const ready = condition("Ready");
  const waiting = container?.state?.waiting;
  const running = container?.state?.running;
  return {
    metadata: present({ name, namespace, uid, resourceVersion, labels, ownerReferences, deletionTimestamp }),
    createdAt: pod.metadata.creationTimestamp ?? "",
    worker: workerIndex(labels),
    phase: status.phase ?? "Pending",
    reason: status.reason,
    ip: status.podIP,
    image: pod.spec?.containers.find((candidate) => candidate.name === CONTAINER)?.image ?? "",
    ready: ready?.status === "True" && deletionTimestamp === undefined,
    readySince: ready?.status === "True" ? ready.lastTransitionTime : undefined,
    scheduledAt: scheduled?.status === "True" ? scheduled.lastTransitionTime : undefined,
    unschedulable:
      scheduled?.status === "False" && scheduled.reason === "Unschedulable" ? (scheduled.message ?? "") : undefined,
    gated: scheduled?.status === "False" && scheduled.reason === "SchedulingGated" ? true : undefined,
    queue: labels?.[QUEUE_LABEL],
    running: running !== undefined,
    startedAt: running?.startedAt ?? container?.state?.terminated?.startedAt,
    restarts: container?.restartCount ?? 0,
    waiting: waiting && { reason: waiting.reason ?? "", message: waiting.message ?? "" },
    ended: ended(container?.state?.terminated),
    endedBefore: ended(container?.lastState?.terminated),
    traffic: pod.metadata.annotations?.[TRAFFIC_ANNOTATION],
    disrupted: condition("DisruptionTarget")?.status === "True",
  };
}

function workerIndex(labels: Readonly<Record<string, string>> = {}): number | undefined {
  const index = labels[WORKER_INDEX_LABEL];
  return index === undefined ? undefined : Number(index);
}

function ended(state: Ended | undefined): Ended | undefined {
  if (state === undefined) return undefined;
  const { exitCode, reason, message, finishedAt } = state;
  return { exitCode, reason, message, finishedAt };
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Leaves absent members out. */
export function present<T extends object>(object: T): Defined<T> {
  // Only undefined members are removed.
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>;
}
