/** Plays the EndpointSlice controller, which refuses pods on loopback addresses: ready pods of Services that users call. */
import { LABELS } from "../../../../crds/contract/names.ts";
import { type Api, ApiError } from "../../../cluster/api.ts";
import type { Chapter, Journal, Seen } from "./journal.ts";

export class Endpoints {
  readonly #api: Api;
  readonly #journal: Journal;
  readonly #turns = new Map<string, Promise<void>>();

  constructor(api: Api, journal: Journal) {
    this.#api = api;
    this.#journal = journal;
    journal.onChange(({ plural, object: { metadata } }) => {
      if (plural === "pods" || plural === "services") this.#update(metadata.namespace);
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#turns.values());
  }

  #update(namespace: string): void {
    const turn = (this.#turns.get(namespace) ?? Promise.resolve()).then(async () => {
      const chapter = this.#journal.of(namespace);
      for (const service of chapter.all("services").filter(isFront))
        await this.#write(service, readyBehind(chapter, service));
    });
    this.#turns.set(namespace, turn);
  }

  async #write({ metadata: { name, namespace, uid, labels } }: Seen, pods: readonly Seen[]): Promise<void> {
    const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices/${name}`;
    const slice = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name,
        namespace,
        labels: { ...labels, "kubernetes.io/service-name": name },
        ownerReferences: [{ apiVersion: "v1", kind: "Service", name, uid }],
      },
      addressType: "IPv4",
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
      endpoints: pods.map((pod, index) => ({
        addresses: [`198.18.0.${index + 1}`],
        conditions: { ready: true },
        targetRef: { kind: "Pod", name: pod.metadata.name, namespace, uid: pod.metadata.uid },
      })),
    };
    await this.#api.apply(path, slice).catch((error: unknown) => {
      if (!(error instanceof ApiError)) throw error;
    });
  }
}

/** The Service of a whole ModelDeployment, not of one revision. */
function isFront({ metadata }: Seen): boolean {
  return metadata.labels?.[LABELS.revision] === undefined;
}

/** Pods that a Service sends requests to. */
export function readyBehind(chapter: Chapter, service: Seen): Seen[] {
  const selector = Object.entries(service.spec?.["selector"] ?? {});
  return chapter
    .all("pods")
    .filter(({ metadata }) => selector.every(([key, value]) => metadata.labels?.[key] === value))
    .filter((pod) => pod.metadata.deletionTimestamp === undefined && isReady(pod));
}

function isReady({ status }: Seen): boolean {
  const conditions = (status?.["conditions"] ?? []) as { type: string; status: string }[];
  return conditions.some(({ type, status: holds }) => type === "Ready" && holds === "True");
}
