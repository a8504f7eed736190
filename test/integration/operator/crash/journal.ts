/** Hears of every change of every object, beside the operator: what there is, and what came and went. */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Agent, request } from "undici";
import { LABELS, MANAGED_BY } from "../../../../crds/contract/names.ts";
import type { ApiServer } from "../../../cluster/apiserver.ts";

export interface Seen {
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly generation?: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly object[];
    readonly deletionTimestamp?: string;
  };
  readonly immutable?: boolean;
  readonly data?: Readonly<Record<string, string>>;
  // Tests look at members of any kind.
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

const OWNERS = { trainingjobs: "", optimizationjobs: "", modeldeployments: "" } as const;
export const CHILDREN = {
  configmaps: "/api/v1",
  services: "/api/v1",
  secrets: "/api/v1",
  pods: "/api/v1",
  jobs: "/apis/batch/v1",
  deployments: "/apis/apps/v1",
  poddisruptionbudgets: "/apis/policy/v1",
} as const;

export type OwnerPlural = keyof typeof OWNERS;
export type ChildPlural = keyof typeof CHILDREN;
export type Plural = OwnerPlural | ChildPlural;
export const CHILD_PLURALS = Object.keys(CHILDREN) as ChildPlural[];

/** Their names differ in each life. */
const NAMED_ANEW: readonly Plural[] = ["pods", "secrets"];

export interface Heard {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly plural: Plural;
  readonly object: Seen;
}

/** What has been seen of one namespace. */
export class Chapter {
  readonly #live = new Map<string, Seen>();
  /** How often each object was created or deleted; pods and Secrets count by the revision or run that they are of. */
  readonly counts = new Map<string, number>();
  lastChange = performance.now();

  hear({ type, plural, object }: Heard): void {
    this.lastChange = performance.now();
    const key = `${plural}/${object.metadata.name}`;
    if (type === "DELETED") this.#live.delete(key);
    else this.#live.set(key, object);
    if (type === "MODIFIED") return;
    const { labels = {} } = object.metadata;
    const counted = NAMED_ANEW.includes(plural)
      ? `${plural} of ${labels[LABELS.revision] ?? labels[LABELS.run] ?? ""}`
      : key;
    const what = `${type === "ADDED" ? "creation" : "deletion"} of ${counted}`;
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  find(plural: Plural, name: string): Seen | undefined {
    return this.#live.get(`${plural}/${name}`);
  }

  all(plural: Plural): Seen[] {
    return [...this.#live].filter(([key]) => key.startsWith(`${plural}/`)).map(([, object]) => object);
  }
}

export class Journal {
  readonly #chapters = new Map<string, Chapter>();
  readonly #listeners: ((heard: Heard) => void)[] = [];
  readonly #stopping = new AbortController();
  readonly #streams: Promise<void>[] = [];
  #agent: Agent | undefined;

  static async open(server: ApiServer): Promise<Journal> {
    const journal = new Journal();
    const [ca, cert, key] = await Promise.all([server.caFile, server.certFile, server.keyFile].map((f) => readFile(f)));
    const agent = (journal.#agent = new Agent({ connect: { ca, cert, key }, bodyTimeout: 0 }));
    const selector = `&labelSelector=${encodeURIComponent(`${LABELS.managedBy}=${MANAGED_BY}`)}`;
    const owners = (Object.keys(OWNERS) as OwnerPlural[]).map(
      (plural) => [plural, `/apis/modelwright.dev/v1alpha1/${plural}?watch=1`] as const,
    );
    const children = CHILD_PLURALS.map(
      (plural) => [plural, `${CHILDREN[plural]}/${plural}?watch=1${selector}`] as const,
    );
    for (const [plural, path] of [...owners, ...children]) {
      journal.#streams.push(journal.#follow(plural, server.url + path, agent));
    }
    return journal;
  }

  of(namespace: string): Chapter {
    const chapter = this.#chapters.get(namespace) ?? new Chapter();
    this.#chapters.set(namespace, chapter);
    return chapter;
  }

  onChange(listener: (heard: Heard) => void): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#streams);
    await this.#agent?.destroy();
  }

  async #follow(plural: Plural, url: string, dispatcher: Agent): Promise<void> {
    const { signal } = this.#stopping;
    try {
      const { body } = await request(url, { dispatcher, signal, headersTimeout: 0 });
      for await (const line of createInterface({ input: body })) {
        const heard = { ...(JSON.parse(line) as Omit<Heard, "plural">), plural };
        this.of(heard.object.metadata.namespace).hear(heard);
        for (const listener of this.#listeners) listener(heard);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
