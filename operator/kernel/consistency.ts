import type { Clock } from "./clock.ts";
import { compareResourceVersions } from "./meta.ts";

/** The part of an Informer that tells how far it has come. */
export interface Progress {
  hasSeen(namespace: string, resourceVersion: string): boolean;
}

export interface ConsistencyOptions {
  readonly clock: Clock;
  /** After this long a write is no longer waited for: the informer may not select that object. Default 10 s. */
  readonly patienceSeconds?: number | undefined;
}

interface Write {
  readonly progress: Progress;
  readonly namespace: string;
  readonly resourceVersion: string;
  readonly at: number;
}

/** Remembers what each key's reconcile wrote, so that the next one does not decide on a store that is older. */
export class ConsistencyTracker {
  readonly #clock: Clock;
  readonly #patience: number;
  readonly #writes = new Map<string, Write[]>();

  constructor(options: ConsistencyOptions) {
    this.#clock = options.clock;
    this.#patience = (options.patienceSeconds ?? 10) * 1000;
  }

  /** The reconcile of `key` wrote this object, whose kind the given informer watches. */
  wrote(key: string, progress: Progress, object: { metadata: { namespace?: string; resourceVersion: string } }): void {
    const { namespace = "", resourceVersion } = object.metadata;
    if (progress.hasSeen(namespace, resourceVersion)) return;
    const writes = this.#writes.get(key) ?? [];
    const isSame = (write: Write) => write.progress === progress && write.namespace === namespace;
    const earlier = writes.find(isSame);
    // Writes may be told out of order; the newest includes the others.
    if (earlier && compareResourceVersions(earlier.resourceVersion, resourceVersion) >= 0) return;
    const others = writes.filter((write) => !isSame(write));
    this.#writes.set(key, [...others, { progress, namespace, resourceVersion, at: this.#clock.monotonic() }]);
  }

  /** True when the stores reflect all that was written for the key. */
  isReady(key: string): boolean {
    const writes = this.#writes.get(key);
    if (!writes) return true;
    const now = this.#clock.monotonic();
    const open = writes.filter(
      (write) => now - write.at < this.#patience && !write.progress.hasSeen(write.namespace, write.resourceVersion),
    );
    if (open.length > 0) this.#writes.set(key, open);
    else this.#writes.delete(key);
    return open.length === 0;
  }
}
