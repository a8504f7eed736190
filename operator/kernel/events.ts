import type { IEvent } from "kubernetes-models/events.k8s.io/v1/Event";
import type { Client } from "./client.ts";
import { type Clock, microTime, type Timer } from "./clock.ts";
import { truncate } from "./conditions.ts";
import { ApiError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import { type ResourceName, Resources } from "./resource.ts";

/** What happened to an object, for people who run `kubectl describe`. */
export interface EventInput {
  readonly resource: ResourceName & { readonly apiVersion: string };
  readonly object: { readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid: string } };
  readonly type: "Normal" | "Warning";
  /** UpperCamelCase, why; at most 128 characters. */
  readonly reason: string;
  /** UpperCamelCase, what the controller did or tried; at most 128 characters. */
  readonly action: string;
  /** A sentence; cut at 1024 characters. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: Pick<Client, "create" | "patch">;
  /** The qualified name of the controller, such as example.dev/operator. */
  readonly controller: string;
  /** Which of its processes; a pod's name. */
  readonly instance: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the count of a repeated event is written; default 60. */
  readonly refreshSeconds?: number | undefined;
  /** An event that was not repeated for this long begins anew; default 360. */
  readonly quietSeconds?: number | undefined;
}

interface Series {
  readonly namespace: string;
  name: string;
  readonly body: IEvent;
  count: number;
  writtenCount: number;
  lastObserved: number;
  queued: boolean;
}

const longestBacklog = 1000;

/** Writes events in the background. Repeated ones become the series of one event. Never throws, never waits. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #series = new Map<string, Series>();
  readonly #backlog: Series[] = [];
  #sending: Promise<void> | undefined;
  #timer: Timer | undefined;
  #stopped = false;
  #dropped = 0;
  #serial = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** Events that were not written as there were too many at once. */
  get dropped(): number {
    return this.#dropped;
  }

  record(event: EventInput): void {
    if (this.#stopped) return;
    const now = this.#options.clock.now();
    const { metadata } = event.object;
    const key = JSON.stringify([metadata.uid, event.type, event.reason, event.action, event.note]);
    const known = this.#series.get(key);
    if (!known) {
      const series = this.#begin(event, now);
      if (this.#enqueue(series)) this.#series.set(key, series);
    } else {
      known.count++;
      known.lastObserved = now;
      // The first repetition shows at once, further ones with the next refresh.
      if (known.count === 2) this.#enqueue(known);
    }
    this.#arm();
  }

  /** Writes what is still open, and records no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#refresh();
    await this.flush();
  }

  /** Resolves when all that was recorded so far has been written or given up. */
  async flush(): Promise<void> {
    while (this.#sending) await this.#sending;
  }

  #begin(event: EventInput, now: number): Series {
    const { name, namespace, uid } = event.object.metadata;
    // Events of cluster-scoped objects live in the default namespace.
    const home = namespace ?? "default";
    const body: IEvent = {
      apiVersion: "events.k8s.io/v1",
      kind: "Event",
      eventTime: microTime(now),
      type: event.type,
      reason: truncate(event.reason, 128),
      action: truncate(event.action, 128),
      note: truncate(event.note, 1024),
      regarding: {
        apiVersion: event.resource.apiVersion,
        kind: event.resource.kind,
        name,
        uid,
        ...(namespace ? { namespace } : {}),
      },
      reportingController: this.#options.controller,
      reportingInstance: truncate(this.#options.instance, 128),
    };
    return {
      namespace: home,
      name: this.#name(name, now),
      body,
      count: 1,
      writtenCount: 0,
      lastObserved: now,
      queued: false,
    };
  }

  #name(object: string, now: number): string {
    const suffix = `${now.toString(16)}${(this.#serial++ % 0x1000).toString(16).padStart(3, "0")}`;
    return `${object.slice(0, 253 - suffix.length - 1)}.${suffix}`;
  }

  #enqueue(series: Series): boolean {
    if (series.queued) return true;
    if (this.#backlog.length >= longestBacklog) {
      this.#dropped++;
      return false;
    }
    series.queued = true;
    this.#backlog.push(series);
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
    return true;
  }

  async #send(): Promise<void> {
    // Lets what is recorded in the same turn be counted together.
    await Promise.resolve();
    for (let series = this.#backlog.shift(); series; series = this.#backlog.shift()) {
      series.queued = false;
      try {
        await this.#write(series);
      } catch (error) {
        const { reason, regarding } = series.body;
        this.#options.logger.warn("an event could not be written", { error, reason, regarding: regarding?.name });
      }
    }
  }

  async #write(series: Series): Promise<void> {
    const { count } = series;
    const lastObservedTime = microTime(series.lastObserved);
    const repeated = count > 1 ? { series: { count, lastObservedTime } } : {};
    if (series.writtenCount > 0) {
      try {
        await this.#options.client.patch(Resources.Event, series.namespace, series.name, repeated);
        series.writtenCount = count;
        return;
      } catch (error) {
        if (!(error instanceof ApiError && error.isNotFound)) throw error;
        // The API server forgets events after an hour: this one goes on under a new name.
        series.name = this.#name(series.body.regarding?.name ?? "event", series.lastObserved);
      }
    }
    const metadata = { name: series.name, namespace: series.namespace };
    await this.#options.client.create(Resources.Event, { ...series.body, ...repeated, metadata });
    series.writtenCount = count;
  }

  #arm(): void {
    if (this.#timer || this.#stopped || this.#series.size === 0) return;
    const seconds = this.#options.refreshSeconds ?? 60;
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      this.#refresh();
      this.#arm();
    }, seconds * 1000);
  }

  #refresh(): void {
    const quietSince = this.#options.clock.now() - (this.#options.quietSeconds ?? 360) * 1000;
    for (const [key, series] of this.#series) {
      // What could not be written for so long never will be.
      if (series.lastObserved < quietSince) this.#series.delete(key);
      else if (series.count > series.writtenCount) this.#enqueue(series);
    }
  }
}
