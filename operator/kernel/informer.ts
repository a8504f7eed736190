import { Backoff } from "./backoff.ts";
import type { List, ListOptions, WatchEvent, WatchOptions } from "./requests.ts";
import { type Clock, sleep, systemClock } from "./clock.ts";
import { ApiError } from "./errors.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { compareResourceVersions, type Identified, keyOfObject, type KubernetesObject, type Stored } from "./meta.ts";
import { Reflector } from "./reflector.ts";
import type { Resource } from "./resource.ts";
import { Store } from "./store.ts";
import type { IndexFunction } from "./store-index.ts";

const healthyMilliseconds = 5000;
/** The longest pause between two tries. */
const mostSeconds = 30;
/** The longest where no answer came: it burdens nobody, and when the server is back nobody should wait long. */
const awaySeconds = 3;

/** The part of a Client that informers use. */
export interface WatchSource {
  pages<T extends KubernetesObject>(resource: Resource<T>, options?: ListOptions): AsyncIterable<List<T>>;
  watch<T extends KubernetesObject>(resource: Resource<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
}

/** What is to be seen of an informer from outside. */
export interface ObservedInformer {
  readonly resource: { readonly plural: string };
  readonly hasSynced: boolean;
  readonly store: { readonly size: number };
  /** Up to where the store reflects the server; undefined before the first list. */
  readonly resourceVersion: string | undefined;
}

/** One record that came, changed or went. `initial` while the first list is read. */
export interface Change<P> {
  readonly key: string;
  readonly before: P | undefined;
  readonly after: P | undefined;
  readonly initial: boolean;
}

/** Only enqueues keys: what to do is decided later, from the stores. */
export type ChangeHandler<P> = (change: Change<P>) => void;

export interface InformerObserver {
  /** Told once which informer it observes. */
  attach(informer: ObservedInformer): void;
  failed(resource: string): void;
  /** A whole list was read: at the start, and after an expired resourceVersion. */
  listed(resource: string): void;
}

export interface InformerOptions<T extends KubernetesObject, P extends Identified> {
  readonly client: WatchSource;
  readonly resource: Resource<T>;
  /** Default: all namespaces. */
  readonly namespaces?: readonly string[] | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** What is kept of each object. Default: all of it but managedFields and the annotation of kubectl apply. */
  readonly project?: ((object: Stored<T>) => P) | undefined;
  readonly indexes?: Readonly<Record<string, IndexFunction<P>>> | undefined;
  /** Whether the store keeps JSON instead of objects; default false. */
  readonly compact?: boolean | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  readonly observer?: InformerObserver | undefined;
  /**
   * How long a watch lasts before it is opened again; default 22, at least 4. The server sends a bookmark shortly before its
   * end, so a quiet watch stays fresh, and silence for five seconds longer means that the connection is dead.
   */
  readonly watchSeconds?: number | undefined;
  readonly random?: (() => number) | undefined;
}

/** Keeps a Store equal to what the API server holds, through every fault, until its signal aborts. */
export class Informer<T extends KubernetesObject, P extends Identified = Stored<T>> {
  readonly resource: Resource<T>;
  readonly store: Store<P>;
  readonly #options: InformerOptions<T, P>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #handlers: ChangeHandler<P>[] = [];
  readonly #reflectors = new Map<string, Reflector<T>>();
  readonly #project: (object: Stored<T>) => P;
  #whenSynced: (() => void)[] = [];

  constructor(options: InformerOptions<T, P>) {
    this.resource = options.resource;
    this.store = new Store<P>(options);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = (options.logger ?? silentLogger).child({ resource: options.resource.plural });
    // Without a projection the record is the stored object itself.
    this.#project = options.project ?? (withoutRecords as unknown as (object: Stored<T>) => P);
    const namespaces = options.namespaces && options.namespaces.length > 0 ? options.namespaces : [""];
    for (const namespace of namespaces) this.#reflectors.set(namespace, this.#reflector(namespace));
    options.observer?.attach(this);
  }

  /** Call before `run`. A handler that throws is logged, and disturbs nothing else. */
  onChange(handler: ChangeHandler<P>): void {
    this.#handlers.push(handler);
  }

  /** True once the first list is complete, for good. */
  get hasSynced(): boolean {
    return [...this.#reflectors.values()].every((reflector) => reflector.hasSynced);
  }

  /** Resolves when synced; rejects with the signal's reason. */
  whenSynced(signal: AbortSignal): Promise<void> {
    if (this.hasSynced) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const abort = () => reject(signal.reason as Error);
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort, { once: true });
      this.#whenSynced.push(() => {
        signal.removeEventListener("abort", abort);
        resolve();
      });
    });
  }

  /** Of several namespaces the one that is furthest behind. */
  get resourceVersion(): string | undefined {
    const versions = [...this.#reflectors.values()].map((reflector) => reflector.resourceVersion);
    if (versions.includes(undefined)) return undefined;
    return versions.flatMap((version) => version ?? []).sort(compareResourceVersions)[0];
  }

  /** True when the store reflects all that happened in the namespace up to this resourceVersion. */
  hasSeen(namespace: string, resourceVersion: string): boolean {
    const seen = (this.#reflectors.get(namespace) ?? this.#reflectors.get(""))?.resourceVersion;
    return seen !== undefined && compareResourceVersions(seen, resourceVersion) >= 0;
  }

  /** Runs until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#reflectors].map(([namespace, reflector]) => this.#keep(namespace, reflector, signal)));
  }

  async #keep(namespace: string, reflector: Reflector<T>, signal: AbortSignal): Promise<void> {
    const { random } = this.#options;
    // A server that is back answers, though perhaps not yet with what is asked for: that is another matter than silence.
    const silent = new Backoff(0.2, awaySeconds, random);
    const answered = new Backoff(0.2, mostSeconds, random);
    while (!signal.aborted) {
      const started = this.#clock.monotonic();
      let failure: unknown;
      try {
        await reflector.advance(signal);
      } catch (error) {
        failure = error;
      }
      if (signal.aborted) return;
      // What lasted was healthy. What ends at once, even without an error, must not become a busy loop.
      const lasted = this.#clock.monotonic() - started >= healthyMilliseconds;
      const isAway = failure instanceof ApiError && failure.isUnanswered;
      if (lasted) silent.reset();
      if (lasted || isAway) answered.reset();
      if (failure !== undefined || !lasted) {
        await this.#pause(failure, isAway ? silent : answered, namespace, signal);
      }
    }
  }

  async #pause(failure: unknown, backoff: Backoff, namespace: string, signal: AbortSignal): Promise<void> {
    const asked = failure instanceof ApiError ? (failure.retryAfterSeconds ?? 0) * 1000 : 0;
    const pause = Math.max(backoff.next(), Math.min(asked, mostSeconds * 1000));
    if (failure !== undefined) {
      this.#options.observer?.failed(this.resource.plural);
      const retryInSeconds = Math.round(pause) / 1000;
      this.#logger.warn("watch failed, trying again", { error: failure, namespace, retryInSeconds });
    }
    await sleep(this.#clock, pause, signal);
  }

  #reflector(namespace: string): Reflector<T> {
    const seconds = this.#options.watchSeconds ?? 22;
    const { labelSelector, fieldSelector, client, resource, random } = this.#options;
    return new Reflector<T>({
      client,
      resource,
      select: { namespace, labelSelector, fieldSelector },
      watchSeconds: seconds,
      random: random ?? Math.random,
      put: (object, initial) => this.#put(object, initial),
      remove: (key) => this.#remove(key),
      keys: () => this.store.keys().filter((key) => namespace === "" || key.startsWith(`${namespace}/`)),
      listed: (count) => {
        this.#options.observer?.listed(resource.plural);
        this.#logger.debug("listed", () => ({ namespace, count }));
        if (this.hasSynced) this.#settle();
      },
    });
  }

  #settle(): void {
    for (const resolve of this.#whenSynced.splice(0)) resolve();
  }

  #put(object: Stored<T>, initial: boolean): void {
    const key = keyOfObject(object);
    if (this.store.versionOf(key) === object.metadata.resourceVersion) return;
    const after = this.#project(object);
    this.#tell({ key, before: this.store.put(after), after, initial });
  }

  #remove(key: string): void {
    const before = this.store.remove(key);
    if (before) this.#tell({ key, before, after: undefined, initial: false });
  }

  #tell(change: Change<P>): void {
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#logger.error("a change handler failed", { error, key: change.key });
      }
    }
  }
}

/** Who wrote what, and the copy of what kubectl applied, are of no use to controllers. */
function withoutRecords<T extends KubernetesObject>(object: Stored<T>): Stored<T> {
  delete object.metadata.managedFields;
  delete object.metadata.annotations?.["kubectl.kubernetes.io/last-applied-configuration"];
  return object;
}
