/** Carries out writes, and turns refusals that a user must know of into failures. */
import { GROUP } from "../crds/common.ts";
import type { Client } from "./kernel/client.ts";
import type { ConsistencyTracker, Progress } from "./kernel/consistency.ts";
import { ApiError } from "./kernel/errors.ts";
import { controllerOf, type KubernetesObject, type Stored } from "./kernel/meta.ts";
import type { Resource } from "./kernel/resource.ts";
import { inOwnFields, quotaFailure } from "./pods/refusal.ts";
import type { Failure, Note } from "./reasons.ts";
import { truncate } from "./kernel/conditions.ts";
import type { Write } from "./writes.ts";

/** Why a child could not be written. */
export interface Refusal {
  readonly failure: Failure;
  /** Name of the child. */
  readonly child: string;
  /** False: nothing changes before the user changes the object. */
  readonly mayPass: boolean;
}

export interface Written {
  readonly notes: readonly Note[];
  readonly refusal?: Refusal | undefined;
  /** The stores are behind: look again soon. */
  readonly stale: boolean;
}

type End = Omit<Written, "notes">;

interface ChildrenOptions {
  readonly client: Pick<Client, "create" | "apply" | "patch" | "delete" | "find">;
  readonly consistency: ConsistencyTracker;
  /** The informers of the children's kinds, by plural. */
  readonly informers: Readonly<Record<string, Progress>>;
}

interface OwnerIdentity {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly uid: string };
}

export class Children {
  readonly #options: ChildrenOptions;

  constructor(options: ChildrenOptions) {
    this.#options = options;
  }

  /** Writes in order, and what stands beside another together. The first refusal ends it: what follows may depend on it. */
  async write(key: string, owner: OwnerIdentity, writes: readonly Write[], signal: AbortSignal): Promise<Written> {
    const notes: Note[] = [];
    for (const together of groups(writes)) {
      const results = await Promise.allSettled(together.map((write) => this.#try(key, owner, write, signal)));
      let end: End | undefined;
      for (const [index, result] of results.entries()) {
        if (result.status === "rejected") throw result.reason;
        const { note } = together[index] ?? {};
        if (result.value !== undefined) end ??= result.value;
        else if (note !== undefined) notes.push(note);
      }
      if (end !== undefined) return { notes, ...end };
    }
    return { notes, stale: false };
  }

  /** Undefined when it is written; otherwise why nothing may follow. */
  async #try(key: string, owner: OwnerIdentity, write: Write, signal: AbortSignal): Promise<End | undefined> {
    try {
      const done = await this.#one(write, signal);
      const informer = this.#options.informers[write.resource.plural];
      if (done !== undefined && informer !== undefined) this.#options.consistency.wrote(key, informer, done);
      return undefined;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // The namespace goes, and all that is in it: nothing is left to do.
      if (error.isNamespaceTerminating) return { stale: false };
      // What is gone needs no change any more.
      if (error.isNotFound && write.verb === "patch") return undefined;
      if (error.isAlreadyExists && write.verb === "create") {
        if (write.unique === true) return undefined;
        const refusal = await this.#conflict(write.resource, write.object.metadata, owner, signal);
        return { refusal, stale: refusal === undefined };
      }
      const refusal = refusalOf(error, write);
      if (refusal === undefined) throw error;
      return { refusal, stale: false };
    }
  }

  async #one(write: Write, signal: AbortSignal): Promise<Stored<KubernetesObject> | undefined> {
    const { client } = this.#options;
    switch (write.verb) {
      case "create":
        return client.create(write.resource, write.object, { signal });
      case "apply":
        return client.apply(write.resource, write.object, { signal });
      case "patch": {
        const { name, namespace, uid } = write.metadata;
        const patch = { ...write.patch, metadata: { ...write.patch.metadata, uid } };
        return client.patch(write.resource, namespace, name, patch, { signal });
      }
      case "delete": {
        const { name, namespace, uid, resourceVersion } = write.metadata;
        await client.delete(write.resource, namespace, name, { uid, resourceVersion, signal });
        return undefined;
      }
    }
  }

  /** Undefined where the object is ours after all, or belonged to a former object of the same name and will go. */
  async #conflict(
    resource: Resource<KubernetesObject>,
    { namespace, name }: { namespace: string; name: string },
    owner: OwnerIdentity,
    signal: AbortSignal,
  ): Promise<Refusal | undefined> {
    const live = await this.#options.client.find(resource, namespace, name, { signal });
    if (live === undefined) return undefined;
    const controller = controllerOf(live);
    const isOurKind = controller?.kind === owner.kind && controller.apiVersion.startsWith(`${GROUP}/`);
    if (isOurKind && controller.name === owner.metadata.name) return undefined;
    const belongs = controller === undefined ? "" : ` and belongs to ${controller.kind} ${controller.name}`;
    const message = `${resource.kind} ${name} exists${belongs}; remove it, or choose another name for this ${owner.kind}`;
    return { failure: { reason: "NameConflict", message }, child: name, mayPass: true };
  }
}

function groups(writes: readonly Write[]): Write[][] {
  const all: Write[][] = [];
  for (const write of writes) {
    const last = all.at(-1);
    if (write.beside === true && last !== undefined) last.push(write);
    else all.push([write]);
  }
  return all;
}

/** Refusals that a user can do something about; undefined for those that pass by themselves. */
function refusalOf(error: ApiError, write: Write): Refusal | undefined {
  const child = write.verb === "create" || write.verb === "apply" ? write.object.metadata.name : write.metadata.name;
  const text = truncate(serverMessage(error), 700);
  const of = `${write.resource.kind} ${child}`;
  if (error.isInvalid || error.status === 400) {
    const message = `the API server refused ${of}: ${inOwnFields(text)}; correct spec`;
    return { failure: { reason: "InvalidSpec", message }, child, mayPass: false };
  }
  // Admission learns of new kinds some seconds after the API server serves them.
  if (!error.isForbidden || error.message.includes("cannot find RESTMapping")) return undefined;
  const quota = quotaFailure(text);
  if (quota !== undefined) return { failure: quota, child, mayPass: true };
  const message = `the API server refused ${of}: ${text}; correct spec, or ask the administrator of the cluster`;
  return { failure: { reason: "AdmissionRefused", message }, child, mayPass: true };
}

/** The server's own words, without the call that they answered. */
function serverMessage(error: ApiError): string {
  return error.message.replace(/^[A-Z]+ \S+: \d+ \w+: /, "");
}
