/** What users apply in the bench. */
import { kwokToleration } from "../../test/cluster/kwok.ts";

export const MODEL = { uri: "pvc://models/digits/one", digest: `sha256:${"1".repeat(64)}` };
/** Pods with this go to a node on which none ever starts: the bench is its kubelet. */
export const BROKEN_KEY = "bench.modelwright.dev/broken";
export const BROKEN = {
  nodeSelector: { [BROKEN_KEY]: "yes" },
  tolerations: [{ key: BROKEN_KEY, operator: "Exists", effect: "NoSchedule" }],
};

export const deploymentsPath = (namespace: string): string =>
  `/apis/modelwright.dev/v1alpha1/namespaces/${namespace}/modeldeployments`;

/** What a user applies. */
export function manifest(name: string): unknown {
  return {
    apiVersion: "modelwright.dev/v1alpha1",
    kind: "ModelDeployment",
    metadata: { name },
    spec: { model: MODEL, pod: { tolerations: [kwokToleration] } },
  };
}
