/** What decisions about a ModelDeployment look at, sorted by revision. */
import type { ServingProgress } from "../../crds/contract/progress.ts";
import type { TrafficReport } from "../../crds/contract/traffic.ts";
import { LABELS } from "../../crds/contract/names.ts";
import { durationSeconds } from "../../crds/schema.ts";
import type { OperatorConfig } from "../config.ts";
import type { Resolution } from "../model-reference.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import type { Failure } from "../reasons.ts";
import type { ConfigMapRecord } from "../runs/job-record.ts";
import { ANNOTATIONS } from "./objects.ts";
import { type BudgetRecord, counted, type DeploymentRecord, type ServiceRecord, type SliceRecord } from "./records.ts";
import { type DeploymentOwner, readRevision, type Revision } from "./revision.ts";
import { dueFrom } from "./rollout/decide.ts";
import { type Progress, PROGRESS_ANNOTATION, readProgress } from "./rollout/progress.ts";
import type { ActivatorView } from "./scaling/activator-slice.ts";
import type { ScalingView } from "./scaling/autoscaler.ts";
import type { AutoscalerRecord } from "./scaling/cluster-autoscaler.ts";

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
  /** What pods say of the requests that they share, by uid. */
  readonly traffic: ReadonlyMap<string, TrafficReport>;
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
  /** How far the update to it has come. */
  readonly progress: Progress;
  /** Milliseconds. */
  readonly startedAt?: number | undefined;
}

export function viewsOf(observed: ObservedDeployment): Map<string, RevisionView> {
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
          progress: readProgress(annotations[PROGRESS_ANNOTATION]),
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

/** When the last pod of a revision found a node; milliseconds. */
export function scheduledAt({ pods }: RevisionView): number | undefined {
  const times = pods.map((pod) => Date.parse(pod.scheduledAt ?? "")).filter((time) => !Number.isNaN(time));
  return times.length === 0 ? undefined : Math.max(...times);
}

/** When a revision that is not ready is given up; milliseconds. Waiting for a node or in a step does not count. */
export function deadlineOf({ owner }: ObservedDeployment, view: RevisionView): number | undefined {
  const { startedAt, progress } = view;
  if (startedAt === undefined) return undefined;
  const { rollout } = owner.spec;
  const from = dueFrom({ rollout, update: { progress, startedAt, scheduledAt: scheduledAt(view) } });
  return from + durationSeconds(rollout.progressDeadline) * 1000;
}
