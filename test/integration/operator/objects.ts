/** Manifests that tests start from, and access to the objects of one namespace. */
import type { ModelDeploymentSpec, ModelDeploymentStatus } from "../../../crds/model-deployment.ts";
import type { OptimizationJobStatus } from "../../../crds/optimization-job.ts";
import type { TrainingJobStatus } from "../../../crds/training-job.ts";
import type { Api } from "../../cluster/api.ts";
import { until } from "../../cluster/wait.ts";

export type Manifest = { apiVersion: string; kind: string; metadata: { name: string }; spec: Record<string, unknown> };

const csv = (name: string) => ({ format: "Csv", uri: `pvc://data/${name}.csv`, label: "digit" });

export function trainingJob(name: string, spec: Record<string, unknown> = {}): Manifest {
  return {
    apiVersion: "modelwright.dev/v1alpha1",
    kind: "TrainingJob",
    metadata: { name },
    spec: {
      dataset: { train: csv("train"), test: csv("test") },
      model: { layers: [{ dense: { units: 10, activation: "softmax" } }] },
      loss: "sparseCategoricalCrossentropy",
      optimizer: { adam: {} },
      metrics: ["accuracy"],
      epochs: 3,
      output: { uri: "pvc://models/digits" },
      ...spec,
    },
  };
}

export function optimizationJob(name: string, spec: Record<string, unknown> = {}): Manifest {
  return {
    apiVersion: "modelwright.dev/v1alpha1",
    kind: "OptimizationJob",
    metadata: { name },
    spec: {
      model: { from: { kind: "TrainingJob", name: "digits" } },
      dataset: { test: csv("test") },
      methods: [{ quantize: { weights: "Uint8" } }],
      output: { uri: "pvc://models/small" },
      ...spec,
    },
  };
}

export function modelDeployment(name: string, spec: Record<string, unknown> = {}): Manifest {
  return {
    apiVersion: "modelwright.dev/v1alpha1",
    kind: "ModelDeployment",
    metadata: { name },
    spec: { model: { uri: "pvc://models/digits/one", digest: digest("1") }, ...spec },
  };
}

export function digest(character: string): string {
  return `sha256:${character.repeat(64)}`;
}

interface StatusOf {
  trainingjobs: TrainingJobStatus;
  optimizationjobs: OptimizationJobStatus;
  modeldeployments: ModelDeploymentStatus;
}

export interface Stored<Status> {
  metadata: { name: string; uid: string; generation: number; resourceVersion: string };
  spec: ModelDeploymentSpec;
  status: Status;
}

export interface Child {
  metadata: {
    name: string;
    uid: string;
    resourceVersion: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    ownerReferences?: { name: string; uid: string; controller: boolean; blockOwnerDeletion: boolean }[];
  };
  immutable?: boolean;
  // Of EndpointSlices.
  endpoints?: { addresses: string[] }[] | null;
  ports?: { name: string; port: number }[];
  data?: Record<string, string>;
  // Tests look at members of any kind of child.
  spec: Record<string, unknown> & { selector?: Record<string, string>; replicas?: number; suspend?: boolean };
  status?: Record<string, unknown>;
}

const GROUPS = {
  jobs: "/apis/batch/v1",
  deployments: "/apis/apps/v1",
  poddisruptionbudgets: "/apis/policy/v1",
  horizontalpodautoscalers: "/apis/autoscaling/v2",
  endpointslices: "/apis/discovery.k8s.io/v1",
  configmaps: "/api/v1",
  services: "/api/v1",
  pods: "/api/v1",
} as const;

type ChildPlural = keyof typeof GROUPS;

/** The objects of one namespace. */
export class Space {
  readonly api: Api;
  readonly namespace: string;

  constructor(api: Api, namespace: string) {
    this.api = api;
    this.namespace = namespace;
  }

  path(plural: keyof StatusOf, name = ""): string {
    return `/apis/modelwright.dev/v1alpha1/namespaces/${this.namespace}/${plural}${name && `/${name}`}`;
  }

  childPath(plural: ChildPlural, name = ""): string {
    return `${GROUPS[plural]}/namespaces/${this.namespace}/${plural}${name && `/${name}`}`;
  }

  create(manifest: Manifest): Promise<Stored<unknown>> {
    return this.api.post(this.path(`${manifest.kind.toLowerCase()}s` as keyof StatusOf), manifest);
  }

  patch(plural: keyof StatusOf, name: string, spec: Record<string, unknown>): Promise<Stored<unknown>> {
    return this.api.patch(this.path(plural, name), { spec });
  }

  get<K extends keyof StatusOf>(plural: K, name: string): Promise<Stored<StatusOf[K]>> {
    return this.api.get(this.path(plural, name));
  }

  /** Waits for a status that a test wants to see, and returns it; the failure shows the last one. */
  async status<K extends keyof StatusOf>(
    plural: K,
    name: string,
    what: string,
    holds: (status: StatusOf[K], object: Stored<StatusOf[K]>) => boolean,
    within = 20_000,
  ): Promise<StatusOf[K]> {
    let last: unknown;
    try {
      return await until(
        `${plural} ${name}: ${what}`,
        async () => {
          const object = await this.get(plural, name);
          last = object.status;
          return holds(object.status, object) ? object.status : undefined;
        },
        { within },
      );
    } catch (cause) {
      throw new Error(`${plural} ${name}: ${what}; status is ${JSON.stringify(last, null, 1)}`, { cause });
    }
  }

  child(plural: ChildPlural, name: string): Promise<Child | undefined> {
    return this.api.find(this.childPath(plural, name));
  }

  async children(plural: ChildPlural): Promise<Child[]> {
    return (await this.api.get<{ items: Child[] }>(this.childPath(plural))).items;
  }

  /** Waits until a child exists, or until it is as wanted. */
  waitChild(plural: ChildPlural, name: string, holds: (child: Child) => boolean = () => true): Promise<Child> {
    return until(
      `${plural} ${name}`,
      async () => {
        const child = await this.child(plural, name);
        return child !== undefined && holds(child) ? child : undefined;
      },
      { within: 20_000 },
    );
  }

  waitGone(plural: ChildPlural, name: string): Promise<true> {
    return until(`${plural} ${name} is gone`, async () => (await this.child(plural, name)) === undefined, {
      within: 30_000,
    });
  }

  /** Reasons of the events of an object. */
  async events(name: string): Promise<{ reason: string; note: string; type: string }[]> {
    const { items } = await this.api.get<{
      items: { reason: string; note: string; type: string; regarding: { name: string } }[];
    }>(`/apis/events.k8s.io/v1/namespaces/${this.namespace}/events`);
    return items.filter(({ regarding }) => regarding.name === name);
  }

  async waitEvent(name: string, reason: string): Promise<string> {
    const event = await until(
      `event ${reason} of ${name}`,
      async () => (await this.events(name)).find((candidate) => candidate.reason === reason),
      { within: 10_000 },
    );
    return event.note;
  }
}

export function condition(
  status: { conditions?: { type: string; status: string; reason: string; message: string }[] | undefined },
  type: string,
) {
  return status.conditions?.find((candidate) => candidate.type === type);
}
