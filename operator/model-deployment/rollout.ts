/** What has to be written so that the right revision serves: one update at a time, never harming the one that serves. */
import { timestamp } from "../kernel/clock.ts";
import { Resources } from "../kernel/resource.ts";
import { covers } from "../covers.ts";
import { PodDisruptionBudget } from "../resources.ts";
import { identityOf, type Write } from "../writes.ts";
import { LABELS } from "../../crds/contract/names.ts";
import { isTrue } from "../kernel/conditions.ts";
import type { Note } from "../reasons.ts";
import { knownConditions } from "../runs/status.ts";
import {
  ANNOTATIONS,
  frontService,
  MOVE_SECONDS,
  revisionBudget,
  revisionDeployment,
  revisionService,
  GRPC_PORT,
  SERVICE_PORT,
} from "./objects.ts";
import { digestOf, isGivenUp, type RevisionView, type Situation } from "./observed.ts";
import { mismatched, revisionProblem, verified } from "./problem.ts";
import { imageOf, newRevision, pinned, type Revision, revisionConfigMap, revisionLabels } from "./revision.ts";
import { DECISION, decisionAnnotation } from "./scaling/replicas.ts";

/** Writes in an order in which what serves comes first: a refusal of what is new stops nothing else. */
export function planRollout(situation: Situation): Write[] {
  const { views, stable, desired } = situation;
  const others = [...views.keys()].filter((name) => name !== stable && name !== desired);
  const update = desired === stable ? undefined : desired;
  return [
    ...front(situation),
    ...(stable === undefined ? [] : revision(situation, stable)),
    ...others.flatMap((name) => retire(situation, name)),
    ...prune(situation, others),
    ...(update === undefined ? [] : revision(situation, update)),
  ];
}

/** The update has all its pods, all are ready, and all serve the model that was asked for. */
export function isPromotable({ observed, views, stable, desired, replicas }: Situation): boolean {
  if (desired === undefined || desired === stable || replicas === 0) return false;
  const view = views.get(desired);
  if (view === undefined || isGivenUp(view)) return false;
  const { deployment } = view;
  if (deployment === undefined || deployment.observedGeneration < deployment.generation) return false;
  const complete = deployment.wanted === replicas && deployment.updated === replicas && deployment.ready >= replicas;
  return complete && verified(view, observed).length >= replicas && mismatched(view, observed).length === 0;
}

function front(situation: Situation): Write[] {
  const { observed, front: service, stable, desired } = situation;
  const { owner, now } = observed;
  if (stable === undefined) return [];
  const target = isPromotable(situation) && desired !== undefined ? desired : stable;
  if (service === undefined) {
    return [{ verb: "create", resource: Resources.Service, object: frontService(owner, target, timestamp(now)) }];
  }
  const switched = target !== service.selector[LABELS.revision];
  const held = service.metadata.annotations?.[ANNOTATIONS.switchedAt];
  const object = frontService(owner, target, switched || held === undefined ? timestamp(now) : held);
  const { selector } = object.spec;
  const same =
    covers(service.selector, selector) &&
    Object.keys(service.selector).length === Object.keys(selector).length &&
    covers(service.ports, [SERVICE_PORT, GRPC_PORT]) &&
    covers(service.metadata.annotations, object.metadata.annotations) &&
    covers(service.metadata.labels, object.metadata.labels);
  if (same) return [];
  const { uid } = service.metadata;
  const apply = {
    verb: "apply",
    resource: Resources.Service,
    object: { ...object, metadata: { ...object.metadata, uid } },
  } as const;
  const note: Note = {
    type: "Normal",
    reason: "Promoted",
    message: `revision ${target} serves now, instead of ${stable}`,
  };
  return [target === stable ? apply : { ...apply, note }];
}

/** All objects of a revision that serves or is to serve. */
function revision(situation: Situation, name: string): Write[] {
  const { observed, views, desired } = situation;
  const { owner, resolution, config } = observed;
  const view = views.get(name) ?? { name, pods: [], superseded: false };
  const lost =
    name === desired && view.revision === undefined && resolution.state === "Known"
      ? newRevision(owner, resolution.model, config, view.deployment && imageOf(view.deployment.template))
      : undefined;
  const record = view.revision ?? lost;
  return [
    ...recordOf(situation, view, record),
    ...deployment(situation, view, record),
    ...ownService(situation, view),
    ...ownBudget(situation, view),
    ...wrongPods(situation, view),
  ];
}

/** Of an update, which the Service that users call does not lead to; once that one does, it is of no use. */
function ownService({ observed: { owner }, stable }: Situation, view: RevisionView): Write[] {
  const { service } = view;
  if (view.name !== stable) {
    if (service !== undefined) return [];
    return [{ verb: "create", resource: Resources.Service, object: revisionService(owner, view.name) }];
  }
  if (service === undefined || service.metadata.deletionTimestamp !== undefined) return [];
  return [{ verb: "delete", resource: Resources.Service, metadata: identityOf(service) }];
}

/** Of several pods, one at a time may be taken away; of one, or before any is ready, there is nothing to hold back. */
function ownBudget(situation: Situation, view: RevisionView): Write[] {
  const pods = Math.max(target(situation, view).replicas, view.deployment?.wanted ?? 0);
  const { budget } = view;
  if (budget === undefined) {
    if (pods < 2 || (view.deployment?.ready ?? 0) === 0) return [];
    const object = revisionBudget(situation.observed.owner, view.name);
    return [{ verb: "create", resource: PodDisruptionBudget, object }];
  }
  if (pods >= 2 || budget.metadata.deletionTimestamp !== undefined) return [];
  return [{ verb: "delete", resource: PodDisruptionBudget, metadata: identityOf(budget) }];
}

function recordOf({ observed, views }: Situation, view: RevisionView, record: Revision | undefined): Write[] {
  const { owner } = observed;
  if (record === undefined) return [];
  if (view.map === undefined) {
    const create = { verb: "create", resource: Resources.ConfigMap, object: revisionConfigMap(owner, record) } as const;
    // The first one is what the object itself says. It and the Service come before the Deployment, in any order.
    if (views.size === 0) return [{ ...create, beside: true }];
    const note: Note = {
      type: "Normal",
      reason: "RevisionCreated",
      message: `revision ${view.name} of ${record.run.model.uri}`,
    };
    return [{ ...create, note }];
  }
  const digest = digestOf(view) === undefined ? firstDigest(view, observed.reports) : undefined;
  if (digest === undefined || view.revision === undefined) return [];
  const object = revisionConfigMap(owner, pinned(view.revision, digest));
  const { uid } = view.map.metadata;
  return [
    { verb: "apply", resource: Resources.ConfigMap, object: { ...object, metadata: { ...object.metadata, uid } } },
  ];
}

/** What the pod that became ready first has loaded. */
function firstDigest(view: RevisionView, reports: Situation["observed"]["reports"]): string | undefined {
  return view.pods
    .filter((pod) => pod.ready)
    .toSorted((a, b) => ((a.readySince ?? "") < (b.readySince ?? "") ? -1 : 1))
    .map((pod) => reports.get(pod.metadata.uid)?.model.digest)
    .find((digest) => digest !== undefined);
}

/** How many pods a revision should have, and the failure for which it is given up right now. */
export function target(situation: Situation, view: RevisionView) {
  const { observed, views, stable, desired, replicas } = situation;
  if (view.name === stable) {
    const updates = desired !== undefined && desired !== stable && !isGivenUp(views.get(desired));
    if (!updates) return { replicas, failure: undefined };
    const problem = (view.deployment?.ready ?? 0) > 0 ? undefined : revisionProblem(view, observed, replicas);
    // What cannot serve leaves its place to what may.
    const failure = view.failure ?? (problem?.final === true ? problem.failure : undefined);
    return { replicas: failure === undefined ? replicas : 0, failure };
  }
  if (isGivenUp(view)) return { replicas: 0, failure: view.failure };
  const problem = view.superseded || replicas === 0 ? undefined : revisionProblem(view, observed, replicas);
  return problem?.final === true ? { replicas: 0, failure: problem.failure } : { replicas, failure: undefined };
}

function deployment(situation: Situation, view: RevisionView, record: Revision | undefined): Write[] {
  const { owner, now } = situation.observed;
  const live = view.deployment;
  const template = record?.template ?? live?.template;
  if (template === undefined) return [];
  const { replicas, failure } = target(situation, view);
  const starts = replicas > 0 && (live === undefined || live.wanted === 0);
  const startedAt = starts ? timestamp(now) : live?.metadata.annotations?.[ANNOTATIONS.startedAt];
  const annotations = {
    ...(startedAt === undefined ? {} : { [ANNOTATIONS.startedAt]: startedAt }),
    ...(failure === undefined ? {} : { [ANNOTATIONS.failure]: JSON.stringify(failure) }),
    ...decisionAnnotation(owner.spec.scaling, situation.wanted),
  };
  const object = revisionDeployment(owner, view.name, template, replicas, annotations);
  if (live === undefined) return [{ verb: "create", resource: Resources.Deployment, object }];
  if (isAs(live, object, annotations)) return [];
  const note = deploymentNote(situation, view, replicas, failure);
  const apply = {
    verb: "apply",
    resource: Resources.Deployment,
    object: { ...object, metadata: { ...object.metadata, uid: live.metadata.uid } },
  } as const;
  return [note === undefined ? apply : { ...apply, note }];
}

function isAs(
  live: NonNullable<RevisionView["deployment"]>,
  object: ReturnType<typeof revisionDeployment>,
  annotations: Record<string, string>,
): boolean {
  const held = live.metadata.annotations ?? {};
  const own = [ANNOTATIONS.startedAt, ANNOTATIONS.failure, ANNOTATIONS.superseded, DECISION];
  return (
    live.wanted === object.spec.replicas &&
    own.every((key) => held[key] === annotations[key]) &&
    covers(live.metadata.labels, object.metadata.labels) &&
    covers(live.template, object.spec.template)
  );
}

function deploymentNote(
  { observed, stable }: Situation,
  view: RevisionView,
  replicas: number,
  failure: ReturnType<typeof target>["failure"],
): Note | undefined {
  if (failure !== undefined && view.name !== stable) {
    const message = `the update to revision ${view.name} is given up, ${stable ?? "nothing"} goes on serving. ${failure.reason}: ${failure.message}`;
    return { type: "Warning", reason: "RolledBack", message };
  }
  const before = view.deployment?.wanted ?? 0;
  const suspension = observed.owner.spec.suspend || isTrue(knownConditions(observed.owner.status ?? {}), "Suspended");
  if (before === replicas || suspension || view.name !== stable) return undefined;
  const message = `from ${before} to ${replicas} pods`;
  return { type: "Normal", reason: scalingReason(before, replicas), message };
}

function scalingReason(before: number, after: number) {
  if (after > before) return "ScaledUp";
  return after === 0 ? "ScaledToZero" : "ScaledDown";
}

/** Pods of the revision that serves which loaded other bytes: the next ones will refuse them. */
function wrongPods({ observed, stable }: Situation, view: RevisionView): Write[] {
  if (view.name !== stable) return [];
  return mismatched(view, observed).map((pod) => ({
    verb: "delete",
    resource: Resources.Pod,
    metadata: identityOf(pod),
  }));
}

/** Stops a revision that serves no more, once traffic has moved; remembers that the spec went on without it. */
function retire(situation: Situation, name: string): Write[] {
  const { observed, views, desired } = situation;
  const view = views.get(name);
  const live = view?.deployment;
  if (view === undefined || live === undefined || live.metadata.deletionTimestamp !== undefined) return [];
  const stops = live.wanted > 0 && (observed.owner.spec.suspend || hasMoved(situation, view));
  const supersedes = view.failure !== undefined && !view.superseded && desired !== undefined;
  if (!stops && !supersedes) return [];
  const { [ANNOTATIONS.startedAt]: startedAt } = live.metadata.annotations ?? {};
  const annotations = {
    ...(startedAt === undefined ? {} : { [ANNOTATIONS.startedAt]: startedAt }),
    ...(view.failure === undefined ? {} : { [ANNOTATIONS.failure]: JSON.stringify(view.failure) }),
    ...(view.failure !== undefined && desired !== undefined ? { [ANNOTATIONS.superseded]: "true" } : {}),
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

/** Removes all of the oldest revisions beyond the limit that have no pods any more. */
function prune({ observed, views }: Situation, others: readonly string[]): Write[] {
  const { owner } = observed;
  const stopped = others
    .map((name) => views.get(name))
    .filter((view) => view !== undefined)
    .filter((view) => (view.deployment?.wanted ?? 0) === 0 && (view.deployment?.replicas ?? 0) === 0)
    .toSorted((a, b) => (b.startedAt ?? 0) - (a.startedAt ?? 0));
  const old = stopped.slice(owner.spec.rollout.revisionHistoryLimit);
  return old.flatMap(({ deployment: live, service, budget, map }) => [
    ...removal(Resources.Deployment, live),
    ...removal(Resources.Service, service),
    ...removal(PodDisruptionBudget, budget),
    ...removal(Resources.ConfigMap, map),
  ]);
}

function removal(
  resource: Write["resource"],
  record: (Parameters<typeof identityOf>[0] & { metadata: { deletionTimestamp?: string } }) | undefined,
): Write[] {
  if (record === undefined || record.metadata.deletionTimestamp !== undefined) return [];
  return [{ verb: "delete", resource, metadata: identityOf(record) }];
}

/** For the status: labels by which the scale subresource finds the pods that serve. */
export function selectorText(situation: Situation): string | undefined {
  const { observed, stable } = situation;
  if (stable === undefined) return undefined;
  return Object.entries(revisionLabels(observed.owner, stable))
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}
