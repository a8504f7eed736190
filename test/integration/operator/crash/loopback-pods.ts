/** Plays the kubelet and the containers for every namespace: pods start by themselves and answer on their own address. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { LABELS, PORTS } from "../../../../crds/contract/names.ts";
import type { Progress } from "../../../../crds/contract/progress.ts";
import { Run } from "../../../../crds/contract/run.ts";
import { type Api, ApiError } from "../../../cluster/api.ts";
import { FakeKubelet, type Pod } from "../fake-kubelet.ts";
import { digest } from "../objects.ts";
import type { Journal, Seen } from "./journal.ts";

/** Whoever has this in the name of its image is never pulled. */
export const MISSING_IMAGE = "registry.example/missing:1";

/** What jobs of a namespace do: work on, or end with an exit code. */
export type Script = "work" | 0 | 64;

export class LoopbackPods {
  readonly #api: Api;
  readonly #journal: Journal;
  readonly #scripts = new Map<string, Script>();
  readonly #servers = new Map<string, Server>();
  readonly #turns = new Map<string, Promise<void>>();
  #addresses = 0;

  constructor(api: Api, journal: Journal) {
    this.#api = api;
    this.#journal = journal;
    journal.onChange(({ type, plural, object }) => {
      if (plural === "pods" && type === "DELETED") this.#close(object.metadata.uid);
      if (plural === "pods" && type === "ADDED") this.#play(object);
      if (plural === "configmaps" && type === "ADDED") this.#playAll(object.metadata.namespace);
    });
  }

  /** From now on; pods that are there follow too. */
  direct(namespace: string, script: Script): void {
    this.#scripts.set(namespace, script);
    this.#playAll(namespace);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#turns.values());
    for (const uid of this.#servers.keys()) this.#close(uid);
  }

  #playAll(namespace: string): void {
    for (const pod of this.#journal.of(namespace).all("pods")) this.#play(pod);
  }

  /** One act of a pod after the other. */
  #play(pod: Seen): void {
    const { uid } = pod.metadata;
    const turn = (this.#turns.get(uid) ?? Promise.resolve()).then(() =>
      this.#act(pod).catch((error: unknown) => {
        // The pod went meanwhile.
        if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 409)) throw error;
      }),
    );
    this.#turns.set(uid, turn);
  }

  async #act(seen: Seen): Promise<void> {
    const { namespace, name, uid } = seen.metadata;
    const pod = this.#journal.of(namespace).find("pods", name) as unknown as Pod | undefined;
    if (pod === undefined || pod.metadata.uid !== uid || pod.metadata.deletionTimestamp !== undefined) return;
    const kubelet = new FakeKubelet(this.#api, namespace);
    const run = this.#runOf(seen);
    if (run === undefined || ["Succeeded", "Failed"].includes(pod.status.phase)) return;
    if (pod.spec.containers[0]?.image === MISSING_IMAGE) {
      if (pod.status.podIP === undefined) await kubelet.waiting(pod, "ImagePullBackOff");
      return;
    }
    if (!this.#servers.has(uid)) {
      pod.status.podIP = await this.#listen(uid, run);
      await kubelet.run(pod, { ready: run.kind === "ServingRun" });
    }
    const script = this.#scripts.get(namespace) ?? "work";
    if (script === "work" || run.kind === "ServingRun") return;
    this.#close(uid);
    await kubelet.end(pod, script, JSON.stringify(script === 0 ? succeeded(run) : failed(run, script)));
  }

  /** What the pod's ConfigMap tells it. */
  #runOf({ metadata }: Seen): Run | undefined {
    const name = metadata.labels?.[LABELS.revision] ?? metadata.labels?.[LABELS.run] ?? "";
    const text = this.#journal.of(metadata.namespace).find("configmaps", name)?.data?.["job.json"];
    return text === undefined ? undefined : Run.parse(JSON.parse(text));
  }

  /** An address of the loopback network for each pod. */
  async #listen(uid: string, run: Run): Promise<string> {
    const number = ++this.#addresses;
    const address = `127.80.${number >> 8}.${number & 255}`;
    const server = createServer((_, response) => response.end(JSON.stringify(working(run))));
    this.#servers.set(uid, server);
    server.listen(PORTS.management, address);
    await once(server, "listening");
    return address;
  }

  #close(uid: string): void {
    const server = this.#servers.get(uid);
    server?.closeAllConnections();
    server?.close();
  }
}

/** The digest of what is at a URI. */
export function digestAt(uri: string): string {
  return digest(uri.at(-1) ?? "");
}

const COMPUTES = { engine: "TensorFlow", device: "CPU" };

function working(run: Run): Progress {
  switch (run.kind) {
    case "ServingRun": {
      const { uri } = run.model;
      return {
        kind: "ServingProgress",
        ...COMPUTES,
        revision: run.revision,
        state: "Serving",
        model: { uri, digest: digestAt(uri) },
      };
    }
    case "TrainingRun": {
      const { epochs } = run.training;
      const common = { ...COMPUTES, run: run.job.run, progressPercent: 40, epoch: 1, epochs, step: 7, loss: 0.5 };
      return { kind: "TrainingProgress", state: "Training", ...common };
    }
    case "OptimizationRun":
      return { kind: "OptimizationProgress", ...COMPUTES, run: run.job.run, state: "Optimizing", progressPercent: 40 };
  }
}

type JobRun = Exclude<Run, { kind: "ServingRun" }>;

function succeeded(run: JobRun): object {
  const artefact = { uri: run.output.uri, digest: digestAt(run.job.specHash), format: "TfjsLayers", bytes: 9 };
  return { ...working(run), state: "Succeeded", progressPercent: 100, artefact };
}

function failed(run: JobRun, exitCode: number): object {
  const failure = { reason: "InvalidSpec", message: "spec.batchSize is wrong; correct it", exitCode };
  return { ...working(run), state: "Failed", failure };
}
