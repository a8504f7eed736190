/** Which revision serves, which one is to serve, and how the way from one to the other goes on. */
import { KEEP_PREVIOUS } from "../../crds/rollout.ts";
import { durationSeconds } from "../../crds/schema.ts";
import { LABELS } from "../../crds/contract/names.ts";
import type { TrafficReport } from "../../crds/contract/traffic.ts";
import type { Failure } from "../reasons.ts";
import { ANNOTATIONS } from "./objects.ts";
import { isGivenUp, type ObservedDeployment, type RevisionView, scheduledAt, viewsOf } from "./observed.ts";
import { revisionProblem, verified } from "./problem.ts";
import type { ServiceRecord } from "./records.ts";
import { revisionName } from "./revision.ts";
import { analyse } from "./rollout/analysis.ts";
import { analysisOf, decideUpdate, heard, type Share, type UpdateDecision } from "./rollout/decide.ts";
import { isCovered } from "./scaling/activator-slice.ts";
import { decidedReplicas, wantedReplicas } from "./scaling/replicas.ts";

export interface Situation {
  readonly observed: ObservedDeployment;
  readonly views: ReadonlyMap<string, RevisionView>;
  readonly front?: ServiceRecord | undefined;
  /** The revision that serves users. */
  readonly stable?: string | undefined;
  /** The revision that the spec asks for; undefined while its model is not known. */
  readonly desired?: string | undefined;
  /** The revision that served before. */
  readonly previous?: string | undefined;
  /** The revision that is to serve instead of the one that does. */
  readonly update?: string | undefined;
  readonly decision?: UpdateDecision | undefined;
  /** BlueGreen: the previous one stands by, and what serves now is watched. */
  readonly watch?: { readonly share: Share; readonly until: number } | undefined;
  /** Why what serves now is to go back to what served before. */
  readonly undo?: Failure | undefined;
  /** Pods that there should be, but for a suspension. */
  readonly wanted: number;
  /** Pods that there should be. */
  readonly replicas: number;
}

export function situation(observed: ObservedDeployment): Situation {
  const { owner, resolution, services } = observed;
  const { scaling, suspend, rollout } = owner.spec;
  const views = viewsOf(observed);
  const front = services.find(({ metadata }) => metadata.name === owner.metadata.name);
  const named = resolution.state === "Known" ? revisionName(owner, resolution.model) : undefined;
  const { pinRevision } = rollout;
  const pinned = pinRevision !== undefined && views.get(pinRevision)?.revision !== undefined ? pinRevision : undefined;
  const desired = pinRevision === undefined ? named : pinned;
  const stable = stableOf(front, views, owner.status?.stableRevision) ?? desired;
  const decided = decidedReplicas(views.get(stable ?? "")?.deployment?.metadata.annotations);
  const before = front?.metadata.annotations?.[ANNOTATIONS.previous];
  const previous = before !== undefined && before !== stable && views.has(before) ? before : undefined;
  const known = { observed, views, front, desired, stable, previous };
  // An update is tried out with pods, also of a deployment that has none otherwise.
  const isCalled = decided === 0 || isCovered(observed.slices, owner, observed.activator);
  const mayBeZero = updateOf(known) === undefined && isCalled;
  const wanted = wantedReplicas({ scaling, decided, view: observed.scaling, mayBeZero });
  const replicas = suspend ? 0 : wanted;
  const base = { ...known, wanted, replicas };
  const undo = undoOf(base);
  const update = undo === undefined ? updateOf(base) : undefined;
  const watch = update === undefined && undo === undefined ? watchOf(base) : undefined;
  const decision = update === undefined ? undefined : decisionOf(base, update);
  return { ...base, undo, update, decision, watch };
}

type Base = Omit<Situation, "update" | "decision" | "watch" | "undo">;
type Known = Omit<Base, "wanted" | "replicas">;

/** The Service itself says who serves; where it was lost, the status, or whoever has most ready pods. */
function stableOf(
  front: ServiceRecord | undefined,
  views: ReadonlyMap<string, RevisionView>,
  known: string | undefined,
): string | undefined {
  for (const name of [front?.selector[LABELS.revision], known]) {
    if (name !== undefined && views.has(name)) return name;
  }
  return [...views.values()].filter((view) => ready(view) > 0).toSorted((a, b) => ready(b) - ready(a))[0]?.name;
}

function ready({ deployment }: RevisionView): number {
  return deployment?.ready ?? 0;
}

/** It serves, and was found to be wrong only then. */
export function isUndone({ stable, desired, views, previous }: Known): boolean {
  const view = views.get(stable ?? "");
  const reasons: readonly string[] = ["Aborted", "AnalysisFailed"];
  return (
    stable === desired && previous !== undefined && isGivenUp(view) && reasons.includes(view?.failure?.reason ?? "")
  );
}

function updateOf(known: Known): string | undefined {
  const { stable, desired, views, previous } = known;
  if (isUndone(known)) return previous;
  if (desired === undefined || desired === stable || isGivenUp(views.get(desired))) return undefined;
  return desired;
}

/** By an action of spec, or because the analysis failed while the previous revision stood by. */
function undoOf(base: Base): Failure | undefined {
  const { observed, stable, desired, views, previous, replicas } = base;
  const { action, autoRollback } = observed.owner.spec.rollout;
  const view = views.get(stable ?? "");
  if (view === undefined || stable !== desired || previous === undefined || replicas === 0 || isUndone(base)) {
    return undefined;
  }
  const asked = action !== undefined && action.revision === stable && action.type !== "Promote";
  if (asked && view.progress.acted !== action.type) {
    const message = `spec.rollout.action asked to go back to revision ${previous}; change spec.model, or remove the action, to try again`;
    return { reason: "Aborted", message };
  }
  const { breach } = view.progress;
  return breach !== undefined && autoRollback ? { reason: "AnalysisFailed", message: breach } : undefined;
}

/** The previous pods of a BlueGreen update stand by for a while. */
function watchOf(base: Base): Situation["watch"] {
  const { observed, stable, previous, views, front, replicas } = base;
  const { rollout } = observed.owner.spec;
  const old = views.get(previous ?? "");
  if (rollout.strategy !== "BlueGreen" || stable === undefined || replicas === 0) return undefined;
  if (old === undefined || old.failure !== undefined || (old.deployment?.wanted ?? 0) === 0) return undefined;
  const switchedAt = Date.parse(front?.metadata.annotations?.[ANNOTATIONS.switchedAt] ?? "");
  const until = switchedAt + durationSeconds(rollout.keepPrevious ?? KEEP_PREVIOUS) * 1000;
  if (!(observed.now < until)) return undefined;
  return { share: { id: `${stable}.${Math.round(switchedAt / 1000)}.watch`, weight: 0 }, until };
}

/** What the analysis finds of the revision that serves, while the previous one stands by. */
export function watchedBreach({ observed, stable, watch, views }: Situation): string | undefined {
  const view = views.get(stable ?? "");
  if (watch === undefined || view === undefined) return undefined;
  const reports = heard(reportsOf(observed, view)).filter(({ directive }) => directive === watch.share.id);
  return analyse(reports, analysisOf(observed.owner.spec.rollout), "local").breach;
}

function decisionOf(base: Base, name: string): UpdateDecision {
  const { observed, views, stable = "", previous, replicas } = base;
  const view = views.get(name) ?? { name, pods: [], superseded: false, progress: {} };
  const { deployment, startedAt, superseded } = view;
  const { wanted = 0, updated = 0, generation = 0, observedGeneration = 0 } = deployment ?? {};
  const settled = observedGeneration >= generation && updated === wanted;
  const fresh = superseded || wanted === 0;
  const back = isUndone(base) && name === previous;
  const old = views.get(stable);
  return decideUpdate({
    rollout: observed.owner.spec.rollout,
    now: observed.now,
    replicas,
    back,
    update: {
      revision: name,
      // What it had come to before it was stopped counts no more.
      progress: fresh ? actedOnly(view) : view.progress,
      startedAt: fresh ? undefined : startedAt,
      verified: settled ? verified(view, observed).length : 0,
      wanted,
      problem: fresh ? undefined : revisionProblem(view, observed, wanted),
      scheduledAt: scheduledAt(view),
    },
    stable: {
      revision: stable,
      ready: old?.deployment?.ready ?? 0,
      pods: observed.pods.filter(({ metadata }) => metadata.labels?.[LABELS.revision] === stable).length,
      reports: reportsOf(observed, old),
    },
  });
}

function actedOnly({ progress: { acted, paused } }: RevisionView): RevisionView["progress"] {
  return { ...(acted === undefined ? {} : { acted }), ...(paused === undefined ? {} : { paused }) };
}

/** Of its ready pods; undefined for one that does not answer. */
export function reportsOf(
  { traffic }: ObservedDeployment,
  view: RevisionView | undefined,
): (TrafficReport | undefined)[] {
  return (view?.pods ?? []).filter(({ ready }) => ready).map(({ metadata }) => traffic.get(metadata.uid));
}
