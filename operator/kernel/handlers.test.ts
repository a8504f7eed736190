import { enqueueMapped, enqueueOwner, enqueueSelf } from "./handlers.ts";
import type { Change } from "./informer.ts";
import type { Identified } from "./meta.ts";
import { WorkQueue } from "./queue.ts";
import { customResource } from "./resource.ts";
import { FakeClock } from "./testing/fake-clock.ts";

const Owner = customResource({
  group: "kernel.test",
  version: "v1",
  plural: "owners",
  kind: "Owner",
  namespaced: true,
});

function record(name: string, owner?: { kind: string; apiVersion: string; name: string }): Identified {
  const ownerReferences = owner ? [{ ...owner, uid: owner.name, controller: true }] : [];
  return { metadata: { namespace: "ns", name, uid: name, resourceVersion: "1", ownerReferences } };
}

function generation(name: string, number: number): Identified {
  const { metadata } = record(name);
  return { metadata: { ...metadata, generation: number } };
}

function change(after: Identified, more: Partial<Change<Identified>> = {}): Change<Identified> {
  return { key: `ns/${after.metadata.name}`, before: undefined, after, initial: false, ...more };
}

/** The keys in the order in which workers get them. */
async function taken(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  for (let left = queue.pending.length; left > 0; left--) keys.push((await queue.take())?.key ?? "");
  return keys;
}

const newQueue = () => new WorkQueue({ name: "test", clock: new FakeClock() });

describe("what the queue is told of a change", () => {
  it("lets what happens now overtake what the first list found", async () => {
    const queue = newQueue();
    const tell = enqueueSelf(queue);
    for (const name of ["a", "b", "c"]) tell(change(record(name), { initial: true }));
    tell(change(record("new")));
    tell(change(record("b")));
    expect(await taken(queue)).toEqual(["ns/b", "ns/new", "ns/a", "ns/c"]);
  });

  it("puts what somebody asks for ahead of what follows from it", async () => {
    const queue = newQueue();
    const tell = enqueueSelf<Identified>(queue);
    const old = generation("old", 1);
    tell(change(old, { before: old }));
    tell(change(generation("changed", 2), { before: generation("changed", 1) }));
    expect(await taken(queue)).toEqual(["ns/changed", "ns/old"]);
  });

  it("gathers changes that come together, but lets nobody wait for what was asked for", async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ name: "test", clock });
    const child = enqueueOwner(queue, Owner, { gatherSeconds: 0.1 });
    const own = enqueueSelf<Identified>(queue, { gatherSeconds: 0.1 });
    const owned = record("child", { kind: "Owner", apiVersion: "kernel.test/v1", name: "first" });
    child(change(owned));
    await clock.advance(60);
    child(change({ metadata: { ...owned.metadata, labels: { a: "b" } } }, { before: owned }));
    own(change(generation("asked", 1)));
    expect(queue.depth).toBe(1);
    expect(await queue.take()).toMatchObject({ key: "ns/asked" });
    await clock.advance(40);
    expect(await queue.take()).toMatchObject({ key: "ns/first" });
    expect(queue.pending).toEqual([]);
  });

  it("leads from a child to the owner of the given kind, and to both when the owner changes", async () => {
    const queue = newQueue();
    const tell = enqueueOwner(queue, Owner);
    const owned = (name: string) => record("child", { kind: "Owner", apiVersion: "kernel.test/v1", name });
    tell(change(owned("second"), { before: owned("first") }));
    tell(change(record("child", { kind: "Owner", apiVersion: "other.test/v1", name: "stranger" })));
    tell(change(record("orphan")));
    expect(await taken(queue)).toEqual(["ns/first", "ns/second"]);
  });

  it("says nothing of a change that the record does not show", async () => {
    const queue = newQueue();
    const tell = enqueueMapped<Identified>(queue, ({ metadata }) => [`ns/${metadata.name}`]);
    const next = record("a");
    tell(change({ metadata: { ...next.metadata, resourceVersion: "2" } }, { before: next }));
    expect(queue.pending).toEqual([]);
    tell(change({ metadata: { ...next.metadata, resourceVersion: "3", labels: { a: "b" } } }, { before: next }));
    expect(queue.pending).toEqual(["ns/a"]);
  });

  it("leads to each key once, also when an object is gone", async () => {
    const queue = newQueue();
    const tell = enqueueMapped<Identified>(queue, ({ metadata }) => [`ns/of-${metadata.name}`]);
    tell(change(record("a"), { before: generation("a", 1) }));
    tell({ key: "ns/b", before: record("b"), after: undefined, initial: false });
    expect(await taken(queue)).toEqual(["ns/of-a", "ns/of-b"]);
  });
});
