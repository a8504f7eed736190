/** What the operator keeps of Jobs and of the ConfigMaps of runs. */
import type { IJob } from "kubernetes-models/batch/v1/Job";
import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import type { Identified, Stored } from "../kernel/meta.ts";
import { present } from "../pods/pod-record.ts";

export interface JobRecord extends Identified {
  readonly createdAt: string;
  readonly suspend: boolean;
  readonly activeDeadlineSeconds?: number | undefined;
  readonly backoffLimit?: number | undefined;
  readonly ttlSecondsAfterFinished?: number | undefined;
  readonly failed: number;
  readonly startTime?: string | undefined;
  readonly completionTime?: string | undefined;
  readonly complete: boolean;
  /** Why the Job gave up. */
  readonly failure?: { readonly reason: string; readonly message: string; readonly time: string } | undefined;
}

export function jobRecord(job: Stored<IJob>): JobRecord {
  const { spec = {}, status = {} } = job as { spec?: Partial<NonNullable<IJob["spec"]>>; status?: IJob["status"] };
  const isTrue = (type: string) =>
    status.conditions?.find((condition) => condition.type === type && condition.status === "True");
  const failed = isTrue("Failed");
  return {
    metadata: metadataOf(job),
    createdAt: job.metadata.creationTimestamp ?? "",
    suspend: spec.suspend ?? false,
    activeDeadlineSeconds: spec.activeDeadlineSeconds,
    backoffLimit: spec.backoffLimit,
    ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished,
    failed: status.failed ?? 0,
    startTime: status.startTime,
    completionTime: status.completionTime,
    complete: isTrue("Complete") !== undefined,
    failure: failed && {
      reason: failed.reason ?? "",
      message: failed.message ?? "",
      time: failed.lastTransitionTime ?? "",
    },
  };
}

export type ConfigMapRecord = Identified & {
  readonly data?: Readonly<Record<string, string>> | undefined;
  readonly immutable: boolean;
};

export function configMapRecord(map: Stored<IConfigMap>): ConfigMapRecord {
  return { metadata: metadataOf(map), data: map.data, immutable: map.immutable ?? false };
}

/** The members of metadata that decisions look at. */
export function metadataOf(object: Stored<{ metadata?: IJob["metadata"] }>): Identified["metadata"] {
  const { name, namespace, uid, resourceVersion, labels, annotations, ownerReferences, deletionTimestamp } =
    object.metadata;
  return present({
    name,
    namespace,
    uid,
    resourceVersion,
    labels,
    annotations,
    ownerReferences,
    deletionTimestamp,
  });
}
