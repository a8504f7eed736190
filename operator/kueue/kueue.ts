/** Follows Kueue's Workloads for as long as some object names a queue; asks nothing of the API server otherwise. */
import type { Client } from "../kernel/client.ts";
import type { Clock } from "../kernel/clock.ts";
import { ApiError } from "../kernel/errors.ts";
import { type Change, Informer, type WatchSource } from "../kernel/informer.ts";
import type { Logger } from "../kernel/logger.ts";
import type { Identified } from "../kernel/meta.ts";
import { type Admission, admissionOf, type Presence } from "./admission.ts";
import { Positions } from "./positions.ts";
import { type Workload, type WorkloadRecord, workloadRecord, WorkloadResource } from "./workload.ts";

interface KueueOptions {
  readonly client: Client;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An object that may name a queue. */
interface Queued extends Identified {
  readonly spec: { readonly queueName?: string | undefined };
}

export class Kueue {
  readonly #options: KueueOptions;
  readonly #positions: Positions;
  readonly #users = new Set<string>();
  readonly #informer: Informer<Workload, WorkloadRecord>;
  readonly #presenceHandlers: (() => void)[] = [];
  #presence: Presence | undefined;
  #watching: AbortController | undefined;
  #leading: AbortSignal | undefined;

  constructor(options: KueueOptions) {
    this.#options = options;
    this.#positions = new Positions(options.client, options.clock);
    const { namespaces, clock, logger } = options;
    this.#informer = new Informer({
      client: this.#source(options.client),
      resource: WorkloadResource,
      namespaces,
      clock,
      logger,
      compact: true,
      project: workloadRecord,
      observer: { attach: () => undefined, failed: () => undefined, listed: () => this.#listed() },
    });
  }

  /** What is to be done when something is known of a Job or a pod. Call before `run`. */
  onWorkload(handler: (change: Change<WorkloadRecord>) => void): void {
    this.#informer.onChange(handler);
  }

  /** Kueue has come, or gone. */
  onPresence(handler: () => void): void {
    this.#presenceHandlers.push(handler);
  }

  /** Whether anybody asks for a queue; a handler of the informers of our kinds. */
  follow(kind: string): (change: Change<Queued>) => void {
    return ({ key, after }) => {
      const user = `${kind} ${key}`;
      if (after?.spec.queueName === undefined) this.#users.delete(user);
      else this.#users.add(user);
      this.#adjust();
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#leading = signal;
    this.#adjust();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#leading = undefined;
    this.#adjust();
  }

  /** Undefined until Kueue was looked for. */
  get presence(): Presence | undefined {
    return this.#presence;
  }

  /** Of a Job, or of a pod, by its uid. */
  async admission(queue: string, namespace: string, uid: string, signal: AbortSignal): Promise<Admission> {
    const found = this.workloadAdmission(queue, uid);
    const [workload] = this.#informer.store.byOwner(uid);
    if (found.reason === "Admitted" || workload === undefined || this.#presence !== "Present") return found;
    const places = await this.#positions.of(namespace, queue, signal);
    return { ...found, position: places.get(workload.metadata.name) };
  }

  /** The same without its place, which costs a request. */
  workloadAdmission(queue: string, uid: string): Admission {
    const workloads = this.#informer.store.byOwner(uid);
    // One that is being deleted speaks only where no other does.
    const workload = workloads.find(({ metadata }) => metadata.deletionTimestamp === undefined) ?? workloads[0];
    return admissionOf(queue, this.#presence ?? "Unknown", workload);
  }

  #adjust(): void {
    const wanted = this.#leading !== undefined && !this.#leading.aborted && this.#users.size > 0;
    if (wanted && this.#watching === undefined) {
      this.#watching = new AbortController();
      void this.#informer.run(this.#watching.signal);
    }
    if (!wanted && this.#watching !== undefined) {
      this.#watching.abort();
      this.#watching = undefined;
      this.#presence = undefined;
    }
  }

  #listed(): void {
    if (this.#informer.hasSynced) this.#found("Present");
  }

  #found(presence: Presence): void {
    const before = this.#presence;
    this.#presence = presence;
    if (before === presence) return;
    if (presence === "Absent") this.#options.logger.warn("objects name queues, and Kueue is not installed");
    for (const handler of this.#presenceHandlers) handler();
  }

  /** Tells from how calls end whether the kinds are there. */
  #source(client: WatchSource): WatchSource {
    const failed = (error: unknown) => {
      if (!(error instanceof ApiError) || error.isUnanswered || error.isExpired || error.isInvalid) return;
      this.#found(error.isNotFound ? "Absent" : "Unknown");
    };
    const heard = () => this.#listed();
    async function* told<E>(calls: AsyncIterable<E>): AsyncGenerator<E> {
      try {
        for await (const one of calls) {
          heard();
          yield one;
        }
      } catch (error) {
        failed(error);
        throw error;
      }
    }
    return {
      pages: (resource, options) => told(client.pages(resource, options)),
      watch: (resource, options) => told(client.watch(resource, options)),
    };
  }
}
