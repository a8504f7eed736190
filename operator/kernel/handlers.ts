import type { Change, ChangeHandler } from "./informer.ts";
import { controllerOf, type Identified, keyOf } from "./meta.ts";
import { lowPriority, type WorkQueue } from "./queue.ts";
import type { ResourceName } from "./resource.ts";

/** Enqueues the changed object itself. Objects of the first list wait behind what happens now. */
export function enqueueSelf<P extends Identified>(queue: WorkQueue): ChangeHandler<P> {
  return (change) => queue.add(change.key, { priority: priorityOf(change) });
}

/** Enqueues the object of the given kind that controls the changed one: before and after, should that differ. */
export function enqueueOwner<P extends Identified>(queue: WorkQueue, owner: ResourceName): ChangeHandler<P> {
  return enqueueMapped(queue, (record) => {
    const reference = controllerOf(record);
    const isOurs = reference?.kind === owner.kind && groupOf(reference.apiVersion) === owner.group;
    return isOurs ? [keyOf(record.metadata.namespace, reference.name)] : [];
  });
}

/** Enqueues the keys that `map` names for the record before and after the change. */
export function enqueueMapped<P extends Identified>(
  queue: WorkQueue,
  map: (record: P) => readonly string[],
): ChangeHandler<P> {
  return (change) => {
    const keys = new Set<string>();
    for (const record of [change.before, change.after]) {
      if (record) for (const key of map(record)) keys.add(key);
    }
    for (const key of keys) queue.add(key, { priority: priorityOf(change) });
  };
}

function priorityOf<P>(change: Change<P>): number {
  return change.initial ? lowPriority : 0;
}

function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash === -1 ? "" : apiVersion.slice(0, slash);
}
