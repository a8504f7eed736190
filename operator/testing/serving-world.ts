/** A cluster in memory for rollouts: it carries out writes, and plays the controllers and kubelets of Kubernetes. */
import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";
import type { IPodDisruptionBudget } from "kubernetes-models/policy/v1/PodDisruptionBudget";
import type { IService } from "kubernetes-models/v1/Service";
import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import type { ServingProgress } from "../../crds/contract/progress.ts";
import { TRAFFIC_ANNOTATION, type TrafficDirective } from "../../crds/contract/traffic.ts";
import { LABELS } from "../../crds/contract/names.ts";
import type { ModelDeployment } from "../../crds/model-deployment.ts";
import { resolveModel } from "../model-reference.ts";
import type { KubernetesObject, Stored } from "../kernel/meta.ts";
import type { ObservedDeployment } from "../model-deployment/observed.ts";
import { type Situation, situation } from "../model-deployment/situation.ts";
import { budgetRecord, deploymentRecord, serviceRecord } from "../model-deployment/records.ts";
import { NO_ACTIVATOR } from "../model-deployment/scaling/activator-slice.ts";
import type { DeploymentOwner } from "../model-deployment/revision.ts";
import { planRollout } from "../model-deployment/rollout.ts";
import { deploymentStatus } from "../model-deployment/status.ts";
import type { Admission } from "../kueue/admission.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import type { Note } from "../reasons.ts";
import { configMapRecord } from "../runs/job-record.ts";
import type { Write } from "../writes.ts";
import { CONFIG, digest, modelDeployment, NOW, pod } from "./objects.ts";
import { type Answers, TrafficPlay } from "./traffic-play.ts";

/** What pods of a model do; the model is the last part of its URI. */
export type Behaviour = "good" | "crash" | "slow" | "noGpu" | Answers;

type Kept = Stored<KubernetesObject & { spec?: Record<string, unknown>; status?: Record<string, unknown> }>;

const EMPTY_SLICE = {
  metadata: { name: "slice", uid: "slice", resourceVersion: "1" },
  addressType: "IPv4",
  addresses: [],
  portNames: [],
} as const;

export class ServingWorld {
  owner: DeploymentOwner;
  now = NOW;
  image = CONFIG.runtimeImage;
  readonly notes: Note[] = [];
  readonly behaviours = new Map<string, Behaviour>();
  readonly traffic = new TrafficPlay();
  /** There is a GPU for so many pods of versions that need one. */
  gpus = Number.POSITIVE_INFINITY;
  /** Kueue holds back what has no GPU, for this reason. */
  held: Admission | undefined;
  readonly #objects = new Map<string, Kept>();
  #pods: PodRecord[] = [];
  #reports = new Map<string, ServingProgress>();
  /** As the EndpointSlice controller last saw them. */
  #endpoints: string[] = [];
  #serial = 0;

  constructor(spec: Record<string, unknown> = {}) {
    this.owner = modelDeployment(spec);
  }

  /** Changes the spec as a user does. */
  change(spec: Partial<ModelDeployment["spec"]>): void {
    const { metadata } = this.owner;
    this.owner = {
      ...this.owner,
      spec: { ...this.owner.spec, ...spec },
      metadata: { ...metadata, generation: metadata.generation + 1 },
    };
  }

  /** Asks for another model; its digest is named only where its number is odd. */
  model(name: string): void {
    const uri = `pvc://models/${name}`;
    const number = name.slice(-1);
    this.change({ model: Number(number) % 2 === 1 ? { uri, digest: digest(number) } : { uri } });
  }

  see(): Situation {
    return situation(this.#observed());
  }

  /** One reconcile that is cut off after so many writes; without a limit its status is written too. */
  reconcile(most = Number.POSITIVE_INFINITY): Write[] {
    const seen = this.see();
    const writes = planRollout(seen);
    for (const write of writes.slice(0, most)) {
      this.#write(write);
      if (write.note !== undefined) this.notes.push(write.note);
    }
    if (most >= writes.length) {
      const { status, notes } = deploymentStatus(seen, undefined);
      this.owner = { ...this.owner, status };
      this.notes.push(...notes);
    }
    return writes;
  }

  /** Lets Kubernetes do its part, and time pass. */
  kubernetes(seconds = 2): void {
    this.now += seconds * 1000;
    this.#endpoints = this.#readyPodsOf(this.selected);
    const kept: PodRecord[] = [];
    for (const deployment of this.#of("deployments")) {
      const { name } = deployment.metadata;
      const wanted = Number(deployment.spec?.["replicas"] ?? 1);
      const held = this.#pods.filter(({ metadata }) => metadata.labels?.[LABELS.revision] === name).slice(0, wanted);
      const fresh = Array.from({ length: wanted - held.length }, () => this.#pod(name));
      const pods = [...held, ...fresh].map((one) => this.#live(one, name));
      kept.push(...pods);
      const ready = pods.filter((one) => one.ready).length;
      const { generation: observedGeneration } = deployment.metadata;
      deployment.status = { observedGeneration, replicas: wanted, updatedReplicas: wanted, readyReplicas: ready };
    }
    this.#pods = kept;
    const reached = kept.filter(({ ready, metadata }) => ready && metadata.labels?.[LABELS.revision] === this.selected);
    this.traffic.pass(reached, seconds, (revision) => {
      const behaviour = this.#behaviour(revision);
      return typeof behaviour === "object" ? behaviour : {};
    });
  }

  /** What the pods that serve were told. */
  told(): (TrafficDirective | undefined)[] {
    return this.#pods
      .filter(({ metadata }) => metadata.labels?.[LABELS.revision] === this.selected)
      .map(({ traffic }) => (traffic === undefined ? undefined : (JSON.parse(traffic) as TrafficDirective)));
  }

  /** Reconciles and lets Kubernetes work until nothing more is written. */
  settle(): void {
    let quiet = 0;
    for (let round = 0; round < 200; round++) {
      quiet = this.reconcile().length === 0 ? quiet + 1 : 0;
      this.kubernetes(5);
      // Longer than anything is waited for but steps and deadlines.
      if (quiet > 8) return;
    }
    throw new Error("it never comes to rest");
  }

  /** The revision behind the Service. */
  get selected(): string | undefined {
    const service = this.#objects.get(`services/${this.owner.metadata.name}`) as IService | undefined;
    return service?.spec?.selector?.[LABELS.revision];
  }

  ready(revision: string | undefined): number {
    return this.#readyPodsOf(revision).length;
  }

  replicas(revision: string): number | undefined {
    const deployment = this.#objects.get(`deployments/${revision}`) as IDeployment | undefined;
    return deployment?.spec?.replicas;
  }

  names(plural: string): string[] {
    return this.#of(plural).map(({ metadata }) => metadata.name);
  }

  #of(plural: string): Kept[] {
    return [...this.#objects].filter(([key]) => key.startsWith(`${plural}/`)).map(([, object]) => object);
  }

  /** As the API server would return them: what is kept under a plural is of its kind. */
  #all<T extends KubernetesObject>(plural: string): Stored<T>[] {
    return this.#of(plural) as unknown as Stored<T>[];
  }

  #readyPodsOf(revision: string | undefined): string[] {
    return this.#pods
      .filter(({ ready, metadata }) => ready && metadata.labels?.[LABELS.revision] === revision)
      .map(({ metadata }) => metadata.name);
  }

  #pod(revision: string): PodRecord {
    const name = `${revision}-x-${this.#serial++}`;
    return pod({ name, labels: { [LABELS.revision]: revision, [LABELS.modelDeployment]: this.owner.metadata.name } });
  }

  #live(one: PodRecord, revision: string): PodRecord {
    const run = this.#run(revision);
    const uri = run.model?.uri ?? "";
    const model = uri.slice(uri.lastIndexOf("/") + 1);
    const behaviour = this.#behaviour(revision);
    if (behaviour === "noGpu" && this.#pods.filter(({ ready }) => ready).length >= this.gpus) {
      const queue = this.held && { gated: true, queue: "team-a", admission: this.held };
      if (!one.ready && queue !== undefined) return { ...one, ...queue };
      return one.ready ? one : { ...one, unschedulable: "0/1 nodes are available: 1 Insufficient nvidia.com/gpu." };
    }
    if (behaviour === "slow") return { ...one, running: true };
    if (behaviour === "crash")
      return {
        ...one,
        unschedulable: undefined,
        running: false,
        ready: false,
        restarts: one.restarts + 1,
        endedBefore: { exitCode: 66 },
      };
    this.#reports.set(one.metadata.uid, {
      kind: "ServingProgress",
      revision,
      state: "Serving",
      model: { uri, digest: run.model?.digest ?? digest(model.slice(-1)) },
    });
    return {
      ...one,
      unschedulable: undefined,
      gated: undefined,
      scheduledAt: one.scheduledAt ?? new Date(this.now).toISOString(),
      running: true,
      ready: true,
      readySince: one.readySince ?? new Date(this.now).toISOString(),
    };
  }

  #run(revision: string): { model?: { uri: string; digest?: string } } {
    const map = this.#objects.get(`configmaps/${revision}`) as IConfigMap | undefined;
    return JSON.parse(map?.data?.["job.json"] ?? "{}") as { model?: { uri: string; digest?: string } };
  }

  #behaviour(revision: string): Behaviour {
    const uri = this.#run(revision).model?.uri ?? "";
    return this.behaviours.get(uri.slice(uri.lastIndexOf("/") + 1)) ?? "good";
  }

  #write(write: Write): void {
    const { name } = "object" in write ? write.object.metadata : write.metadata;
    const key = `${write.resource.plural}/${name}`;
    const held = this.#objects.get(key);
    switch (write.verb) {
      case "create":
        if (held !== undefined) throw new Error(`${key} exists`);
        this.#objects.set(key, this.#stored(write.object, undefined));
        return;
      case "apply":
        if (held?.metadata.uid !== write.object.metadata.uid) throw new Error(`${key} is another one`);
        this.#objects.set(key, this.#stored(write.object, held));
        return;
      case "delete":
        if (write.resource.plural === "pods") this.#pods = this.#pods.filter(({ metadata }) => metadata.name !== name);
        else this.#objects.delete(key);
        return;
      case "patch": {
        const annotations = write.patch.metadata?.["annotations"] as Record<string, string | null> | undefined;
        const traffic = annotations?.[TRAFFIC_ANNOTATION] ?? undefined;
        this.#pods = this.#pods.map((one) => (one.metadata.name === name ? { ...one, traffic } : one));
        return;
      }
    }
  }

  #stored(object: KubernetesObject, held: Kept | undefined): Kept {
    const serial = this.#serial++;
    const metadata = {
      ...structuredClone(object.metadata),
      name: object.metadata?.name ?? "",
      uid: held?.metadata.uid ?? `uid-${serial}`,
      resourceVersion: String(serial),
      generation: (held?.metadata.generation ?? 0) + 1,
    };
    // Written with apiVersion and kind.
    const kept = { ...structuredClone(object), metadata, status: held?.status ?? {} } as Kept;
    if (object.kind === "Service") kept.spec = { ...kept.spec, clusterIP: "10.96.0.7" };
    return kept;
  }

  #observed(): ObservedDeployment {
    return {
      owner: this.owner,
      resolution: resolveModel(this.owner.spec.model, this.owner, () => undefined),
      config: { ...CONFIG, runtimeImage: this.image },
      now: this.now,
      configMaps: this.#all<IConfigMap>("configmaps").map(configMapRecord),
      deployments: this.#all<IDeployment>("deployments").map(deploymentRecord),
      services: this.#all<IService>("services").map(serviceRecord),
      budgets: this.#all<IPodDisruptionBudget>("poddisruptionbudgets").map(budgetRecord),
      autoscalers: [],
      slices: [{ ...EMPTY_SLICE, readyPods: this.#endpoints }],
      pods: this.#pods,
      reports: this.#reports,
      traffic: this.traffic.reports(),
      scaling: {},
      activator: NO_ACTIVATOR,
    };
  }
}
