/** A revision: all that its pods are made from. Its name is a hash of that, its record an immutable ConfigMap. */
import { canonicalJson, shortHash } from "../../crds/contract/canonical.ts";
import { LABELS, MANAGED_BY, PORTS } from "../../crds/contract/names.ts";
import { type ResolvedModel, ServingRun, servingRun, servingSettings } from "../../crds/contract/run.ts";
import type { ModelDeployment } from "../../crds/model-deployment.ts";
import type { OperatorConfig } from "../config.ts";
import { Kinds } from "../kinds.ts";
import { controllerReference } from "../kernel/meta.ts";
import { QUEUE_LABEL } from "../kueue/labels.ts";
import { CONTAINER, JOB_FILE, podTemplate } from "../pods/template.ts";
import type { Container, PodTemplate } from "../pods/types.ts";
import type { ConfigMapRecord } from "../runs/job-record.ts";

export type DeploymentOwner = ModelDeployment & {
  metadata: { name: string; namespace: string; uid: string; generation: number };
};

const TEMPLATE_FILE = "template.json";

/**
 * The name of the revision that a spec asks for. The operator's own version and default image are no part of it,
 * so that an upgrade restarts nothing; a revision keeps the image that it was made with.
 */
export function revisionName(deployment: ModelDeployment, model: ResolvedModel): string {
  const { runtime, gpu, resources, pod, queueName } = deployment.spec;
  const settings = servingSettings(deployment);
  return `${deployment.metadata.name}-${shortHash({ model, runtime, gpu, resources, pod, queueName, ...settings })}`;
}

export interface Revision {
  readonly name: string;
  readonly run: ServingRun;
  readonly template: PodTemplate;
}

/** A new revision. `image`: one that it had before, should its record have been lost. */
export function newRevision(
  owner: DeploymentOwner,
  model: ResolvedModel,
  config: OperatorConfig,
  image: string = owner.spec.runtime.image ?? config.runtimeImage,
): Revision {
  const name = revisionName(owner, model);
  const run = servingRun(owner, name, model);
  const labels = revisionLabels(owner, name);
  const { queueName } = owner.spec;
  const template = podTemplate({
    run,
    configMap: name,
    image,
    labels: { ...labels, ...(queueName === undefined ? {} : { [QUEUE_LABEL]: queueName }) },
    gpu: owner.spec.gpu,
    resources: owner.spec.resources,
    pod: owner.spec.pod,
    defaults: config,
    container: SERVING_CONTAINER,
    spec: {
      terminationGracePeriodSeconds: 60,
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: "kubernetes.io/hostname",
          whenUnsatisfiable: "ScheduleAnyway",
          labelSelector: { matchLabels: labels },
        },
      ],
    },
  });
  return { name, run, template };
}

const management = (path: string) => ({ httpGet: { path, port: "management" } });

const SERVING_CONTAINER: Partial<Container> = {
  ports: [
    { name: "http", containerPort: PORTS.http, protocol: "TCP" },
    { name: "grpc", containerPort: PORTS.grpc, protocol: "TCP" },
    { name: "management", containerPort: PORTS.management, protocol: "TCP" },
  ],
  startupProbe: { ...management("/livez"), periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 120 },
  livenessProbe: { ...management("/livez"), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 },
  readinessProbe: { ...management("/readyz"), periodSeconds: 1, timeoutSeconds: 2, failureThreshold: 3 },
};

/** Labels by which the pods of one revision are found. */
export function revisionLabels(owner: DeploymentOwner, revision: string): Record<string, string> {
  return { [LABELS.modelDeployment]: owner.metadata.name, [LABELS.revision]: revision };
}

/** Metadata of a child. */
export function childMetadata(owner: DeploymentOwner, name: string, labels: Record<string, string>) {
  return {
    name,
    namespace: owner.metadata.namespace,
    labels: { ...labels, [LABELS.managedBy]: MANAGED_BY },
    ownerReferences: [controllerReference(Kinds.ModelDeployment, owner)],
  };
}

/**
 * The ConfigMap with a revision's record. It becomes immutable when it holds the digest of the model: at once, or,
 * where the spec has no digest, when the first pod has said it. Pods that start later must find the same bytes.
 */
export function revisionConfigMap(owner: DeploymentOwner, { name, run, template }: Revision) {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: childMetadata(owner, name, revisionLabels(owner, name)),
    ...(run.model.digest === undefined ? {} : { immutable: true }),
    data: { [JOB_FILE]: canonicalJson(run), [TEMPLATE_FILE]: canonicalJson(template) },
  } as const;
}

/** The revision in a record; undefined where it was tampered with. */
export function readRevision(map: ConfigMapRecord): Revision | undefined {
  const { [JOB_FILE]: job, [TEMPLATE_FILE]: template } = map.data ?? {};
  if (job === undefined || template === undefined) return undefined;
  try {
    const run = ServingRun.safeParse(JSON.parse(job));
    // Written by this operator, and checked by the API server when it is used.
    return run.success
      ? { name: map.metadata.name, run: run.data, template: JSON.parse(template) as PodTemplate }
      : undefined;
  } catch {
    return undefined;
  }
}

/** The same revision, pinned to what its first pod loaded. */
export function pinned(revision: Revision, digest: string): Revision {
  return { ...revision, run: { ...revision.run, model: { ...revision.run.model, digest } } };
}

export function imageOf(template: PodTemplate): string | undefined {
  return template.spec?.containers.find(({ name }) => name === CONTAINER)?.image;
}
