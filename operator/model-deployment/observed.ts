/** What decisions about a ModelDeployment look at, sorted by revision. */
import type { ServingProgress } from "../../crds/contract/progress.ts";
import { LABELS } from "../../crds/contract/names.ts";
import { durationSeconds } from "../../crds/schema.ts";
import type { OperatorConfig } from "../config.ts";
import type { Resolution } from "../model-reference.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import type { Failure } from "../reasons.ts";
import type { ConfigMapRecord } from "../runs/job-record.ts";
import { ANNOTATIONS } from "./objects.ts";
import { type BudgetRecord, counted, type DeploymentRecord, type ServiceRecord, type SliceRecord } from "./records.ts";
import { type DeploymentOwner, readRevision, type Revision, revisionName } from "./revision.ts";
import { type ActivatorView, isCovered } from "./scaling/activator-slice.ts";
import type { ScalingView } from "./scaling/autoscaler.ts";
import type { AutoscalerRecord } from "./scaling/cluster-autoscaler.ts";
import { decidedReplicas, wantedReplicas } from "./scaling/replicas.ts";

export interface ObservedDeployment {
  readonly owner: DeploymentOwner;
  readonly resolution: Resolution;
  readonly config: OperatorConfig;
  /** Milliseconds. */
  readonly now: number;
  readonly configMaps: readonly ConfigMapRecord[];
  readonly deployments: readonly DeploymentRecord[];
  readonly services: readonly ServiceRecord[];
  readonly budgets: readonly BudgetRecord[];
  readonly autoscalers: readonly AutoscalerRecord[];
  /** Of the Service that users call. */
  readonly slices: readonly SliceRecord[];
  readonly pods: readonly PodRecord[];
  /** What pods say, by uid. */
  readonly reports: ReadonlyMap<string, ServingProgress>;
  /** What the autoscaler says, in mode Automatic. */
  readonly scaling: ScalingView;
  readonly activator: ActivatorView;
}

/** All that there is of one revision. */
export interface RevisionView {
  readonly name: string;
  readonly map?: ConfigMapRecord | undefined;
  readonly revision?: Revision | undefined;
  readonly deployment?: DeploymentRecord | undefined;
  readonly service?: ServiceRecord | undefined;
  readonly budget?: BudgetRecord | undefined;
  /** Those that are not being taken away. */
  readonly pods: readonly PodRecord[];
  /** By which the update to it was given up. */
  readonly failure?: Failure | undefined;
  readonly superseded: boolean;
  /** Milliseconds. */
  readonly startedAt?: number | undefined;
}

export interface Situation {
  readonly observed: ObservedDeployment;
  readonly views: ReadonlyMap<string, RevisionView>;
  readonly front?: ServiceRecord | undefined;
  /** The revision that serves users. */
  readonly stable?: string | undefined;
  /** The revision that the spec asks for; undefined while its model is not known. */
  readonly desired?: string | undefined;
  /** Pods that there should be, but for a suspension. */
  readonly wanted: number;
  /** Pods that there should be. */
  readonly replicas: number;
}

export function situation(observed: ObservedDeployment): Situation {
  const { owner, resolution, services } = observed;
  const views = viewsOf(observed);
  const front = services.find(({ metadata }) => metadata.name === owner.metadata.name);
  const desired = resolution.state === "Known" ? revisionName(owner, resolution.model) : undefined;
  const stable = stableOf(front, views, owner.status?.stableRevision) ?? desired;
  const decided = decidedReplicas(views.get(stable ?? "")?.deployment?.metadata.annotations);
  const { scaling, suspend } = owner.spec;
  // An update is tried out with pods, also of a deployment that has none otherwise.
  const updates = stable !== desired && !isGivenUp(views.get(desired ?? ""));
  const mayBeZero = !updates && (decided === 0 || isCovered(observed.slices, owner, observed.activator));
  const wanted = wantedReplicas({ scaling, decided, view: observed.scaling, mayBeZero });
  return { observed, views, front, desired, stable, wanted, replicas: suspend ? 0 : wanted };
}

/** The Service itself says who serves; where it was lost, the status, or whoever has most ready pods. */
function stableOf(
  front: ServiceRecord | undefined,
  views: ReadonlyMap<string, RevisionView>,
  known: string | undefined,
): string | undefined {
  for (const name of [front?.selector[LABELS.revision], known]) {
    if (name !== undefined && views.has(name)) return name;
  }
  const ready = (view: RevisionView) => view.deployment?.ready ?? 0;
  return [...views.values()].filter((view) => ready(view) > 0).toSorted((a, b) => ready(b) - ready(a))[0]?.name;
}

function viewsOf(observed: ObservedDeployment): Map<string, RevisionView> {
  const { configMaps, deployments, services, budgets, pods } = observed;
  // What only looks like ours, by a forged owner, has not our label.
  const ours = [...configMaps, ...deployments].filter(
    ({ metadata }) => metadata.labels?.[LABELS.revision] === metadata.name,
  );
  const names = new Set(ours.map(({ metadata }) => metadata.name));
  return new Map(
    [...names].map((name) => {
      const map = named(configMaps, name);
      const own = pods.filter(
        ({ metadata }) => metadata.labels?.[LABELS.revision] === name && metadata.deletionTimestamp === undefined,
      );
      const live = named(deployments, name);
      const deployment = live && counted(live, own);
      const annotations = deployment?.metadata.annotations ?? {};
      const startedAt = Date.parse(annotations[ANNOTATIONS.startedAt] ?? "");
      return [
        name,
        {
          name,
          map,
          revision: map && readRevision(map),
          deployment,
          service: named(services, name),
          budget: named(budgets, name),
          pods: own,
          failure: parseFailure(annotations[ANNOTATIONS.failure]),
          superseded: annotations[ANNOTATIONS.superseded] === "true",
          startedAt: Number.isNaN(startedAt) ? undefined : startedAt,
        },
      ];
    }),
  );
}

function named<T extends { metadata: { name: string } }>(records: readonly T[], name: string): T | undefined {
  return records.find(({ metadata }) => metadata.name === name);
}

function parseFailure(text: string | undefined): Failure | undefined {
  if (text === undefined) return undefined;
  try {
    // Written by this operator.
    return JSON.parse(text) as Failure;
  } catch {
    return undefined;
  }
}

/** Given up, and not asked for anew. */
export function isGivenUp(view: RevisionView | undefined): boolean {
  return view?.failure !== undefined && !view.superseded;
}

/** The digest that all pods of a revision must have loaded. */
export function digestOf(view: RevisionView | undefined): string | undefined {
  return view?.revision?.run.model.digest;
}

/** When a revision that is not ready is given up; milliseconds. */
export function deadlineOf({ owner }: ObservedDeployment, { startedAt }: RevisionView): number | undefined {
  return startedAt === undefined ? undefined : startedAt + durationSeconds(owner.spec.rollout.progressDeadline) * 1000;
}
