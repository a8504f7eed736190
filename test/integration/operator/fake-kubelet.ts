/** Plays the kubelet: writes the status of pods as a test tells it, so that no node is needed. */
import type { Api } from "../../cluster/api.ts";
import { until } from "../../cluster/wait.ts";

export interface Pod {
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    labels: Record<string, string>;
    deletionTimestamp?: string;
    ownerReferences?: { kind: string; name: string; uid: string }[];
  };
  spec: { containers: { image: string; args: string[] }[]; volumes: { configMap?: { name: string } }[] };
  status: { phase: string; podIP?: string };
}

let addresses = 0;

/** Addresses that nothing listens on. */
function nextAddress(): string {
  addresses++;
  return `198.18.${Math.floor(addresses / 250)}.${(addresses % 250) + 1}`;
}

export class FakeKubelet {
  readonly #api: Api;
  readonly #namespace: string;

  constructor(api: Api, namespace: string) {
    this.#api = api;
    this.#namespace = namespace;
  }

  /** Living pods with a label. */
  async pods(label: string): Promise<Pod[]> {
    const path = `/api/v1/namespaces/${this.#namespace}/pods?labelSelector=${encodeURIComponent(label)}`;
    const { items } = await this.#api.get<{ items: Pod[] }>(path);
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /** Waits for a number of pods that have not ended. */
  async waitFor(label: string, count = 1): Promise<Pod[]> {
    return until(
      `${count} pods with ${label}`,
      async () => {
        const pods = (await this.pods(label)).filter(({ status }) => !["Succeeded", "Failed"].includes(status.phase));
        return pods.length === count ? pods : undefined;
      },
      { within: 20_000 },
    );
  }

  /** The pod gets a node, so that it is not gone before `remove` when somebody deletes it. */
  async bind(pod: Pod): Promise<void> {
    const target = { apiVersion: "v1", kind: "Node", name: "node" };
    await this.#api.post(`${this.#path(pod)}/binding`, { metadata: { name: pod.metadata.name }, target });
  }

  /** All that was left of a deleted pod goes. */
  async remove(pod: Pod): Promise<void> {
    await this.#api.delete(`${this.#path(pod)}?gracePeriodSeconds=0`);
  }

  /** The container runs. Returns the pod's address. */
  async run(pod: Pod, { ready = false, restarts = 0 }: { ready?: boolean; restarts?: number } = {}): Promise<string> {
    const podIP = pod.status.podIP ?? nextAddress();
    await this.#write(pod, {
      phase: "Running",
      podIP,
      podIPs: [{ ip: podIP }],
      conditions: conditions(ready),
      containerStatuses: [
        { ...container(pod), ready, started: true, restartCount: restarts, state: { running: { startedAt: now() } } },
      ],
    });
    pod.status = { phase: "Running", podIP };
    return podIP;
  }

  /** The container has ended, and is not started again. */
  async end(pod: Pod, exitCode: number, message = "", reason = exitCode === 0 ? "Completed" : "Error"): Promise<void> {
    const terminated = { exitCode, reason, message, startedAt: now(), finishedAt: now() };
    await this.#write(pod, {
      phase: exitCode === 0 ? "Succeeded" : "Failed",
      conditions: conditions(false),
      containerStatuses: [{ ...container(pod), state: { terminated } }],
    });
  }

  /** The container has ended and is to be started again. */
  async crash(pod: Pod, exitCode: number, message = "", { restarts = 1, reason = "Error" } = {}): Promise<void> {
    const terminated = { exitCode, reason, message, startedAt: now(), finishedAt: now() };
    await this.#write(pod, {
      phase: "Running",
      conditions: conditions(false),
      containerStatuses: [
        {
          ...container(pod),
          restartCount: restarts,
          state: { waiting: { reason: "CrashLoopBackOff" } },
          lastState: { terminated },
        },
      ],
    });
  }

  async waiting(pod: Pod, reason: string, message = ""): Promise<void> {
    const state = { waiting: { reason, message } };
    await this.#write(pod, {
      phase: "Pending",
      conditions: conditions(false),
      containerStatuses: [{ ...container(pod), state }],
    });
  }

  /** A gate keeps it from the scheduler. */
  async gated(pod: Pod, gate: string): Promise<void> {
    const message = `Scheduling is blocked due to non-empty scheduling gates: ${gate}`;
    const condition = { type: "PodScheduled", status: "False", reason: "SchedulingGated", message };
    await this.#write(pod, { phase: "Pending", conditions: [condition] });
  }

  async unschedulable(pod: Pod, message: string): Promise<void> {
    const condition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      lastTransitionTime: now(),
    };
    await this.#write(pod, { phase: "Pending", conditions: [condition] });
  }

  async #write(pod: Pod, status: object): Promise<void> {
    await this.#api.patch(`${this.#path(pod)}/status`, { status });
  }

  #path(pod: Pod): string {
    return `/api/v1/namespaces/${this.#namespace}/pods/${pod.metadata.name}`;
  }
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}

function container(pod: Pod) {
  const image = pod.spec.containers[0]?.image ?? "";
  return { name: "runtime", image, imageID: image, ready: false, restartCount: 0 };
}

function conditions(ready: boolean) {
  const status = ready ? "True" : "False";
  return [
    { type: "PodScheduled", status: "True", lastTransitionTime: now() },
    { type: "ContainersReady", status, lastTransitionTime: now() },
    { type: "Ready", status, lastTransitionTime: now() },
  ];
}
