/** The operator: informers, and a controller for each kind. */
import type { IJob } from "kubernetes-models/batch/v1/Job";
import { LABELS, MANAGED_BY } from "../crds/contract/names.ts";
import { GROUP } from "../crds/common.ts";
import { Children } from "./children.ts";
import type { OperatorConfig } from "./config.ts";
import type { Client } from "./kernel/client.ts";
import { type Clock, systemClock } from "./kernel/clock.ts";
import { ConsistencyTracker } from "./kernel/consistency.ts";
import { Controller, type Reconcile } from "./kernel/controller.ts";
import { EventRecorder } from "./kernel/events.ts";
import { enqueueMapped, enqueueOwner, enqueueSelf } from "./kernel/handlers.ts";
import { type Change, Informer } from "./kernel/informer.ts";
import type { Logger } from "./kernel/logger.ts";
import type { LeaderTask, ManagedInformer } from "./kernel/manager.ts";
import { controllerOf, type Identified, keyOf, type KubernetesObject, type Stored } from "./kernel/meta.ts";
import type { Metrics } from "./kernel/metrics.ts";
import { WorkQueue } from "./kernel/queue.ts";
import { type Resource, Resources } from "./kernel/resource.ts";
import type { Store } from "./kernel/store.ts";
import { Kinds } from "./kinds.ts";
import { Kueue } from "./kueue/kueue.ts";
import { ACTIVATOR_SLICES, BY_DEPLOYMENT, BY_SERVICE, DeploymentReconciler } from "./model-deployment/reconciler.ts";
import { budgetRecord, deploymentRecord, serviceRecord, sliceRecord } from "./model-deployment/records.ts";
import type { DeploymentOwner } from "./model-deployment/revision.ts";
import { Activators, type AskActivator } from "./model-deployment/scaling/activators.ts";
import { Autoscaler } from "./model-deployment/scaling/autoscaler.ts";
import { autoscalerRecord } from "./model-deployment/scaling/cluster-autoscaler.ts";
import { type PortRange, Ports } from "./model-deployment/scaling/ports.ts";
import { baseSourceKeys, type JobLookup, sourceKey, sourceKeys } from "./model-reference.ts";
import { optimizationJobKind, type OptimizationJobOwner } from "./optimization-job/optimization-job.ts";
import { type PodRecord, podRecord } from "./pods/pod-record.ts";
import { HttpLoadProber, type LoadProber } from "./pods/load-prober.ts";
import type { Prober } from "./pods/prober.ts";
import { HttpTrafficProber, type TrafficProber } from "./pods/traffic-prober.ts";
import { Reports } from "./pods/reports.ts";
import { HorizontalPodAutoscaler, PodDisruptionBudget } from "./resources.ts";
import { DepartedPods } from "./runs/departed.ts";
import { configMapRecord, jobRecord } from "./runs/job-record.ts";
import { RunReconciler } from "./runs/reconciler.ts";
import { trainingJobKind, type TrainingJobOwner } from "./training-job/training-job.ts";

export interface OperatorOptions {
  readonly client: Client;
  readonly config: OperatorConfig;
  readonly prober: Prober;
  /** Default: asks the pods' management port. */
  readonly loads?: LoadProber | undefined;
  /** Default: asks the pods' management port. */
  readonly traffic?: TrafficProber | undefined;
  /** Where the activators are; undefined where there are none. */
  readonly activator?: ActivatorInstallation | undefined;
  /** Empty: all namespaces. */
  readonly namespaces: readonly string[];
  /** Name of this process, for events. */
  readonly instance: string;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly clock?: Clock | undefined;
}

export interface ActivatorInstallation {
  /** Of the Service whose endpoints they are. */
  readonly namespace: string;
  readonly service: string;
  readonly ports: PortRange;
  readonly ask: AskActivator;
}

export interface Operator {
  readonly informers: readonly ManagedInformer[];
  readonly controllers: readonly Controller[];
  readonly events: EventRecorder;
  readonly tasks: readonly LeaderTask[];
}

const BY_SOURCE = "source";
/** Children change in bursts while pods start: what comes within this time is one reconcile. */
const GATHER = { gatherSeconds: 0.1 } as const;
const SERVICE_NAME = "kubernetes.io/service-name";

export function createOperator(options: OperatorOptions): Operator {
  const { client, config, logger, namespaces, metrics, clock = systemClock } = options;
  // A thousand models have several thousand objects, of which a reconcile looks at a few.
  const common = { client, namespaces, logger, clock, observer: metrics?.informers, compact: true };
  const selected = { ...common, labelSelector: `${LABELS.managedBy}=${MANAGED_BY}` };
  const source = { [BY_SOURCE]: sourceKeys };

  const trainingJobs = new Informer<TrainingJobOwner>({
    ...common,
    resource: as(Kinds.TrainingJob),
    indexes: { [BY_SOURCE]: baseSourceKeys },
  });
  const optimizationJobs = new Informer<OptimizationJobOwner>({
    ...common,
    resource: as(Kinds.OptimizationJob),
    indexes: source,
  });
  const modelDeployments = new Informer<DeploymentOwner>({
    ...common,
    resource: as(Kinds.ModelDeployment),
    indexes: source,
  });
  const children = {
    configmaps: new Informer({ ...selected, resource: Resources.ConfigMap, project: configMapRecord }),
    jobs: new Informer({ ...selected, resource: Resources.Job, project: (job: Stored<IJob>) => jobRecord(job) }),
    pods: new Informer({
      ...selected,
      resource: Resources.Pod,
      project: podRecord,
      indexes: { [BY_DEPLOYMENT]: ({ metadata }) => labelKey(metadata, LABELS.modelDeployment) },
    }),
    deployments: new Informer({ ...selected, resource: Resources.Deployment, project: deploymentRecord }),
    services: new Informer({ ...selected, resource: Resources.Service, project: serviceRecord }),
    poddisruptionbudgets: new Informer({ ...selected, resource: PodDisruptionBudget, project: budgetRecord }),
    horizontalpodautoscalers: new Informer({
      ...selected,
      resource: HorizontalPodAutoscaler,
      project: autoscalerRecord,
    }),
    endpointslices: new Informer({
      ...selected,
      resource: Resources.EndpointSlice,
      project: sliceRecord,
      indexes: {
        [BY_SERVICE]: ({ metadata }) => labelKey(metadata, SERVICE_NAME),
        [ACTIVATOR_SLICES]: ({ metadata }) => [metadata.labels?.[LABELS.activator] ?? ""],
      },
    }),
  };

  const consistency = { training: tracker(clock), optimization: tracker(clock), deployment: tracker(clock) };
  const writer = (of: ConsistencyTracker) => new Children({ client, consistency: of, informers: children });
  const reports = new Reports(options.prober, clock);
  const events = new EventRecorder({
    client,
    controller: `${GROUP}/operator`,
    instance: options.instance,
    clock,
    logger,
  });
  const kueue = new Kueue({ client, namespaces, clock, logger });
  const shared = { client, events, reports, config, clock, kueue };

  const lookup =
    (namespace: string): JobLookup =>
    (kind, name) =>
      (kind === "TrainingJob" ? trainingJobs : optimizationJobs).store.get(namespace, name);

  const queueOf = (name: string) => new WorkQueue({ name, clock, observer: metrics?.queue(name) });
  const queues = {
    trainingjob: queueOf("trainingjob"),
    optimizationjob: queueOf("optimizationjob"),
    modeldeployment: queueOf("modeldeployment"),
  };
  const autoscaler = new Autoscaler({
    prober: options.loads ?? new HttpLoadProber(),
    clock,
    held: (port) => activators?.held(port) ?? 0,
    changed: (key) => queues.modeldeployment.add(key),
  });
  const activatorPods =
    options.activator &&
    new Informer({
      ...common,
      resource: Resources.EndpointSlice,
      namespaces: [options.activator.namespace],
      labelSelector: `${SERVICE_NAME}=${options.activator.service}`,
      project: sliceRecord,
    });
  const listening = (port: number) => {
    for (const slice of children.endpointslices.store.byIndex(ACTIVATOR_SLICES, "true")) {
      const owner = controllerOf(slice);
      if (slice.port === port && owner) queues.modeldeployment.add(keyOf(slice.metadata.namespace, owner.name));
    }
  };
  const activators =
    options.activator &&
    activatorPods &&
    new Activators({
      clock,
      ask: options.activator.ask,
      addresses: () => activatorPods.store.list().flatMap(({ addresses }) => addresses),
      demanded: (port) => autoscaler.demanded(port),
      listening,
    });
  // Slices that name the activators follow them.
  activatorPods?.onChange(() => {
    for (const slice of children.endpointslices.store.byIndex(ACTIVATOR_SLICES, "true")) {
      if (slice.port !== undefined) listening(slice.port);
    }
  });

  const departed = new DepartedPods(children.jobs.store);
  const runStores = {
    configMaps: children.configmaps.store,
    jobs: children.jobs.store,
    services: children.services.store,
    pods: children.pods.store,
  };
  const training = new RunReconciler(trainingJobKind(trainingJobs, lookup), {
    ...shared,
    consistency: consistency.training,
    children: writer(consistency.training),
    stores: runStores,
    departed,
  });
  const optimization = new RunReconciler(optimizationJobKind(optimizationJobs, lookup), {
    ...shared,
    consistency: consistency.optimization,
    children: writer(consistency.optimization),
    stores: runStores,
    departed,
  });
  const deployment = new DeploymentReconciler({
    ...shared,
    consistency: consistency.deployment,
    children: writer(consistency.deployment),
    informer: modelDeployments,
    autoscaler,
    traffic: options.traffic ?? new HttpTrafficProber(),
    activators,
    ports: options.activator && new Ports(options.activator.ports),
    lookup,
    stores: {
      ...runStores,
      deployments: children.deployments.store,
      services: children.services.store,
      budgets: children.poddisruptionbudgets.store,
      autoscalers: children.horizontalpodautoscalers.store,
      slices: children.endpointslices.store,
    },
  });

  const controllerOfKind = (name: keyof typeof queues, reconcile: Reconcile, of: ConsistencyTracker) =>
    new Controller({
      name,
      queue: queues[name],
      // Most of a reconcile is waiting for the API server.
      concurrency: 16,
      reconcile,
      consistency: of,
      clock,
      logger,
      metrics: metrics?.controller(name),
    });

  trainingJobs.onChange(kueue.follow("TrainingJob"));
  optimizationJobs.onChange(kueue.follow("OptimizationJob"));
  modelDeployments.onChange(kueue.follow("ModelDeployment"));
  const QUEUE_BY_LABEL = [
    [LABELS.trainingJob, queues.trainingjob],
    [LABELS.optimizationJob, queues.optimizationjob],
    [LABELS.modelDeployment, queues.modeldeployment],
  ] as const;
  kueue.onWorkload(({ before, after }) => {
    const workload = after ?? before;
    const of = workload && controllerOf(workload);
    if (of === undefined) return;
    const { store } = of.kind === "Job" ? children.jobs : children.pods;
    const child = store.get(workload?.metadata.namespace ?? "", of.name);
    for (const [label, queue] of QUEUE_BY_LABEL) {
      if (child !== undefined) for (const key of labelKey(child.metadata, label)) queue.add(key);
    }
  });
  kueue.onPresence(() => {
    for (const job of queued(trainingJobs.store)) queues.trainingjob.add(keyOfRecord(job));
    for (const job of queued(optimizationJobs.store)) queues.optimizationjob.add(keyOfRecord(job));
    for (const deployment of queued(modelDeployments.store)) queues.modeldeployment.add(keyOfRecord(deployment));
  });

  trainingJobs.onChange(enqueueSelf(queues.trainingjob, GATHER));
  optimizationJobs.onChange(enqueueSelf(queues.optimizationjob, GATHER));
  modelDeployments.onChange(enqueueSelf(queues.modeldeployment, GATHER));

  const toTraining = enqueueOwner<Identified>(queues.trainingjob, Kinds.TrainingJob, GATHER);
  const toOptimization = enqueueOwner<Identified>(queues.optimizationjob, Kinds.OptimizationJob, GATHER);
  const toDeployment = enqueueOwner<Identified>(queues.modeldeployment, Kinds.ModelDeployment, GATHER);
  for (const handler of [toTraining, toOptimization, toDeployment]) children.configmaps.onChange(handler);
  for (const handler of [toTraining, toOptimization]) children.jobs.onChange(handler);
  children.deployments.onChange(toDeployment);
  for (const handler of [toTraining, toDeployment]) children.services.onChange(handler);
  children.poddisruptionbudgets.onChange(toDeployment);
  children.horizontalpodautoscalers.onChange(toDeployment);

  children.pods.onChange(
    enqueueMapped(queues.trainingjob, ({ metadata }) => labelKey(metadata, LABELS.trainingJob), GATHER),
  );
  children.pods.onChange(
    enqueueMapped(queues.optimizationjob, ({ metadata }) => labelKey(metadata, LABELS.optimizationJob), GATHER),
  );
  children.pods.onChange(
    enqueueMapped(queues.modeldeployment, ({ metadata }) => labelKey(metadata, LABELS.modelDeployment), GATHER),
  );
  children.pods.onChange((change) => departed.podChanged(change));
  children.jobs.onChange((change) => departed.jobChanged(change));
  children.pods.onChange(({ after, before }: Change<PodRecord>) => {
    if (after === undefined && before !== undefined) reports.forget(before.metadata.uid);
  });
  children.endpointslices.onChange(
    enqueueMapped(queues.modeldeployment, ({ metadata }) => labelKey(metadata, SERVICE_NAME), GATHER),
  );

  /** Those who follow a job learn of its new artefact, and of its coming and going. */
  const follow = (kind: "TrainingJob" | "OptimizationJob") => (change: Change<Identified & SourceStatus>) => {
    const { before, after } = change;
    const record = after ?? before;
    if (record === undefined || (before && after && sourceText(before) === sourceText(after))) return;
    const key = sourceKey(kind, record.metadata.namespace, record.metadata.name);
    for (const follower of trainingJobs.store.byIndex(BY_SOURCE, key)) queues.trainingjob.add(keyOfRecord(follower));
    for (const follower of optimizationJobs.store.byIndex(BY_SOURCE, key))
      queues.optimizationjob.add(keyOfRecord(follower));
    for (const follower of modelDeployments.store.byIndex(BY_SOURCE, key))
      queues.modeldeployment.add(keyOfRecord(follower));
  };
  trainingJobs.onChange(follow("TrainingJob"));
  optimizationJobs.onChange(follow("OptimizationJob"));

  return {
    informers: [
      trainingJobs,
      optimizationJobs,
      modelDeployments,
      ...Object.values(children),
      ...(activatorPods ? [activatorPods] : []),
    ],
    controllers: [
      controllerOfKind("trainingjob", (key, context) => training.reconcile(key, context), consistency.training),
      controllerOfKind(
        "optimizationjob",
        (key, context) => optimization.reconcile(key, context),
        consistency.optimization,
      ),
      controllerOfKind("modeldeployment", (key, context) => deployment.reconcile(key, context), consistency.deployment),
    ],
    events,
    tasks: [
      (signal) => kueue.run(signal),
      (signal) => autoscaler.run(signal),
      async (signal) => activators?.run(signal),
    ],
  };
}

/** Those that name a queue. */
function queued<T extends Identified & { spec: { queueName?: string | undefined } }>(store: Store<T>): T[] {
  return store.list().filter(({ spec }) => spec.queueName !== undefined);
}

interface SourceStatus {
  readonly status?:
    | { readonly artefact?: { readonly digest: string } | undefined; readonly state?: string | undefined }
    | undefined;
}

/** What followers look at. */
function sourceText({ status }: SourceStatus): string {
  return `${status?.artefact?.digest ?? ""} ${status?.state ?? ""}`;
}

function keyOfRecord({ metadata }: Identified): string {
  return keyOf(metadata.namespace, metadata.name);
}

function labelKey({ namespace, labels }: Identified["metadata"], label: string): string[] {
  const name = labels?.[label];
  return name === undefined ? [] : [keyOf(namespace, name)];
}

function tracker(clock: Clock): ConsistencyTracker {
  return new ConsistencyTracker({ clock });
}

/** What the API server returns is more certain than what one sends. */
function as<T extends KubernetesObject>(resource: Resource<KubernetesObject>): Resource<T> {
  return resource as Resource<T>;
}
