import { describe, expect, it } from "@jest/globals";
import { Children } from "./children.ts";
import { systemClock } from "./kernel/clock.ts";
import { ConsistencyTracker } from "./kernel/consistency.ts";
import { ApiError, type StatusDetails } from "./kernel/errors.ts";
import { Resources } from "./kernel/resource.ts";
import type { Create } from "./writes.ts";

const owner = { kind: "TrainingJob", metadata: { name: "digits", uid: "1" } };
const create: Create = {
  verb: "create",
  resource: Resources.ConfigMap,
  object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "digits-1", namespace: "lab" } },
};

/** Writes a child that the API server answers with an error. */
function written(status: number, reason: string, message: string, details?: StatusDetails) {
  const refuse = () => Promise.reject(new ApiError({ status, reason, message, details }));
  const client = { create: refuse, apply: refuse, patch: refuse, delete: refuse, find: refuse };
  const consistency = new ConsistencyTracker({ clock: systemClock });
  const children = new Children({ client, consistency, informers: {} });
  return children.write("lab/digits", owner, [create], new AbortController().signal);
}

describe("a child that the API server refuses", () => {
  it("is a failure with the server's words, its field and a remedy", async () => {
    const { refusal } = await written(422, "Invalid", "ConfigMap is invalid: metadata.name");
    expect(refusal).toMatchObject({ mayPass: false, failure: { reason: "InvalidSpec" } });
    expect(refusal?.failure.message).toMatch(/ConfigMap digits-1: ConfigMap is invalid: metadata\.name; correct spec/);
  });

  it("for a quota of objects is one that may pass", async () => {
    const { refusal } = await written(403, "Forbidden", "forbidden: exceeded quota: objects, used: count/configmaps=5");
    expect(refusal).toMatchObject({ mayPass: true, failure: { reason: "QuotaExceeded" } });
  });

  it("because kinds that were just installed are not known everywhere yet is tried again, and nobody's fault", async () => {
    const message =
      'cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion modelwright.dev/v1alpha1 Kind TrainingJob: no matches for kind "TrainingJob"';
    await expect(written(403, "Forbidden", message)).rejects.toThrow("cannot find RESTMapping");
  });

  it("because its namespace goes is nothing to tell or to try again: all in it goes", async () => {
    const message = "unable to create new content in namespace lab because it is being terminated";
    const causes = [{ reason: "NamespaceTerminating", message: "namespace lab is being terminated" }];
    expect(await written(403, "Forbidden", message, { causes })).toEqual({ notes: [], stale: false });
  });
});

const exists = () => Promise.reject(new ApiError({ status: 409, reason: "AlreadyExists", message: "exists" }));

/** Writes a child of whose name there is one already, which belongs to such an owner. */
async function taken(apiVersion: string, kind: string, name: string) {
  const ownerReferences = [{ apiVersion, kind, name, uid: "2", controller: true }];
  const metadata = { name: "digits-1", namespace: "lab", uid: "3", resourceVersion: "1", ownerReferences };
  const find = () => Promise.resolve({ apiVersion: "v1", kind: "ConfigMap", metadata } as never);
  const client = { create: exists, apply: exists, patch: exists, delete: exists, find };
  const consistency = new ConsistencyTracker({ clock: systemClock });
  const children = new Children({ client, consistency, informers: {} });
  return children.write("lab/digits", owner, [create], new AbortController().signal);
}

describe("a child whose name is taken", () => {
  it("by what belonged to a former object of its owner's name waits until that has gone", async () => {
    expect(await taken("modelwright.dev/v1alpha1", "TrainingJob", "digits")).toEqual({ notes: [], stale: true });
  });

  it.each([
    ["another object", "modelwright.dev/v1alpha1", "TrainingJob", "letters"],
    ["an object of another group's kind", "other.dev/v1", "TrainingJob", "digits"],
  ])("by %s is told with its owner and a remedy", async (_whose, apiVersion, kind, name) => {
    const { refusal } = await taken(apiVersion, kind, name);
    expect(refusal).toMatchObject({ mayPass: true, failure: { reason: "NameConflict" } });
    expect(refusal?.failure.message).toContain(`belongs to TrainingJob ${name}; remove it, or choose another name`);
  });
});

const named = (name: string): Create => ({
  ...create,
  object: { ...create.object, metadata: { name, namespace: "lab" } },
});

const refuse = () => Promise.reject(new Error("not called"));

describe("children", () => {
  it("that stand beside each other are sent together, and what follows waits for both", async () => {
    const sent: string[] = [];
    const answers = new Map<string, () => void>();
    const store = (_: unknown, { metadata }: { metadata: { name: string } }) => {
      sent.push(metadata.name);
      const stored = { ...create.object, metadata: { ...create.object.metadata, uid: "2", resourceVersion: "1" } };
      return new Promise<never>((resolve) => answers.set(metadata.name, () => resolve(stored as never)));
    };
    const client = { create: store, apply: refuse, patch: refuse, delete: refuse, find: refuse };
    const consistency = new ConsistencyTracker({ clock: systemClock });
    const children = new Children({ client: client as never, consistency, informers: {} });
    const writes = [named("one"), { ...named("two"), beside: true as const }, named("three")];
    const done = children.write("lab/digits", owner, writes, new AbortController().signal);

    expect(sent).toEqual(["one", "two"]);
    answers.get("two")?.();
    await Promise.resolve();
    expect(sent).toEqual(["one", "two"]);
    answers.get("one")?.();
    await new Promise(setImmediate);
    expect(sent).toEqual(["one", "two", "three"]);
    answers.get("three")?.();
    expect(await done).toEqual({ notes: [], stale: false });
  });
});
