/** Volumes that do not come to a pod's node: nothing but events says so. */
import type { Client } from "../kernel/client.ts";
import { CoreEvent } from "../resources.ts";
import type { PodRecord } from "./pod-record.ts";

/** How often pods that are slow to start are looked at. */
export const VOLUME_SECONDS = 10;

/** Of the controller that attaches volumes, and of the kubelet: a Secret, a ConfigMap or a disk is not there. */
const REASONS: readonly string[] = ["FailedAttachVolume", "FailedMount"];

/** On a node, but nothing of it runs yet: it waits for its image or for a volume. */
export function waitsForStart(pod: PodRecord): boolean {
  return pod.phase === "Pending" && pod.waiting?.reason === "ContainerCreating";
}

/** The pods, the one that has waited longest with the reason why its volume cannot be attached, if there is one. */
export async function withVolumeProblem(
  client: Pick<Client, "list">,
  pods: readonly PodRecord[],
  now: number,
  signal: AbortSignal,
): Promise<readonly PodRecord[]> {
  const [slow] = pods
    .filter((pod) => waitsForStart(pod) && now - Date.parse(pod.createdAt) >= VOLUME_SECONDS * 1000)
    .toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  if (slow === undefined) return pods;
  const { items } = await client.list(CoreEvent, {
    namespace: slow.metadata.namespace,
    fieldSelector: `involvedObject.uid=${slow.metadata.uid}`,
    signal,
  });
  const unattached = items.findLast(({ reason = "" }) => REASONS.includes(reason))?.message;
  return unattached === undefined ? pods : pods.map((pod) => (pod === slow ? { ...pod, unattached } : pod));
}
