/** How many pods each revision has, and what its Deployment remembers. */
import { LABELS } from "../../../crds/contract/names.ts";
import { covers } from "../../covers.ts";
import { timestamp } from "../../kernel/clock.ts";
import { isTrue } from "../../kernel/conditions.ts";
import { Resources } from "../../kernel/resource.ts";
import type { Failure, Note } from "../../reasons.ts";
import { knownConditions } from "../../runs/status.ts";
import type { Write } from "../../writes.ts";
import { ANNOTATIONS, MOVE_SECONDS, revisionDeployment } from "../objects.ts";
import { isGivenUp, type RevisionView } from "../observed.ts";
import { revisionProblem } from "../problem.ts";
import type { Revision } from "../revision.ts";
import { DECISION, decisionAnnotation } from "../scaling/replicas.ts";
import { type Situation, watchedBreach } from "../situation.ts";
import { type Progress, PROGRESS_ANNOTATION, writeProgress } from "./progress.ts";

interface Target {
  readonly replicas: number;
  /** By which it is given up. */
  readonly failure?: Failure | undefined;
  readonly progress: Progress;
  readonly note?: Note | undefined;
}

/** What a revision that serves, or is to serve, should have. */
export function target(situation: Situation, view: RevisionView): Target {
  const { stable, update, decision, replicas } = situation;
  if (view.name === stable) return stableTarget(situation, view);
  if (view.name === update && decision !== undefined) {
    const { updateReplicas, failure, progress, note } = decision;
    if (failure === undefined) return { replicas: updateReplicas, progress, note };
    const message = `the update to revision ${view.name} is given up, ${stable ?? "nothing"} goes on serving. ${failure.reason}: ${failure.message}`;
    const told = { type: "Warning", reason: "RolledBack", message } as const;
    return { replicas: afterMove(situation, view), failure, progress, note: told };
  }
  if (isGivenUp(view)) return { replicas: afterMove(situation, view), failure: view.failure, progress: view.progress };
  // Asked for, but nothing is to be done for it.
  return { replicas: Math.min(view.deployment?.wanted ?? 0, replicas), progress: view.progress };
}

function stableTarget(situation: Situation, view: RevisionView): Target {
  const { observed, update, decision, replicas, undo, previous } = situation;
  const progress = stableProgress(situation, view);
  if (undo !== undefined) {
    const message = `revision ${view.name} is given up, it goes back to ${previous ?? ""}. ${undo.reason}: ${undo.message}`;
    return { replicas, failure: undo, progress, note: { type: "Warning", reason: "RolledBack", message } };
  }
  if (update === undefined) return { replicas, progress, ...watched(situation, view, progress) };
  const problem = (view.deployment?.ready ?? 0) > 0 ? undefined : revisionProblem(view, observed, replicas);
  // What cannot serve leaves its place to what may.
  const failure = view.failure ?? (problem?.final === true ? problem.failure : undefined);
  const fallen = failure !== undefined && (view.deployment?.ready ?? 0) === 0;
  return { replicas: fallen ? 0 : (decision?.stableReplicas ?? replicas), failure, progress };
}

/** Of what an update has left, only what is of use to the revision that serves now. */
function stableProgress({ observed }: Situation, { name, progress }: RevisionView): Progress {
  const { action } = observed.owner.spec.rollout;
  const acted = action?.revision === name ? { acted: action.type } : {};
  return {
    ...acted,
    ...(progress.breach === undefined || progress.step !== undefined ? {} : { breach: progress.breach }),
  };
}

function watched(situation: Situation, view: RevisionView, progress: Progress): Partial<Target> {
  const breach = progress.breach === undefined ? watchedBreach(situation) : undefined;
  if (breach === undefined) return {};
  const message = `revision ${view.name}: ${breach}`;
  return {
    progress: { ...progress, breach: breach.slice(0, 1000) },
    note: { type: "Warning", reason: "AnalysisFailed", message },
  };
}

/** Pods of a revision that is given up stay until no request reaches them any more. */
function afterMove(situation: Situation, view: RevisionView): number {
  return situation.replicas === 0 || hasMoved(situation, view) ? 0 : (view.deployment?.wanted ?? 0);
}

export function deployment(situation: Situation, view: RevisionView, record: Revision | undefined): Write[] {
  const { owner, now } = situation.observed;
  const live = view.deployment;
  const template = record?.template ?? live?.template;
  if (template === undefined) return [];
  const { replicas, failure, progress, note } = target(situation, view);
  const starts = replicas > 0 && (live === undefined || live.wanted === 0);
  const startedAt = starts ? timestamp(now) : live?.metadata.annotations?.[ANNOTATIONS.startedAt];
  const annotations = {
    ...remembered({ startedAt, failure, progress }),
    ...decisionAnnotation(owner.spec.scaling, situation.wanted),
  };
  const object = revisionDeployment(owner, view.name, template, replicas, annotations);
  if (live === undefined) return [{ verb: "create", resource: Resources.Deployment, object }];
  if (isAs(live, object, annotations)) return [];
  const told = note ?? scalingNote(situation, view, replicas);
  const apply = {
    verb: "apply",
    resource: Resources.Deployment,
    object: { ...object, metadata: { ...object.metadata, uid: live.metadata.uid } },
  } as const;
  return [told === undefined ? apply : { ...apply, note: told }];
}

interface Remembered {
  readonly startedAt: string | undefined;
  readonly failure: Failure | undefined;
  readonly progress: Progress;
}

function remembered({ startedAt, failure, progress }: Remembered): Record<string, string> {
  const text = writeProgress(progress);
  return {
    ...(startedAt === undefined ? {} : { [ANNOTATIONS.startedAt]: startedAt }),
    ...(failure === undefined ? {} : { [ANNOTATIONS.failure]: JSON.stringify(failure) }),
    ...(text === undefined ? {} : { [PROGRESS_ANNOTATION]: text }),
  };
}

const OWN = [ANNOTATIONS.startedAt, ANNOTATIONS.failure, ANNOTATIONS.superseded, PROGRESS_ANNOTATION, DECISION];

function isAs(
  live: NonNullable<RevisionView["deployment"]>,
  object: ReturnType<typeof revisionDeployment>,
  annotations: Record<string, string>,
): boolean {
  const held = live.metadata.annotations ?? {};
  return (
    live.wanted === object.spec.replicas &&
    OWN.every((key) => held[key] === annotations[key]) &&
    covers(live.metadata.labels, object.metadata.labels) &&
    covers(live.template, object.spec.template)
  );
}

function scalingNote({ observed, stable, update }: Situation, view: RevisionView, replicas: number): Note | undefined {
  const before = view.deployment?.wanted ?? 0;
  const suspension = observed.owner.spec.suspend || isTrue(knownConditions(observed.owner.status ?? {}), "Suspended");
  // An update moves pods from one revision to the other: that is no scaling.
  if (before === replicas || suspension || view.name !== stable || update !== undefined) return undefined;
  const message = `from ${before} to ${replicas} pods`;
  return { type: "Normal", reason: scalingReason(before, replicas), message };
}

function scalingReason(before: number, after: number) {
  if (after > before) return "ScaledUp";
  return after === 0 ? "ScaledToZero" : "ScaledDown";
}

/** Stops a revision that serves no more, once traffic has moved; remembers that the spec went on without it. */
export function retire(situation: Situation, name: string): Write[] {
  const { observed, views, desired, previous, watch } = situation;
  const view = views.get(name);
  const live = view?.deployment;
  if (view === undefined || live === undefined || live.metadata.deletionTimestamp !== undefined) return [];
  const standsBy = name === previous && watch !== undefined;
  const stops = live.wanted > 0 && !standsBy && (observed.owner.spec.suspend || hasMoved(situation, view));
  const supersedes = view.failure !== undefined && !view.superseded && desired !== undefined;
  if (!stops && !supersedes) return [];
  const { failure, progress } = view;
  const annotations = {
    ...remembered({ startedAt: live.metadata.annotations?.[ANNOTATIONS.startedAt], failure, progress }),
    ...(failure !== undefined && desired !== undefined ? { [ANNOTATIONS.superseded]: "true" } : {}),
  };
  const template = view.revision?.template ?? live.template;
  const object = revisionDeployment(observed.owner, name, template, stops ? 0 : live.wanted, annotations);
  const { uid } = live.metadata;
  return [
    { verb: "apply", resource: Resources.Deployment, object: { ...object, metadata: { ...object.metadata, uid } } },
  ];
}

/** No endpoint of the Service is a pod of this revision any more, and proxies have had time to learn it. */
export function hasMoved({ observed, front: service }: Situation, view: RevisionView): boolean {
  const { slices, now } = observed;
  const names = new Set(
    observed.pods
      .filter(({ metadata }) => metadata.labels?.[LABELS.revision] === view.name)
      .map(({ metadata }) => metadata.name),
  );
  if (service?.selector[LABELS.revision] === view.name) return false;
  if (slices.some(({ readyPods }) => readyPods.some((name) => names.has(name)))) return false;
  const switchedAt = Date.parse(service?.metadata.annotations?.[ANNOTATIONS.switchedAt] ?? "");
  return Number.isNaN(switchedAt) || now - switchedAt >= MOVE_SECONDS * 1000;
}
