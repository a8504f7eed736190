/** The HorizontalPodAutoscaler that decides where the metric is cpu or memory, through our scale subresource. */
import type { IHorizontalPodAutoscaler } from "kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler";
import { API_VERSION } from "../../../crds/common.ts";
import { LABELS } from "../../../crds/contract/names.ts";
import { covers } from "../../covers.ts";
import type { Identified, Stored } from "../../kernel/meta.ts";
import { HorizontalPodAutoscaler } from "../../resources.ts";
import { metadataOf } from "../../runs/job-record.ts";
import { identityOf, type Write } from "../../writes.ts";
import type { ObservedDeployment } from "../observed.ts";
import { childMetadata, type DeploymentOwner } from "../revision.ts";
import { type ClusterScaling, scalingSettings } from "./settings.ts";

/** The controller looks about this often. */
const PERIOD_SECONDS = 15;

export type AutoscalerRecord = Identified & { readonly spec: unknown };

export function autoscalerRecord(autoscaler: Stored<IHorizontalPodAutoscaler>): AutoscalerRecord {
  return { metadata: metadataOf(autoscaler), spec: autoscaler.spec };
}

const percent = (value: number) => [{ type: "Percent" as const, value, periodSeconds: PERIOD_SECONDS }];

export function clusterAutoscaler(owner: DeploymentOwner, settings: ClusterScaling) {
  const { name } = owner.metadata;
  const { min, max, resource, target, stableSeconds, upRate, downRate } = settings;
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: childMetadata(owner, name, { [LABELS.modelDeployment]: name }),
    spec: {
      scaleTargetRef: { apiVersion: API_VERSION, kind: "ModelDeployment", name },
      minReplicas: min,
      maxReplicas: max,
      metrics: [
        { type: "Resource", resource: { name: resource, target: { type: "Utilization", averageUtilization: target } } },
      ],
      behavior: {
        scaleUp: { stabilizationWindowSeconds: 0, policies: percent(Math.round((upRate - 1) * 100)) },
        scaleDown: {
          stabilizationWindowSeconds: stableSeconds,
          policies: percent(Math.max(1, Math.round((1 - 1 / downRate) * 100))),
        },
      },
    },
  } satisfies IHorizontalPodAutoscaler;
}

/** It is there while the cluster decides, and gone otherwise: nobody else then writes the number of pods. */
export function planClusterAutoscaler({ owner, autoscalers }: ObservedDeployment): Write[] {
  const live = autoscalers.find(({ metadata }) => metadata.name === owner.metadata.name);
  const settings = scalingSettings(owner.spec.scaling);
  // While the deployment is suspended it would see no pods, and write nonsense.
  if (settings.by !== "Cluster" || owner.spec.suspend) {
    if (live === undefined || live.metadata.deletionTimestamp !== undefined) return [];
    return [{ verb: "delete", resource: HorizontalPodAutoscaler, metadata: identityOf(live) }];
  }
  const object = clusterAutoscaler(owner, settings);
  if (live === undefined) return [{ verb: "create", resource: HorizontalPodAutoscaler, object }];
  if (covers(live.spec, object.spec) && covers(live.metadata.labels, object.metadata.labels)) return [];
  const { uid } = live.metadata;
  return [
    { verb: "apply", resource: HorizontalPodAutoscaler, object: { ...object, metadata: { ...object.metadata, uid } } },
  ];
}
