/** One informer that meets one fault in one phase of its life, before a real API server. */
import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Client } from "../../../operator/kernel/client.ts";
import { Informer } from "../../../operator/kernel/informer.ts";
import type { Connection } from "../../../operator/kernel/kube-config.ts";
import type { Stored } from "../../../operator/kernel/meta.ts";
import { Resources } from "../../../operator/kernel/resource.ts";
import { until } from "../../cluster/wait.ts";
import { type Fault, FaultProxy, type SeenRequest, type Stream } from "../../faults/proxy.ts";

export const isWatch = ({ query }: SeenRequest) => query.get("watch") === "true" && !query.has("sendInitialEvents");
export const isStreamedList = ({ query }: SeenRequest) => query.has("sendInitialEvents");
const isPage = ({ query }: SeenRequest) => query.has("limit");
const isSecondPage = ({ query }: SeenRequest) => query.has("continue");

const failure = (code: number, reason: string) => ({ kind: "Status", code, reason, message: "injected" });
const answer = (status: number, reason: string, headers = {}): Fault => ({
  kind: "answer",
  status,
  headers,
  body: failure(status, reason),
});
const expired = JSON.stringify({ type: "ERROR", object: failure(410, "Expired") });

/** Some pieces an object, and faster than a busy watch writes. */
const dripping = { bytes: 200, everyMilliseconds: 10 };

interface Trouble {
  /** What requests meet, and how many of them. */
  readonly request: Fault;
  readonly times: number;
  /** What happens to a watch that is open. */
  readonly stream: (stream: Stream) => void;
}

const refused = (request: Fault): Trouble => ({ request, times: 2, stream: (stream) => stream.end() });
const cutShort = (ending: "end" | "reset" | "silence", stream: Trouble["stream"]): Trouble => ({
  request: { kind: "cut", bytes: 300, ending },
  times: 1,
  stream,
});

export const troubles = {
  "a 429 with Retry-After": refused(answer(429, "TooManyRequests", { "retry-after": "1" })),
  "a 500": refused(answer(500, "InternalError")),
  "a 503": refused(answer(503, "ServiceUnavailable")),
  "a 401": refused(answer(401, "Unauthorized")),
  "a 403": refused(answer(403, "Forbidden")),
  "a 410": {
    request: answer(410, "Expired"),
    times: 1,
    stream: (stream) => {
      stream.say(`${expired}\n`);
      stream.end();
    },
  },
  "a page of another server": {
    request: { kind: "answer", status: 200, body: "<html>sorry</html>" },
    times: 1,
    stream: (stream) => stream.say("<html>sorry</html>\n"),
  },
  "a clean end": cutShort("end", (stream) => stream.end()),
  "an end in the middle of a line": cutShort("end", (stream) => {
    stream.say('{"type":"ADDED","object":{"metadata":{"name":"half');
    stream.end();
  }),
  "a reset": cutShort("reset", (stream) => stream.reset()),
  "an answer that drips": {
    request: { kind: "drip", ...dripping },
    times: 1,
    stream: (stream) => stream.drip(dripping),
  },
  "a refused connection": { request: { kind: "reset" }, times: 2, stream: (stream) => stream.reset() },
  "silence without an end": cutShort("silence", (stream) => stream.freeze()),
} as const satisfies Record<string, Trouble>;

export type TroubleName = keyof typeof troubles;

export const phases = ["the initial list", "page 2 of the list", "an idle watch", "a busy watch"] as const;
export type Phase = (typeof phases)[number];

/** What counts after the fault. */
export interface Recovery {
  /** Until an object that was made right after the fault was in the store. */
  readonly seconds: number;
  readonly relists: number;
  /** For a fault of a watch those that met it too. */
  readonly reconnects: number;
  /** Faults that nothing has met: there should be none. */
  readonly unmet: number;
  /** Whether in the end the store held exactly what the server holds. */
  readonly isComplete: boolean;
}

export interface FaultRunOptions {
  readonly connection: Connection;
  readonly direct: Client;
  /** Of its own, with at least two objects. */
  readonly namespace: string;
  /** Undefined: none, to see how long the same takes without. */
  readonly trouble: TroubleName | undefined;
  readonly phase: Phase;
  readonly watchSeconds: number;
}

export class FaultRun {
  readonly #options: FaultRunOptions;
  readonly #trouble: Trouble | undefined;
  readonly #proxy: FaultProxy;
  readonly #quiet = new AbortController();
  #lists = 0;

  constructor(options: FaultRunOptions) {
    this.#options = options;
    this.#trouble = options.trouble && troubles[options.trouble];
    this.#proxy = new FaultProxy(options.connection, { pageSize: 1 });
  }

  async run(): Promise<Recovery> {
    const { namespace, watchSeconds } = this.#options;
    const client = new Client(await this.#proxy.start(), { userAgent: "kernel-test", fieldManager: "kernel-test" });
    const stop = new AbortController();
    const informer = new Informer({
      client,
      resource: Resources.ConfigMap,
      namespaces: [namespace],
      watchSeconds,
      observer: { attach: () => undefined, failed: () => undefined, listed: () => this.#lists++ },
    });
    if (this.#meetsList) this.#prepareList();
    const ends = [informer.run(stop.signal)];
    if (this.#options.phase === "a busy watch") ends.push(this.#write());
    try {
      return this.#meetsList ? await this.#observeList(informer) : await this.#observeWatch(informer);
    } finally {
      this.#quiet.abort();
      stop.abort();
      await Promise.all(ends);
      await client.close();
      await this.#proxy.stop();
    }
  }

  get #meetsList(): boolean {
    return this.#options.phase === "the initial list" || this.#options.phase === "page 2 of the list";
  }

  #prepareList(): void {
    const isFirst = this.#options.phase === "the initial list";
    if (!isFirst) this.#proxy.inject(answer(422, "Invalid"), isStreamedList);
    if (this.#trouble === undefined) return;
    const { request, times } = this.#trouble;
    this.#proxy.inject(request, isFirst ? isStreamedList : isSecondPage, times);
  }

  async #observeList(informer: Informer<IConfigMap>): Promise<Recovery> {
    const seconds = await this.#seesNews(informer);
    const { afterFault } = this.#proxy;
    const begun = afterFault.filter(
      (request) => isStreamedList(request) || (isPage(request) && !isSecondPage(request)),
    );
    return this.#outcome(informer, seconds, begun.length, afterFault.filter(isWatch).length);
  }

  async #observeWatch(informer: Informer<IConfigMap>): Promise<Recovery> {
    const open = () => [...this.#proxy.streams].find(({ request }) => isWatch(request));
    const stream = await until("the informer watches", async () => open(), { every: 10 });
    const watches = this.#count(isWatch);
    if (this.#trouble !== undefined) this.#hurt(stream, this.#trouble);
    const seconds = await this.#seesNews(informer);
    return this.#outcome(informer, seconds, this.#lists - 1, this.#count(isWatch) - watches);
  }

  #hurt(stream: Stream, { request, times, stream: hurt }: Trouble): void {
    if (request.kind === "answer" && request.status >= 400 && request.status !== 410) {
      this.#proxy.inject(request, isWatch, times);
    }
    hurt(stream);
  }

  async #seesNews(informer: Informer<IConfigMap>): Promise<number> {
    const { direct, namespace } = this.#options;
    const started = performance.now();
    await direct.apply(Resources.ConfigMap, { metadata: { namespace, name: "news" }, data: {} });
    const seen = async () => informer.hasSynced && informer.store.get(namespace, "news") !== undefined;
    await until("news", seen, { within: 40_000, every: 10 });
    return (performance.now() - started) / 1000;
  }

  async #outcome(
    informer: Informer<IConfigMap>,
    seconds: number,
    relists: number,
    reconnects: number,
  ): Promise<Recovery> {
    const { direct, namespace } = this.#options;
    const isSame = async () => {
      const { items } = await direct.list(Resources.ConfigMap, { namespace });
      return versions(items) === versions(informer.store.list());
    };
    this.#quiet.abort();
    const isComplete = await until("the same as on the server", isSame, { within: 20_000, every: 20 }).catch(
      () => false,
    );
    return { seconds, relists, reconnects, unmet: this.#proxy.pending, isComplete };
  }

  #count(matches: (request: SeenRequest) => boolean): number {
    return this.#proxy.requests.filter(matches).length;
  }

  /** Changes an object again and again, until it is to be quiet. */
  async #write(): Promise<void> {
    const { direct, namespace } = this.#options;
    for (let value = 0; !this.#quiet.signal.aborted; value++) {
      const metadata = { namespace, name: "busy" };
      await direct.apply(Resources.ConfigMap, { metadata, data: { value: String(value) } });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function versions(objects: readonly Stored<IConfigMap>[]): string {
  return objects
    .map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`)
    .sort((left, right) => left.localeCompare(right))
    .join();
}
