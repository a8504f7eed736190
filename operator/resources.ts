/** Kinds of Kubernetes that the kernel's list lacks. */
import type { IHorizontalPodAutoscaler } from "kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler";
import type { IPodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import type { IEvent } from "kubernetes-models/v1/Event";
import { customResource } from "./kernel/resource.ts";

/** Events as the Job controller writes them. */
export const CoreEvent = customResource<IEvent>({
  group: "",
  version: "v1",
  plural: "events",
  kind: "Event",
  namespaced: true,
});

export const HorizontalPodAutoscaler = customResource<IHorizontalPodAutoscaler>({
  group: "autoscaling",
  version: "v2",
  plural: "horizontalpodautoscalers",
  kind: "HorizontalPodAutoscaler",
  namespaced: true,
});

export const PodDisruptionBudget = customResource<IPodDisruptionBudget>({
  group: "policy",
  version: "v1",
  plural: "poddisruptionbudgets",
  kind: "PodDisruptionBudget",
  namespaced: true,
});
