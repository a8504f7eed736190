/** Places in the queue, from Kueue's visibility API, which a cluster may lack. */
import type { Client } from "../kernel/client.ts";
import type { Clock } from "../kernel/clock.ts";
import { ApiError } from "../kernel/errors.ts";
import type { KubernetesObject } from "../kernel/meta.ts";
import { customResource } from "../kernel/resource.ts";

interface PendingWorkloads extends KubernetesObject {
  items?: { metadata?: { name?: string }; positionInClusterQueue?: number }[];
}

const PendingWorkloadsResource = customResource<PendingWorkloads>({
  group: "visibility.kueue.x-k8s.io",
  version: "v1beta2",
  plural: "localqueues",
  kind: "PendingWorkloadsSummary",
  namespaced: true,
});

/** How long an answer counts: all that wait in a queue share it. */
export const POSITION_SECONDS = 5;
/** An API that is not there is asked for again after this time. */
const ABSENT_SECONDS = 60;

type Places = ReadonlyMap<string, number>;

export class Positions {
  readonly #client: Pick<Client, "get">;
  readonly #clock: Clock;
  readonly #answers = new Map<string, { readonly until: number; readonly places: Promise<Places> }>();
  #absentUntil = 0;

  constructor(client: Pick<Client, "get">, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** By name of Workload, the first being 1; empty where nobody can say. */
  of(namespace: string, queue: string, signal: AbortSignal): Promise<Places> {
    const now = this.#clock.monotonic();
    if (now < this.#absentUntil) return Promise.resolve(new Map());
    const key = `${namespace}/${queue}`;
    const known = this.#answers.get(key);
    if (known !== undefined && now < known.until) return known.places;
    for (const [other, { until }] of this.#answers) if (now >= until) this.#answers.delete(other);
    const places = this.#ask(namespace, queue, signal);
    this.#answers.set(key, { until: now + POSITION_SECONDS * 1000, places });
    return places;
  }

  async #ask(namespace: string, queue: string, signal: AbortSignal): Promise<Places> {
    try {
      const options = { signal, subresource: "pendingworkloads", timeoutSeconds: 2 };
      const { items = [] } = await this.#client.get(PendingWorkloadsResource, namespace, queue, options);
      return new Map(
        items.flatMap(({ metadata, positionInClusterQueue: place = 0 }) =>
          metadata?.name === undefined ? [] : [[metadata.name, place + 1]],
        ),
      );
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#absentUntil = this.#clock.monotonic() + (error.isNotFound ? ABSENT_SECONDS : POSITION_SECONDS) * 1000;
      return new Map();
    }
  }
}
