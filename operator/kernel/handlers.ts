import type { Change, ChangeHandler } from "./informer.ts";
import { controllerOf, type Identified, keyOf } from "./meta.ts";
import { highPriority, lowPriority, type WorkQueue } from "./queue.ts";
import type { ResourceName } from "./resource.ts";

export interface HandlerOptions {
  /** Changes that come together become one reconcile: what is not urgent waits so long for others; default 0. */
  readonly gatherSeconds?: number | undefined;
}

/**
 * Enqueues the changed object itself. A new one, and one whose spec has changed, goes ahead of whatever else has happened;
 * objects of the first list wait behind it.
 */
export function enqueueSelf<P extends Identified>(queue: WorkQueue, options: HandlerOptions = {}): ChangeHandler<P> {
  return (change) => {
    const { key, before, after, initial } = change;
    const isOther = before === undefined || before.metadata.generation !== after?.metadata.generation;
    const isAsked = !initial && after !== undefined && isOther;
    if (isAsked) queue.add(key, { priority: highPriority });
    else queue.add(key, { priority: priorityOf(change), afterSeconds: options.gatherSeconds });
  };
}

/** Enqueues the object of the given kind that controls the changed one: before and after, should that differ. */
export function enqueueOwner<P extends Identified>(
  queue: WorkQueue,
  owner: ResourceName,
  options: HandlerOptions = {},
): ChangeHandler<P> {
  const ownerOf = (record: P) => {
    const reference = controllerOf(record);
    const isOurs = reference?.kind === owner.kind && groupOf(reference.apiVersion) === owner.group;
    return isOurs ? [keyOf(record.metadata.namespace, reference.name)] : [];
  };
  return enqueueMapped(queue, ownerOf, options);
}

/**
 * Enqueues the keys that `map` names for the record before and after the change. A change of which the record shows
 * nothing, but for its version, is none.
 */
export function enqueueMapped<P extends Identified>(
  queue: WorkQueue,
  map: (record: P) => readonly string[],
  options: HandlerOptions = {},
): ChangeHandler<P> {
  return (change) => {
    if (change.before && change.after && isSame(change.before, change.after)) return;
    const keys = new Set<string>();
    for (const record of [change.before, change.after]) {
      if (record) for (const key of map(record)) keys.add(key);
    }
    for (const key of keys) queue.add(key, { priority: priorityOf(change), afterSeconds: options.gatherSeconds });
  };
}

function isSame(before: Identified, after: Identified): boolean {
  const { resourceVersion } = after.metadata;
  const unchanged = { ...before, metadata: { ...before.metadata, resourceVersion } };
  return JSON.stringify(unchanged) === JSON.stringify(after);
}

function priorityOf<P>(change: Change<P>): number {
  return change.initial ? lowPriority : 0;
}

function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash === -1 ? "" : apiVersion.slice(0, slash);
}
