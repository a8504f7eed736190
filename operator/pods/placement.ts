/** On which nodes a pod may run. */
import type { Gpu, PodOverrides } from "../../crds/common.ts";
import type { PodDefaults } from "../config.ts";
import type { Affinity, PodSpec } from "./types.ts";

const PRODUCT_LABEL = "nvidia.com/gpu.product";
const ARCHITECTURE_LABEL = "kubernetes.io/arch";

/** The user's choice, narrowed to the GPU's products, and to what the installation's defaults say where it is silent. */
export function nodePlacement(
  pod: PodOverrides,
  gpu: Gpu | undefined,
  { nodeSelector: selected, architectures }: PodDefaults,
): Pick<PodSpec, "nodeSelector" | "affinity"> {
  const nodeSelector = { ...selected, ...pod.nodeSelector };
  const chosen = nodeSelector[ARCHITECTURE_LABEL] !== undefined;
  // The shape of affinity is checked by the API server when the pod's owner is created.
  const affinity = requiring(
    requiring(pod.affinity, PRODUCT_LABEL, gpu?.products),
    ARCHITECTURE_LABEL,
    chosen ? [] : architectures,
  );
  return {
    ...(Object.keys(nodeSelector).length === 0 ? {} : { nodeSelector }),
    ...(affinity === undefined ? {} : { affinity }),
  };
}

/** The affinity, narrowed to nodes whose label has one of the values. */
function requiring(
  affinity: Affinity | undefined,
  key: string,
  values: readonly string[] | undefined,
): Affinity | undefined {
  if (values === undefined || values.length === 0) return affinity;
  const wanted = { key, operator: "In" as const, values: [...values] };
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  // Terms are alternatives, so each of them must ask for it.
  const terms = Array.isArray(required?.nodeSelectorTerms) ? required.nodeSelectorTerms : [{}];
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: {
        ...required,
        nodeSelectorTerms: terms.map((term) => ({
          ...term,
          matchExpressions: [...(term.matchExpressions ?? []), wanted],
        })),
      },
    },
  };
}
