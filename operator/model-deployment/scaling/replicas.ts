/** How many pods a deployment should have now. */
import type { Scaling } from "../../../crds/scaling.ts";
import type { ScalingView } from "./autoscaler.ts";
import { scalingSettings } from "./settings.ts";

/**
 * Annotation of a revision's Deployment in mode Automatic: the operator's last decision. It is written with the
 * number of pods itself, and outlives a suspension.
 */
export const DECISION = "modelwright.dev/decided-replicas";

interface Wanted {
  readonly scaling: Scaling;
  /** Of the revision that serves. */
  readonly decided: number | undefined;
  readonly view: ScalingView;
  /** Requests are held and wake it, should it have no pods. */
  readonly mayBeZero: boolean;
}

export function wantedReplicas({ scaling, decided, view, mayBeZero }: Wanted): number {
  const settings = scalingSettings(scaling);
  if (settings.by !== "Operator") return scaling.replicas;
  const { min, max } = settings;
  const wish = view.wish ?? decided ?? Math.max(scaling.replicas, min);
  const fewest = mayBeZero ? min : Math.max(min, 1);
  return Math.min(Math.max(wish, fewest), max);
}

/** For the Deployments of the revisions at work. */
export function decisionAnnotation(scaling: Scaling, wanted: number): Record<string, string> {
  return scalingSettings(scaling).by === "Operator" ? { [DECISION]: String(wanted) } : {};
}

/** The decision that an annotation holds; undefined where it is missing or was tampered with. */
export function decidedReplicas(annotations: Readonly<Record<string, string>> | undefined): number | undefined {
  const text = annotations?.[DECISION];
  return text !== undefined && /^[0-9]{1,4}$/.test(text) ? Number(text) : undefined;
}
