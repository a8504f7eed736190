/** What the API server says that it was asked, by whom and when: its audit log. */
import { open, writeFile } from "node:fs/promises";

/** One request of a program. */
export interface Asked {
  /** Such as create, apply, update, patch, delete, get, list, watch. */
  readonly verb: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  readonly code: number;
  /** When the server received it, and when it had answered; milliseconds. */
  readonly received: number;
  readonly answered: number;
}

interface AuditEvent {
  readonly stage: string;
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string; readonly name?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

const WRITES = ["create", "update", "patch", "delete", "deletecollection"];

export const isWrite = ({ verb }: Asked): boolean => WRITES.includes(verb);
export const isLease = ({ resource }: Asked): boolean => resource === "leases";
const isFollowing = ({ verb }: Asked): boolean => verb === "watch" || verb === "list";
/** Neither the lease nor lists and watches. */
export const isWork = (asked: Asked): boolean => !isLease(asked) && !isFollowing(asked);
export const isEvent = ({ resource }: Asked): boolean => resource === "events";

/** Arguments of kube-apiserver by which it records all requests of these users, and what the administrator writes of our kinds. */
export async function auditArguments(policy: string, log: string, users: readonly string[]): Promise<string[]> {
  const rules = [
    { level: "Metadata", users },
    { level: "Metadata", users: ["admin"], verbs: ["create", "patch"], resources: [{ group: "modelwright.dev" }] },
    { level: "None" },
  ];
  const omitStages = ["RequestReceived", "Panic"];
  await writeFile(policy, JSON.stringify({ apiVersion: "audit.k8s.io/v1", kind: "Policy", omitStages, rules }));
  return [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`];
}

/** Reads the log as it grows. */
export class Audit {
  readonly #path: string;
  readonly #byUser = new Map<string, Asked[]>();
  #position = 0;
  #rest = "";
  #reading: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** All requests of a user so far that were received since a time (milliseconds). */
  async of(user: string, since = 0): Promise<Asked[]> {
    // One reader at a time: each goes on where the last one ended.
    this.#reading = this.#reading.then(() => this.#read());
    await this.#reading;
    return (this.#byUser.get(user) ?? []).filter(({ received }) => received >= since);
  }

  async #read(): Promise<void> {
    const file = await open(this.#path);
    try {
      const chunk = Buffer.alloc(1 << 20);
      for (;;) {
        const { bytesRead } = await file.read(chunk, 0, chunk.length, this.#position);
        if (bytesRead === 0) return;
        this.#position += bytesRead;
        // One byte a character: half a character at a chunk's end stays whole, and nothing but ASCII is looked at.
        const lines = (this.#rest + chunk.toString("latin1", 0, bytesRead)).split("\n");
        this.#rest = lines.pop() ?? "";
        for (const line of lines) this.#take(JSON.parse(line) as AuditEvent);
      }
    } finally {
      await file.close();
    }
  }

  #take({ stage, verb, user, objectRef = {}, responseStatus, ...times }: AuditEvent): void {
    // A watch counts when it begins, anything else when it is done.
    if (stage !== (verb === "watch" ? "ResponseStarted" : "ResponseComplete")) return;
    const { resource = "", subresource = "", name = "" } = objectRef;
    const all = this.#byUser.get(user.username) ?? [];
    this.#byUser.set(user.username, all);
    all.push({
      verb,
      resource,
      subresource,
      name,
      code: responseStatus?.code ?? 0,
      received: Date.parse(times.requestReceivedTimestamp),
      answered: Date.parse(times.stageTimestamp),
    });
  }
}
