/** What the management ports of KWOK's pods would answer: one server for all their addresses, which the bench routes to loopback. */
import { createServer, type Server } from "node:http";
import { type Client } from "../../operator/kernel/client.ts";
import { Informer } from "../../operator/kernel/informer.ts";
import type { Identified } from "../../operator/kernel/meta.ts";
import { Resources } from "../../operator/kernel/resource.ts";
import { LABELS, MANAGED_BY, PORTS } from "../../crds/contract/names.ts";
import type { ServingProgress } from "../../crds/contract/progress.ts";

interface Served extends Identified {
  readonly ip: string;
  readonly revision: string;
}

export class Pods {
  readonly #client: Client;
  readonly #model: { readonly uri: string; readonly digest: string };
  readonly #revisions = new Map<string, string>();
  readonly #stopping = new AbortController();
  #server: Server | undefined;
  #running: Promise<void> | undefined;
  #asked = 0;

  constructor(client: Client, model: { uri: string; digest: string }) {
    this.#client = client;
    this.#model = model;
  }

  /** Questions answered so far. */
  get asked(): number {
    return this.#asked;
  }

  async start(): Promise<void> {
    const informer = new Informer({
      client: this.#client,
      resource: Resources.Pod,
      labelSelector: `${LABELS.managedBy}=${MANAGED_BY}`,
      project: ({ metadata: { name, namespace, uid, resourceVersion, labels = {} }, status }): Served => ({
        metadata: { name, uid, resourceVersion, ...(namespace === undefined ? {} : { namespace }) },
        ip: status?.podIP ?? "",
        revision: labels[LABELS.revision] ?? "",
      }),
    });
    informer.onChange(({ after, before }) => {
      if (after === undefined && before !== undefined) this.#revisions.delete(before.ip);
      else if (after !== undefined && after.ip !== "") this.#revisions.set(after.ip, after.revision);
    });
    this.#running = informer.run(this.#stopping.signal);
    await informer.whenSynced(this.#stopping.signal);
    await this.#listen();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#server?.closeAllConnections();
    this.#server?.close();
  }

  #listen(): Promise<void> {
    const server = createServer((request, response) => {
      const revision = this.#revisions.get(request.socket.localAddress ?? "");
      if (request.url !== "/progress" || revision === undefined) return void response.writeHead(404).end();
      this.#asked++;
      const progress: ServingProgress = {
        kind: "ServingProgress",
        revision,
        state: "Serving",
        model: this.#model,
        engine: "TensorFlow",
        device: "cpu",
        loadSeconds: 0.5,
        warmupSeconds: 0.1,
        peakMemoryBytes: 300_000_000,
      };
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(progress));
    });
    this.#server = server;
    return new Promise((resolve) => server.listen(PORTS.management, "0.0.0.0", resolve));
  }
}
