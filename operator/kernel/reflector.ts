import type { SelectOptions } from "./requests.ts";
import { ApiError } from "./errors.ts";
import type { WatchSource } from "./informer.ts";
import { keyOfObject, type KubernetesObject, type Stored } from "./meta.ts";
import type { Resource } from "./resource.ts";

/** A list may take this long; silent for as long as a watch may be it is dead. */
const listSeconds = 300;
const graceSeconds = 5;
/** The server sends its last bookmark two seconds before the end of a watch: a shorter one gets none. */
const shortestWatchSeconds = 4;

export interface ReflectorOptions<T extends KubernetesObject> {
  readonly client: WatchSource;
  readonly resource: Resource<T>;
  readonly select: SelectOptions;
  readonly watchSeconds: number;
  readonly random: () => number;
  put(object: Stored<T>, initial: boolean): void;
  remove(key: string): void;
  /** The keys that are held of what this reflector lists. */
  keys(): string[];
  listed(count: number): void;
}

/** Follows one collection: a list when it must, else a watch from where the last one ended. */
export class Reflector<T extends KubernetesObject> {
  readonly #options: ReflectorOptions<T>;
  #resourceVersion: string | undefined;
  #mustList = true;
  #hasSynced = false;
  #streams = true;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** Up to where the collection was seen whole; undefined before the first list. */
  get resourceVersion(): string | undefined {
    return this.#resourceVersion;
  }

  /** One list if needed, then one watch to its end. Throws what went wrong; call again. */
  async advance(signal: AbortSignal): Promise<void> {
    if (this.#mustList) await this.#list(signal);
    try {
      await this.#follow(signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.isExpired)) throw error;
      this.#mustList = true;
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const seen = new Set<string>();
    const keep = (object: Stored<T>) => {
      seen.add(keyOfObject(object));
      this.#options.put(object, !this.#hasSynced);
    };
    const resourceVersion = (await this.#listByStream(keep, signal)) ?? (await this.#listByPages(keep, signal));
    for (const key of this.#options.keys()) if (!seen.has(key)) this.#options.remove(key);
    this.#resourceVersion = resourceVersion;
    this.#mustList = false;
    this.#hasSynced = true;
    this.#options.listed(seen.size);
  }

  /** Objects one by one, so that a long list never holds up the process; undefined where the server cannot. */
  async #listByStream(keep: (object: Stored<T>) => void, signal: AbortSignal): Promise<string | undefined> {
    if (!this.#streams) return undefined;
    try {
      const events = this.#options.client.watch(this.#options.resource, {
        ...this.#options.select,
        sendInitialEvents: true,
        timeoutSeconds: listSeconds,
        silenceSeconds: this.#options.watchSeconds + graceSeconds,
        signal,
      });
      for await (const event of events) {
        if (event.type === "BOOKMARK") {
          if (event.initialEnd) return event.resourceVersion;
        } else if (event.type === "DELETED") this.#options.remove(keyOfObject(event.object));
        else keep(event.object);
      }
    } catch (error) {
      const refused = error instanceof ApiError && (error.isInvalid || error.status === 400);
      if (!refused) throw error;
      this.#streams = false;
      return undefined;
    }
    // It ended without saying that the list was complete, so this time it is read in pages.
    return undefined;
  }

  async #listByPages(keep: (object: Stored<T>) => void, signal: AbortSignal): Promise<string> {
    let resourceVersion = "";
    const { client, resource, select, watchSeconds } = this.#options;
    const timeoutSeconds = watchSeconds + graceSeconds;
    for await (const page of client.pages(resource, { ...select, timeoutSeconds, signal })) {
      for (const item of page.items) keep(item);
      resourceVersion = page.resourceVersion;
    }
    return resourceVersion;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { client, resource, select, watchSeconds, random } = this.#options;
    // Not all watches at the same time.
    const timeoutSeconds = Math.max(shortestWatchSeconds, Math.round(watchSeconds * (0.8 + 0.2 * random())));
    const events = client.watch(resource, {
      ...select,
      resourceVersion: this.#resourceVersion,
      timeoutSeconds,
      silenceSeconds: timeoutSeconds + graceSeconds,
      signal,
    });
    for await (const event of events) {
      if (event.type === "BOOKMARK") {
        this.#resourceVersion = event.resourceVersion;
        continue;
      }
      if (event.type === "DELETED") this.#options.remove(keyOfObject(event.object));
      else this.#options.put(event.object, false);
      this.#resourceVersion = event.object.metadata.resourceVersion;
    }
  }
}
