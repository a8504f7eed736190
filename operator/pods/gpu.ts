/** How a pod asks for GPUs, and on which nodes. */
import type { Gpu } from "../../crds/common.ts";
import type { PodSpec, Toleration } from "./types.ts";

export const DEFAULT_GPU_RESOURCE = "nvidia.com/gpu";
const CLAIM = "gpu";

export function gpuResourceName(gpu: Gpu): string {
  return gpu.resourceName ?? DEFAULT_GPU_RESOURCE;
}

/** Limits for the extended resource; a limit is a request too. */
export function gpuLimits(gpu: Gpu | undefined): Record<string, string> {
  return gpu?.count === undefined ? {} : { [gpuResourceName(gpu)]: String(gpu.count) };
}

/** Nodes with GPUs are commonly tainted with the name of the resource. */
export function gpuTolerations(gpu: Gpu | undefined): Toleration[] {
  if (gpu?.count === undefined) return [];
  const keys = new Set([gpuResourceName(gpu), DEFAULT_GPU_RESOURCE]);
  return [...keys].map((key) => ({ key, operator: "Exists", effect: "NoSchedule" }));
}

/** Claims of Dynamic Resource Allocation: of the pod, and of its container. */
export function gpuClaims(gpu: Gpu | undefined): Pick<PodSpec, "resourceClaims"> & { claims?: { name: string }[] } {
  const template = gpu?.resourceClaimTemplateName;
  if (template === undefined) return {};
  return {
    resourceClaims: [{ name: CLAIM, resourceClaimTemplateName: template }],
    claims: [{ name: CLAIM }],
  };
}
