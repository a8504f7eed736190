/** Tells each pod what to share with another version, by an annotation that it sees as a file. */
import { LABELS } from "../../../crds/contract/names.ts";
import { TRAFFIC_ANNOTATION, type TrafficDirective } from "../../../crds/contract/traffic.ts";
import { canonicalJson } from "../../../crds/contract/canonical.ts";
import { Resources } from "../../kernel/resource.ts";
import { identityOf, type Write } from "../../writes.ts";
import { GRPC_PORT, SERVICE_PORT } from "../objects.ts";
import type { Situation } from "../situation.ts";

/** Pods are told before they are ready, so that a new one shares from its first request on. */
export function directives(situation: Situation): Write[] {
  const { observed } = situation;
  return observed.pods.flatMap((pod): Write[] => {
    const revision = pod.metadata.labels?.[LABELS.revision];
    if (pod.metadata.deletionTimestamp !== undefined || revision === undefined) return [];
    const directive = directiveFor(situation, revision);
    const text = directive === undefined ? undefined : canonicalJson(directive);
    if (text === pod.traffic) return [];
    const patch = { metadata: { annotations: { [TRAFFIC_ANNOTATION]: text ?? null } } };
    return [{ verb: "patch", resource: Resources.Pod, metadata: identityOf(pod), patch }];
  });
}

function directiveFor(situation: Situation, revision: string): TrafficDirective | undefined {
  const { stable, update, decision, previous, watch } = situation;
  if (revision === stable) {
    if (watch !== undefined) return watch.share;
    if (decision?.share === undefined || decision.failure !== undefined || update === undefined) return undefined;
    return directed(situation, update, decision.share);
  }
  // Clients that are still connected to pods that no longer serve get their answers from those that do.
  if (revision !== previous || revision === update || stable === undefined) return undefined;
  return directed(situation, stable, { id: `${stable}.instead`, weight: 100 });
}

/** Undefined while the other version has no address. */
function directed(
  { views }: Situation,
  revision: string,
  share: Omit<TrafficDirective, "target">,
): TrafficDirective | undefined {
  const address = views.get(revision)?.service?.address;
  return address === undefined
    ? undefined
    : { ...share, target: { revision, address, ports: { http: SERVICE_PORT.port, grpc: GRPC_PORT.port } } };
}
