/** Keeps a job's run as its spec asks, and its status true: observe, decide, write. */
import { canonicalJson } from "../../crds/contract/canonical.ts";
import type { Children } from "../children.ts";
import type { OperatorConfig } from "../config.ts";
import type { Client } from "../kernel/client.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ConsistencyTracker } from "../kernel/consistency.ts";
import type { ReconcileContext, ReconcileResult } from "../kernel/controller.ts";
import type { EventRecorder } from "../kernel/events.ts";
import type { Informer } from "../kernel/informer.ts";
import type { Identified, KubernetesObject, Stored } from "../kernel/meta.ts";
import type { Resource } from "../kernel/resource.ts";
import type { Store } from "../kernel/store.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import { PROBE_SECONDS, type Reports } from "../pods/reports.ts";
import { VOLUME_SECONDS, waitsForStart, withVolumeProblem } from "../pods/volumes.ts";
import type { Admission } from "../kueue/admission.ts";
import type { Kueue } from "../kueue/kueue.ts";
import type { Note } from "../reasons.ts";
import type { DepartedPods } from "./departed.ts";
import type { ConfigMapRecord, JobRecord } from "./job-record.ts";
import { type JobOwner, type JobRun, queueOf } from "./objects.ts";
import { currentJob, type JobReport, type ObservedRun } from "./observed.ts";
import { CoreEvent } from "../resources.ts";
import { planRun } from "./plan.ts";
import { type RunOutcome, runStatus } from "./status.ts";

/** What differs between the kinds of job. */
export interface JobKind<O extends JobOwner & KubernetesObject> {
  readonly resource: Resource<O>;
  readonly informer: Informer<O>;
  /** The run that the spec asks for, or the status of an object whose run cannot be known yet. */
  run(
    owner: Stored<O>,
    now: number,
  ): { readonly run: JobRun } | { readonly status: object; readonly notes: readonly Note[] };
  /** The whole status, from the common part and what the pod said. */
  status(owner: Stored<O>, run: JobRun, outcome: RunOutcome): object;
  /** Events of this kind alone. */
  notes(owner: Stored<O>, outcome: RunOutcome): readonly Note[];
}

export interface RunStores {
  readonly configMaps: Store<ConfigMapRecord>;
  readonly jobs: Store<JobRecord>;
  /** Headless ones of runs with several workers. */
  readonly services: Pick<Store<Identified>, "byOwner">;
  readonly pods: Store<PodRecord>;
}

export interface ReconcilerOptions {
  readonly client: Client;
  readonly children: Children;
  readonly consistency: ConsistencyTracker;
  readonly events: Pick<EventRecorder, "record">;
  readonly reports: Reports;
  readonly config: OperatorConfig;
  readonly clock: Clock;
  readonly stores: RunStores;
  readonly departed: DepartedPods;
  readonly kueue: Pick<Kueue, "presence" | "admission" | "workloadAdmission">;
}

/** How long after a refusal that may pass it is tried again. */
const REFUSED_SECONDS = 15;
const STALE_SECONDS = 0.5;
/** How often the place in a queue is asked for. */
const QUEUE_SECONDS = 10;
/** How soon a Job must have pods before its events are looked at. */
const PODLESS_SECONDS = 5;

export class RunReconciler<O extends JobOwner & KubernetesObject> {
  readonly #kind: JobKind<O>;
  readonly #options: ReconcilerOptions;

  constructor(kind: JobKind<O>, options: ReconcilerOptions) {
    this.#kind = kind;
    this.#options = options;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult | void> {
    const owner = this.#kind.informer.store.getByKey(key);
    // Children go with their owner.
    if (owner === undefined || owner.metadata.deletionTimestamp !== undefined) return;
    const { signal } = context;
    const wanted = this.#kind.run(owner, this.#options.clock.now());
    if (!("run" in wanted)) {
      await this.#report(key, owner, wanted.status, wanted.notes, context);
      return;
    }
    // What was known of its queue must not be forgotten by a restart.
    if (isQueued(owner) && this.#options.kueue.presence === undefined) return { requeueAfterSeconds: STALE_SECONDS };
    const observed = await this.#observe(owner, wanted.run, signal);
    const written = await this.#options.children.write(key, owner, planRun(observed), signal);
    const outcome = runStatus(observed, written.refusal);
    const status = this.#kind.status(owner, wanted.run, outcome);
    const notes = [...written.notes, ...outcome.notes, ...this.#kind.notes(owner, outcome)];
    await this.#report(key, owner, status, notes, context);
    const gone = this.#options.departed.forget([...observed.pods, ...observed.formerPods]);
    if (written.stale || gone) return { requeueAfterSeconds: STALE_SECONDS };
    if (written.refusal?.mayPass === true) return { requeueAfterSeconds: REFUSED_SECONDS };
    return requeue(observed);
  }

  async #observe(owner: Stored<O>, run: JobRun, signal: AbortSignal): Promise<ObservedRun> {
    const { stores, config, clock, departed } = this.#options;
    const { uid } = owner.metadata;
    const jobs = stores.jobs.byOwner(uid);
    const job = jobs.find((candidate) => candidate.metadata.name === run.job.run);
    const podsOf = (one: JobRecord) => [...stores.pods.byOwner(one.metadata.uid), ...departed.of(one.metadata.uid)];
    const found = job === undefined ? [] : podsOf(job);
    const pods = await withVolumeProblem(this.#options.client, found, clock.now(), signal);
    const formerPods = jobs.filter((other) => other !== job).flatMap(podsOf);
    const configMaps = stores.configMaps.byOwner(uid);
    const services = stores.services.byOwner(uid);
    const base = { owner, run, config, now: clock.now(), configMaps, jobs, services, pods, formerPods };
    const [report, podRefusal, admission] = await Promise.all([
      this.#ask(pods, run),
      this.#podRefusal(base, signal),
      this.#admission(job, signal),
    ]);
    return { ...base, report, podRefusal, admission };
  }

  async #admission(job: JobRecord | undefined, signal: AbortSignal): Promise<Admission | undefined> {
    const queue = job && queueOf(job.metadata);
    if (job === undefined || queue === undefined) return undefined;
    const { kueue } = this.#options;
    const { uid, namespace = "" } = job.metadata;
    return job.suspend ? kueue.admission(queue, namespace, uid, signal) : kueue.workloadAdmission(queue, uid);
  }

  async #ask(pods: readonly PodRecord[], run: JobRun): Promise<JobReport | undefined> {
    // The first of several workers speaks for all.
    const running = pods.find(
      (pod) => pod.running && (pod.worker ?? 0) === 0 && pod.metadata.deletionTimestamp === undefined,
    );
    if (running === undefined) return undefined;
    const report = await this.#options.reports.of(running);
    return report === undefined || report.kind === "ServingProgress" || report.run !== run.job.run ? undefined : report;
  }

  async #podRefusal(observed: ObservedRun, signal: AbortSignal): Promise<string | undefined> {
    return isPodless(observed) ? podCreationFailure(this.#options.client, currentJob(observed), signal) : undefined;
  }

  async #report(
    key: string,
    owner: Stored<O>,
    status: object,
    notes: readonly Note[],
    { signal, logger }: ReconcileContext,
  ): Promise<void> {
    const { client, consistency, events } = this.#options;
    const { name, namespace, uid } = owner.metadata;
    if (canonicalJson(status) !== canonicalJson(owner.status)) {
      const intent = { metadata: { name, namespace, uid }, status };
      const written = await client.applyStatus<KubernetesObject>(this.#kind.resource, intent, { signal });
      consistency.wrote(key, this.#kind.informer, written);
    }
    for (const { type, reason, message } of notes) {
      logger.info(message, { reason });
      events.record({ resource: this.#kind.resource, object: owner, type, reason, action: "Reconcile", note: message });
    }
  }
}

/** The Job is under way for a while, and still has no pod. */
function isPodless(observed: ObservedRun): boolean {
  const job = currentJob(observed);
  if (job === undefined || job.suspend || job.complete || job.failure !== undefined) return false;
  const age = (observed.now - Date.parse(job.startTime ?? job.createdAt)) / 1000;
  return observed.pods.length === 0 && age >= PODLESS_SECONDS;
}

/** Its status depends on what Kueue says. */
function isQueued({ spec, status }: JobOwner): boolean {
  return spec.queueName !== undefined && status?.state !== "Succeeded" && status?.state !== "Failed";
}

function requeue(observed: ObservedRun): ReconcileResult | undefined {
  if (observed.pods.some((pod) => pod.running)) return { requeueAfterSeconds: PROBE_SECONDS };
  if (observed.pods.some(waitsForStart)) return { requeueAfterSeconds: VOLUME_SECONDS };
  const job = currentJob(observed);
  if (job?.suspend === true && mayHaveAPlace(observed.admission)) return { requeueAfterSeconds: QUEUE_SECONDS };
  const active = job !== undefined && !job.suspend && !job.complete && job.failure === undefined;
  return active && observed.pods.length === 0 ? { requeueAfterSeconds: PODLESS_SECONDS } : undefined;
}

/** Places come and change without a word. */
function mayHaveAPlace(admission: Admission | undefined): boolean {
  return admission !== undefined && admission.reason !== "KueueNotInstalled";
}

/** The Job controller tells only in events why it cannot create pods. */
async function podCreationFailure(
  client: Client,
  job: JobRecord | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (job === undefined) return undefined;
  const { items } = await client.list(CoreEvent, {
    namespace: job.metadata.namespace,
    fieldSelector: `involvedObject.uid=${job.metadata.uid},reason=FailedCreate`,
    signal,
  });
  return items.at(-1)?.message?.replace(/^Error creating: /, "");
}
