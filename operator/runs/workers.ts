/** What a run with several workers needs besides its Job: a name for each, and a secret that they share. */
import { randomBytes } from "node:crypto";
import { basename, dirname } from "node:path/posix";
import type { IJob } from "kubernetes-models/batch/v1/Job";
import type { ISecret } from "kubernetes-models/v1/Secret";
import type { IService } from "kubernetes-models/v1/Service";
import { PATHS, PORTS } from "../../crds/contract/names.ts";
import type { PodSpec, Volume, VolumeMount } from "../pods/types.ts";
import type { ConfigMapRecord } from "./job-record.ts";
import type { ObservedRun } from "./observed.ts";
import { type JobOwner, type JobRun, labelsOf, metadataOfRun } from "./objects.ts";

const KEY_BYTES = 32;

export function workersOf(run: JobRun): number {
  return run.kind === "TrainingRun" ? (run.training.workers ?? 1) : 1;
}

/** How many of several workers run. */
export function workersStatus({ run, pods }: Pick<ObservedRun, "run" | "pods">) {
  const total = workersOf(run);
  return total === 1 ? undefined : { total, running: pods.filter(({ running }) => running).length };
}

/** Pods find each other before they are ready: they are ready when they have met. */
export function workersService(owner: JobOwner, run: JobRun) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadataOfRun(owner, run, {}),
    spec: {
      clusterIP: "None",
      publishNotReadyAddresses: true,
      selector: labelsOf(owner, run),
      ports: [{ name: "workers", port: PORTS.workers, targetPort: PORTS.workers, protocol: "TCP" }],
    },
  } satisfies IService;
}

/** The name of a Secret cannot be known before its ConfigMap is there, so one that exists is this one. */
export function workersSecretName({ metadata }: ConfigMapRecord): string {
  return `${metadata.name}-${metadata.uid.slice(0, 8)}`;
}

/** Goes with the ConfigMap of the run. The operator makes it and can never read it again. */
export function workersSecret(owner: JobOwner, run: JobRun, map: ConfigMapRecord) {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      ...metadataOfRun(owner, run, {}),
      name: workersSecretName(map),
      ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: map.metadata.name, uid: map.metadata.uid }],
    },
    immutable: true,
    data: { [basename(PATHS.workersKey)]: randomBytes(KEY_BYTES).toString("base64") },
  } satisfies ISecret;
}

/** The part of a Job that several workers need. */
export function indexed(run: JobRun): Partial<NonNullable<IJob["spec"]>> {
  const workers = workersOf(run);
  return workers === 1 ? {} : { completionMode: "Indexed", completions: workers, parallelism: workers };
}

/** The part of a pod that several workers need. */
export function workersPod(
  run: JobRun,
  secretName: string,
): { spec: Partial<PodSpec>; volume: Volume; mount: VolumeMount } {
  return {
    spec: { subdomain: run.job.run },
    volume: { name: "workers", secret: { secretName, defaultMode: 0o440 } },
    mount: { name: "workers", mountPath: dirname(PATHS.workersKey), readOnly: true },
  };
}
