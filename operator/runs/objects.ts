/** The ConfigMap and the Job of a run. */
import type { IJob } from "kubernetes-models/batch/v1/Job";
import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import { canonicalJson, shortHash } from "../../crds/contract/canonical.ts";
import { EXIT, NOT_RETRIED } from "../../crds/contract/exit-code.ts";
import { LABELS, MANAGED_BY } from "../../crds/contract/names.ts";
import type { OptimizationRun, TrainingRun } from "../../crds/contract/run.ts";
import type { OptimizationJob } from "../../crds/optimization-job.ts";
import type { TrainingJob } from "../../crds/training-job.ts";
import type { OperatorConfig } from "../config.ts";
import { Kinds } from "../kinds.ts";
import { QUEUE_LABEL } from "../kueue/labels.ts";
import { controllerReference, type KubernetesObject } from "../kernel/meta.ts";
import { CONTAINER, JOB_FILE, podTemplate } from "../pods/template.ts";
import { RUN_ANNOTATIONS } from "./names.ts";
import { indexed, workersPod } from "./workers.ts";

export type JobOwner = (TrainingJob | OptimizationJob) & {
  metadata: { name: string; namespace: string; uid: string; generation: number };
};
export type JobRun = TrainingRun | OptimizationRun;

/** Hashes of what a Job is made from, without what the operator's own version or configuration adds. */
export function attemptOf({ spec }: JobOwner): { attempt: string; template: string } {
  const { runtime, gpu, resources, pod, activeDeadlineSeconds, backoffLimit } = spec;
  const checkpoint = "checkpoint" in spec ? spec.checkpoint : undefined;
  const template = { image: runtime.image, gpu, resources, pod, checkpoint };
  return {
    template: shortHash(template),
    attempt: shortHash({ template, activeDeadlineSeconds, backoffLimit }),
  };
}

export function labelsOf(owner: JobOwner, run: JobRun): Record<string, string> {
  const kind = owner.kind === "TrainingJob" ? LABELS.trainingJob : LABELS.optimizationJob;
  return { [LABELS.managedBy]: MANAGED_BY, [kind]: owner.metadata.name, [LABELS.run]: run.job.run };
}

/** The queue that a Job was made for. */
export function queueOf(metadata: { readonly labels?: Readonly<Record<string, string>> | undefined }) {
  return metadata.labels?.[QUEUE_LABEL];
}

export function metadataOfRun(owner: JobOwner, run: JobRun, annotations: Record<string, string>) {
  return {
    name: run.job.run,
    namespace: owner.metadata.namespace,
    labels: labelsOf(owner, run),
    annotations,
    ownerReferences: [controllerReference<KubernetesObject>(Kinds[owner.kind], owner)],
  };
}

/** What a pod of the run is told to do. */
export function jobFile(run: JobRun): string {
  return canonicalJson(run);
}

/** `attempt`: the last one that used it. */
export function runConfigMap(owner: JobOwner, run: JobRun, attempt: string | undefined) {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: metadataOfRun(owner, run, attempt === undefined ? {} : { [RUN_ANNOTATIONS.attempt]: attempt }),
    immutable: true,
    data: { [JOB_FILE]: jobFile(run) },
  } satisfies IConfigMap;
}

/** What ends a Job at once and what does not count against its tries, from the table of exit codes. */
const POD_FAILURE_POLICY = {
  rules: [
    {
      action: "FailJob",
      onExitCodes: { containerName: CONTAINER, operator: "In", values: [...NOT_RETRIED].toSorted((a, b) => a - b) },
    },
    { action: "Ignore", onExitCodes: { containerName: CONTAINER, operator: "In", values: [EXIT.terminated] } },
    { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
  ],
} satisfies NonNullable<NonNullable<IJob["spec"]>["podFailurePolicy"]>;

/**
 * The Job of a run. It has no ttlSecondsAfterFinished: that is added once the result is recorded, so that no
 * result goes with its pod. `workersSecret`: name of the Secret of several workers.
 */
export function runJob(owner: JobOwner, run: JobRun, config: OperatorConfig, workersSecret?: string) {
  const { spec } = owner;
  const { attempt, template } = attemptOf(owner);
  const workers = workersSecret === undefined ? undefined : workersPod(run, workersSecret);
  const { labels, ...metadata } = metadataOfRun(owner, run, {
    [RUN_ANNOTATIONS.attempt]: attempt,
    [RUN_ANNOTATIONS.template]: template,
  });
  const { queueName } = spec;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { ...metadata, labels: { ...labels, ...(queueName === undefined ? {} : { [QUEUE_LABEL]: queueName }) } },
    spec: {
      // Kueue lets go what it admits, and it alone: also where it is installed later.
      suspend: spec.suspend || queueName !== undefined,
      backoffLimit: spec.backoffLimit,
      ...(spec.activeDeadlineSeconds === undefined ? {} : { activeDeadlineSeconds: spec.activeDeadlineSeconds }),
      podFailurePolicy: POD_FAILURE_POLICY,
      ...indexed(run),
      template: podTemplate({
        run,
        configMap: run.job.run,
        image: spec.runtime.image ?? config.runtimeImage,
        labels: labelsOf(owner, run),
        gpu: spec.gpu,
        resources: spec.resources,
        pod: spec.pod,
        defaults: config,
        spec: { restartPolicy: "Never", ...workers?.spec },
        volumes: workers === undefined ? [] : [workers],
      }),
    },
  } satisfies IJob;
}
