/** What has to be written so that the right revision serves: one update at a time, never harming the one that serves. */
import { timestamp } from "../kernel/clock.ts";
import { Resources } from "../kernel/resource.ts";
import { covers } from "../covers.ts";
import { PodDisruptionBudget } from "../resources.ts";
import { identityOf, type Write } from "../writes.ts";
import { LABELS } from "../../crds/contract/names.ts";
import type { Note } from "../reasons.ts";
import { ANNOTATIONS, frontService, GRPC_PORT, revisionBudget, revisionService, SERVICE_PORT } from "./objects.ts";
import { digestOf, type RevisionView } from "./observed.ts";
import { mismatched } from "./problem.ts";
import { imageOf, newRevision, pinned, type Revision, revisionConfigMap, revisionLabels } from "./revision.ts";
import { deployment, retire, target } from "./rollout/deployments.ts";
import { directives } from "./rollout/directives.ts";
import type { Situation } from "./situation.ts";

/** Writes in an order in which what serves comes first: a refusal of what is new stops nothing else. */
export function planRollout(situation: Situation): Write[] {
  const { views, stable, desired, update } = situation;
  const current = [...new Set([update, desired])].filter((name) => name !== undefined && name !== stable);
  const others = [...views.keys()].filter((name) => name !== stable && !current.includes(name));
  return [
    ...front(situation),
    ...(stable === undefined ? [] : revision(situation, stable)),
    ...directives(situation),
    ...others.flatMap((name) => retire(situation, name)),
    ...prune(situation, others),
    ...current.flatMap((name) => (name === undefined ? [] : revision(situation, name))),
  ];
}

function front(situation: Situation): Write[] {
  const { observed, front: service, stable, update, decision, previous } = situation;
  const { owner, now } = observed;
  if (stable === undefined) return [];
  const target = decision?.promote === true && update !== undefined ? update : stable;
  if (service === undefined) {
    const object = frontService(owner, target, { switchedAt: timestamp(now) });
    return [{ verb: "create", resource: Resources.Service, object }];
  }
  const switched = target !== service.selector[LABELS.revision];
  const held = service.metadata.annotations?.[ANNOTATIONS.switchedAt];
  const switchedAt = switched || held === undefined ? timestamp(now) : held;
  const object = frontService(owner, target, { switchedAt, previous: target === stable ? previous : stable });
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
  const view = views.get(name) ?? { name, pods: [], superseded: false, progress: {} };
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

/**
 * Of an update, which the Service that users call does not lead to. Once that one does, it is of use only while pods of
 * others hand over what still reaches them.
 */
function ownService({ observed: { owner, pods }, stable }: Situation, view: RevisionView): Write[] {
  const { service } = view;
  if (view.name !== stable) {
    if (service !== undefined) return [];
    return [{ verb: "create", resource: Resources.Service, object: revisionService(owner, view.name) }];
  }
  const others = pods.some(({ metadata }) => metadata.labels?.[LABELS.revision] !== stable);
  if (others || service === undefined || service.metadata.deletionTimestamp !== undefined) return [];
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

/** Pods of the revision that serves which loaded other bytes: the next ones will refuse them. */
function wrongPods({ observed, stable }: Situation, view: RevisionView): Write[] {
  if (view.name !== stable) return [];
  return mismatched(view, observed).map((pod) => ({
    verb: "delete",
    resource: Resources.Pod,
    metadata: identityOf(pod),
  }));
}

/** Removes all of the oldest revisions beyond the limit that have no pods any more. */
function prune({ observed, views, previous }: Situation, others: readonly string[]): Write[] {
  const { owner } = observed;
  const stopped = others
    .map((name) => views.get(name))
    .filter((view) => view !== undefined)
    .filter((view) => (view.deployment?.wanted ?? 0) === 0 && (view.deployment?.replicas ?? 0) === 0)
    // The way back is the last to go.
    .toSorted(
      (a, b) => Number(b.name === previous) - Number(a.name === previous) || (b.startedAt ?? 0) - (a.startedAt ?? 0),
    );
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
