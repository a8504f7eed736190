/** The management port: probes, progress and metrics, answered by the process that does not compute. */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { Registry, collectDefaultMetrics } from "prom-client";
import { PORTS } from "../../crds/contract/names.ts";
import type { Progress } from "../../crds/contract/progress.ts";

export interface ManagementOptions {
  /** Default 9090; 0 takes a free port. */
  port?: number;
  /** Default: all addresses. */
  host?: string;
  /** What GET /progress answers. */
  progress: () => Progress;
  /** Does the process work at all? Default: yes. */
  live?: () => boolean;
  /** Can it do its work now? Default: yes. */
  ready?: () => boolean;
  /** What GET /load answers, as JSON; absent: there is no such page. */
  load?: () => object;
  /** What GET /metrics shows; default: a registry with the process's own metrics. */
  registry?: Registry;
}

export interface Management {
  port: number;
  registry: Registry;
  close(): Promise<void>;
}

/** A registry with the metrics of the process. */
export function processRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

interface Answer {
  status: number;
  type: string;
  body: string;
}

const text = (status: number, body: string): Answer => ({
  status,
  type: "text/plain; charset=utf-8",
  body: `${body}\n`,
});
const probe = (good: boolean) => (good ? text(200, "ok") : text(503, "not yet"));

async function answer(url: string, options: ManagementOptions, registry: Registry): Promise<Answer> {
  switch (url.split("?", 1)[0]) {
    case "/livez":
      return probe(options.live?.() ?? true);
    case "/readyz":
      return probe(options.ready?.() ?? true);
    case "/progress":
      return { status: 200, type: "application/json", body: JSON.stringify(options.progress()) };
    case "/load":
      if (options.load === undefined) return text(404, "Not found; this run has no load");
      return { status: 200, type: "application/json", body: JSON.stringify(options.load()) };
    case "/metrics":
      return { status: 200, type: registry.contentType, body: await registry.metrics() };
    default:
      return text(404, "Not found; there are /livez, /readyz, /progress and /metrics");
  }
}

async function handle(request: IncomingMessage, response: ServerResponse, answerTo: (url: string) => Promise<Answer>) {
  const { status, type, body } =
    request.method === "GET" || request.method === "HEAD"
      ? await answerTo(request.url ?? "/").catch((error: unknown) => text(500, String(error)))
      : text(405, "Only GET is answered here");
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(request.method === "HEAD" ? undefined : body);
}

function listen(server: Server, port: number, host: string | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host }, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

/** Starts the management server. Rejects when the port is taken. */
export async function startManagement(options: ManagementOptions): Promise<Management> {
  const registry = options.registry ?? processRegistry();
  const server = createServer((request, response) => {
    void handle(request, response, (url) => answer(url, options, registry));
  });
  const port = await listen(server, options.port ?? PORTS.management, options.host);
  return {
    port,
    registry,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
