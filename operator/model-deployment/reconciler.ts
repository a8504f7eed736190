/** Keeps a ModelDeployment as its spec asks, and its status true: observe, decide, write. */
import { canonicalJson } from "../../crds/contract/canonical.ts";
import type { ServingProgress } from "../../crds/contract/progress.ts";
import type { TrafficReport } from "../../crds/contract/traffic.ts";
import type { Children, Refusal } from "../children.ts";
import type { OperatorConfig } from "../config.ts";
import type { Client } from "../kernel/client.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ConsistencyTracker } from "../kernel/consistency.ts";
import type { ReconcileContext, ReconcileResult } from "../kernel/controller.ts";
import type { EventRecorder } from "../kernel/events.ts";
import type { Informer } from "../kernel/informer.ts";
import { controllerOf, type Identified, keyOfObject, type KubernetesObject, type Stored } from "../kernel/meta.ts";
import type { Store } from "../kernel/store.ts";
import { Kinds } from "../kinds.ts";
import { NOT_INSTALLED } from "../kueue/admission.ts";
import type { Kueue } from "../kueue/kueue.ts";
import { type JobLookup, resolveModel } from "../model-reference.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import { PROBE_SECONDS, type Reports } from "../pods/reports.ts";
import type { TrafficProber } from "../pods/traffic-prober.ts";
import { VOLUME_SECONDS, waitsForStart, withVolumeProblem } from "../pods/volumes.ts";
import type { Note } from "../reasons.ts";
import type { ConfigMapRecord } from "../runs/job-record.ts";
import { LABELS } from "../../crds/contract/names.ts";
import type { Write } from "../writes.ts";
import { MOVE_SECONDS } from "./objects.ts";
import { deadlineOf, isGivenUp, type ObservedDeployment } from "./observed.ts";
import type { BudgetRecord, DeploymentRecord, ServiceRecord, SliceRecord } from "./records.ts";
import type { DeploymentOwner } from "./revision.ts";
import { planRollout } from "./rollout.ts";
import { type ActivatorView, mayHaveNoPods, NO_ACTIVATOR, planActivatorSlice } from "./scaling/activator-slice.ts";
import type { Activators } from "./scaling/activators.ts";
import type { Autoscaler } from "./scaling/autoscaler.ts";
import { type AutoscalerRecord, planClusterAutoscaler } from "./scaling/cluster-autoscaler.ts";
import type { Ports } from "./scaling/ports.ts";
import { scalingTarget } from "./scaling/target.ts";
import { ANALYSIS_SECONDS } from "./rollout/decide.ts";
import { Routes } from "./route/routes.ts";
import { type Situation, situation } from "./situation.ts";
import { deploymentStatus } from "./status.ts";

/** Index of pods and EndpointSlices by what they belong to. */
export const BY_DEPLOYMENT = "deployment";
export const BY_SERVICE = "service";
/** Index of the slices that lead to the activators. */
export const ACTIVATOR_SLICES = "activator";

export interface DeploymentStores {
  readonly configMaps: Store<ConfigMapRecord>;
  readonly deployments: Store<DeploymentRecord>;
  readonly services: Store<ServiceRecord>;
  readonly budgets: Store<BudgetRecord>;
  readonly autoscalers: Store<AutoscalerRecord>;
  readonly slices: Store<SliceRecord>;
  readonly pods: Store<PodRecord>;
}

export interface DeploymentReconcilerOptions {
  readonly client: Client;
  readonly children: Children;
  readonly consistency: ConsistencyTracker;
  readonly events: Pick<EventRecorder, "record">;
  readonly reports: Reports;
  readonly autoscaler: Autoscaler;
  readonly traffic: TrafficProber;
  /** Undefined where no activator is installed. */
  readonly activators: Activators | undefined;
  readonly ports: Ports | undefined;
  readonly config: OperatorConfig;
  readonly clock: Clock;
  readonly informer: Informer<DeploymentOwner>;
  readonly stores: DeploymentStores;
  readonly lookup: (namespace: string) => JobLookup;
  readonly kueue: Pick<Kueue, "presence" | "workloadAdmission">;
}

/** Children of a new object come first; what its status says then is already of what became of them. */
const FIRST_STATUS_SECONDS = 0.1;
const REFUSED_SECONDS = 15;
const STALE_SECONDS = 0.5;
/** How often it is seen whether a GPU was waited for long enough. */
const GPU_SECONDS = 15;
/** So many pods are asked in one pass; the others in the next. */
const MOST_PROBES = 32;

export class DeploymentReconciler {
  readonly #options: DeploymentReconcilerOptions;
  readonly #routes: Routes;

  constructor(options: DeploymentReconcilerOptions) {
    this.#options = options;
    this.#routes = new Routes(options.client, options.children);
  }

  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult | void> {
    const owner = this.#options.informer.store.getByKey(key);
    // Children go with their owner.
    if (owner === undefined || owner.metadata.deletionTimestamp !== undefined) {
      this.#options.autoscaler.forget(key);
      return;
    }
    const { signal } = context;
    // What was known of its queue must not be forgotten by a restart.
    const queued = owner.spec.queueName !== undefined;
    if (queued && this.#options.kueue.presence === undefined) return { requeueAfterSeconds: STALE_SECONDS };
    const { observed, unsettled } = await this.#observe(owner, signal);
    const seen = situation(observed);
    const target = scalingTarget(key, seen);
    if (target === undefined) this.#options.autoscaler.forget(key);
    else this.#options.autoscaler.watch(target);
    // Who holds requests is told before pods go.
    const writes = [...planActivatorSlice(seen), ...planRollout(seen), ...planClusterAutoscaler(observed)];
    const unqueued = queued && this.#options.kueue.presence === "Absent" ? ungated(writes) : undefined;
    const written =
      unqueued === undefined
        ? await this.#options.children.write(key, owner, writes, signal)
        : { notes: [], refusal: unqueued, stale: false };
    if (isNew(owner) && writes.length > 0 && written.refusal === undefined) {
      this.#tell(owner, written.notes, context);
      return { requeueAfterSeconds: FIRST_STATUS_SECONDS };
    }
    const route = await this.#routes.keep(owner, signal);
    const { status, notes } = deploymentStatus(seen, written.refusal, route?.state);
    await this.#report(key, owner, status, [...written.notes, ...notes], context);
    if (written.stale) return { requeueAfterSeconds: STALE_SECONDS };
    const delays = [...delaysOf(seen), ...(unsettled ? [PROBE_SECONDS] : [])];
    if (route !== undefined) delays.push(route.requeueAfterSeconds);
    if (written.refusal?.mayPass === true) delays.push(REFUSED_SECONDS);
    return delays.length === 0 ? undefined : { requeueAfterSeconds: Math.min(...delays) };
  }

  async #observe(
    owner: Stored<DeploymentOwner>,
    signal: AbortSignal,
  ): Promise<{ observed: ObservedDeployment; unsettled: boolean }> {
    const { client, stores, config, clock, lookup, kueue } = this.#options;
    const { uid, namespace } = owner.metadata;
    const key = keyOfObject(owner);
    const found = stores.pods.byIndex(BY_DEPLOYMENT, key).filter(isOfReplicaSet);
    const slow = await withVolumeProblem(client, found, clock.now(), signal);
    const pods = slow.map((pod) =>
      pod.queue === undefined ? pod : { ...pod, admission: kueue.workloadAdmission(pod.queue, pod.metadata.uid) },
    );
    const { reports, unsettled } = await this.#ask(pods);
    const observed = {
      owner,
      resolution: resolveModel(owner.spec.model, owner, lookup(namespace)),
      config,
      now: clock.now(),
      configMaps: stores.configMaps.byOwner(uid),
      deployments: stores.deployments.byOwner(uid),
      services: stores.services.byOwner(uid),
      budgets: stores.budgets.byOwner(uid),
      autoscalers: stores.autoscalers.byOwner(uid),
      slices: stores.slices.byIndex(BY_SERVICE, key),
      pods,
      reports,
      traffic: await this.#askTraffic(pods),
      scaling: this.#options.autoscaler.view(key),
      activator: this.#activator(owner),
    };
    return { observed, unsettled };
  }

  #activator(owner: Stored<DeploymentOwner>): ActivatorView {
    const { activators, ports, stores } = this.#options;
    if (activators === undefined || ports === undefined) return NO_ACTIVATOR;
    const { addresses } = activators;
    if (!mayHaveNoPods(owner)) return { addresses, listens: false };
    const slices = stores.slices.byIndex(ACTIVATOR_SLICES, "true");
    const taken = new Map(slices.flatMap((slice) => (slice.port === undefined ? [] : [[slice.port, ownerUid(slice)]])));
    const own = slices.find((slice) => ownerUid(slice) === owner.metadata.uid)?.port;
    const port = own ?? ports.allocate(owner.metadata.uid, taken);
    return { addresses, port, listens: port !== undefined && activators.listen(port) };
  }

  async #ask(pods: readonly PodRecord[]) {
    const running = pods.filter((pod) => pod.running && pod.metadata.deletionTimestamp === undefined);
    const reports = new Map<string, ServingProgress>();
    let probes = 0;
    let unsettled = false;
    await Promise.all(
      running.map(async (pod) => {
        const settled = this.#options.reports.settled(pod);
        if (!settled && ++probes > MOST_PROBES) {
          unsettled = true;
          return;
        }
        const report = await this.#options.reports.of(pod);
        if (report?.kind === "ServingProgress" && report.revision === pod.metadata.labels?.[LABELS.revision]) {
          reports.set(pod.metadata.uid, report);
        }
        if (!this.#options.reports.settled(pod)) unsettled = true;
      }),
    );
    return { reports, unsettled };
  }

  /** Of the pods that were told to share requests, or to keep figures of them. */
  async #askTraffic(pods: readonly PodRecord[]): Promise<ReadonlyMap<string, TrafficReport>> {
    const asked = pods.filter(({ traffic, ready, ip }) => traffic !== undefined && ready && ip !== undefined);
    const answers = await Promise.all(
      asked.map(async ({ metadata, ip = "" }) => [metadata.uid, await this.#options.traffic.report(ip)] as const),
    );
    return new Map(answers.flatMap(([uid, report]) => (report === undefined ? [] : [[uid, report] as const])));
  }

  async #report(
    key: string,
    owner: Stored<DeploymentOwner>,
    status: object,
    notes: readonly Note[],
    context: ReconcileContext,
  ): Promise<void> {
    const { client, consistency, informer } = this.#options;
    const { name, namespace, uid } = owner.metadata;
    if (canonicalJson(status) !== canonicalJson(owner.status)) {
      const intent = { metadata: { name, namespace, uid }, status };
      const written = await client.applyStatus<KubernetesObject>(Kinds.ModelDeployment, intent, {
        signal: context.signal,
      });
      consistency.wrote(key, informer, written);
    }
    this.#tell(owner, notes, context);
  }

  #tell(object: Stored<DeploymentOwner>, notes: readonly Note[], { logger }: ReconcileContext): void {
    for (const { type, reason, message } of notes) {
      logger.info(message, { reason });
      const resource = Kinds.ModelDeployment;
      this.#options.events.record({ resource, object, type, reason, action: "Reconcile", note: message });
    }
  }
}

/** Without Kueue nobody would gate the pods of a new revision: it waits. What runs goes on. */
function ungated(writes: readonly Write[]): Refusal | undefined {
  const fresh = writes.find(({ verb, resource }) => verb === "create" && resource.kind === "Deployment");
  if (fresh?.verb !== "create") return undefined;
  const failure = { reason: "KueueNotInstalled", message: NOT_INSTALLED } as const;
  return { failure, child: fresh.object.metadata.name, mayPass: true };
}

/** Nothing has been said of it yet. */
function isNew({ status }: DeploymentOwner): boolean {
  return status?.conditions === undefined;
}

function ownerUid(record: Identified): string {
  return controllerOf(record)?.uid ?? "";
}

/** Pods of Deployments; any other with our labels was made by somebody else. */
function isOfReplicaSet(pod: PodRecord): boolean {
  const controller = controllerOf(pod);
  const revision = pod.metadata.labels?.[LABELS.revision];
  return controller?.kind === "ReplicaSet" && revision !== undefined && controller.name.startsWith(`${revision}-`);
}

/** Seconds after which time alone may change the decision. */
function delaysOf(situation: Situation): number[] {
  const { observed, views, front, stable, update, decision, watch } = situation;
  const delays: number[] = observed.pods.some(waitsForStart) ? [VOLUME_SECONDS] : [];
  if (decision?.share !== undefined || watch !== undefined) delays.push(ANALYSIS_SECONDS);
  for (const view of views.values()) {
    const current = view.name === stable || (view.name === update && !isGivenUp(view));
    const { wanted = 0, ready = 0 } = view.deployment ?? {};
    if (!current && wanted > 0 && front !== undefined) delays.push(MOVE_SECONDS / 5);
    const deadline = deadlineOf(observed, view);
    if (current && deadline !== undefined && wanted > 0 && ready < wanted) {
      // How long a GPU is waited for ends at another time.
      delays.push(deadline > observed.now ? Math.min((deadline - observed.now) / 1000, GPU_SECONDS) : GPU_SECONDS);
    }
  }
  return delays;
}
