/** What the autoscaler is to watch of a deployment. */
import { LABELS } from "../../../crds/contract/names.ts";
import type { Situation } from "../situation.ts";
import type { ScalingTarget } from "./autoscaler.ts";
import { scalingSettings } from "./settings.ts";

/** Undefined where the operator does not decide, or nothing can be decided now. */
export function scalingTarget(key: string, { observed, stable, wanted }: Situation): ScalingTarget | undefined {
  const { owner, pods } = observed;
  const settings = scalingSettings(owner.spec.scaling);
  if (settings.by !== "Operator" || owner.spec.suspend) return undefined;
  // Requests that a pod diverts to another revision are its own load too.
  const ready = pods.flatMap(({ metadata, ready: serves, ip, restarts }) =>
    serves && ip !== undefined && metadata.labels?.[LABELS.revision] === stable
      ? [{ id: `${metadata.uid}/${restarts}`, ip }]
      : [],
  );
  const { port } = observed.activator;
  return { key, uid: owner.metadata.uid, settings, current: wanted, ready, port };
}
