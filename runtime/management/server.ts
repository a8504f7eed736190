/** The management port: probes, progress and metrics, answered by the process that does not compute. */
import { type Server, createServer } from "node:http";
import express, { type Express, type Request, type Response } from "express";
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
  /** What GET /traffic answers, as JSON; absent: there is no such page. */
  traffic?: () => object;
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

function probe(good: () => boolean) {
  return (_: Request, response: Response) => {
    response
      .status(good() ? 200 : 503)
      .type("text/plain")
      .send(good() ? "ok\n" : "not yet\n");
  };
}

/** The pages, on express: nothing here is hot. */
function pages(options: ManagementOptions, registry: Registry): Express {
  const app = express();
  app.disable("etag");
  app.disable("x-powered-by");
  app.get("/livez", probe(options.live ?? (() => true)));
  app.get("/readyz", probe(options.ready ?? (() => true)));
  app.get("/progress", (_, response) => void response.json(options.progress()));
  const { load } = options;
  if (load !== undefined) app.get("/load", (_, response) => void response.json(load()));
  const { traffic } = options;
  if (traffic !== undefined) app.get("/traffic", (_, response) => void response.json(traffic()));
  app.get("/metrics", async (_, response) => {
    response.set("content-type", registry.contentType).end(await registry.metrics());
  });
  app.use((request, response) => {
    const known = request.method === "GET" || request.method === "HEAD";
    response.status(known ? 404 : 405).type("text/plain");
    response.send(
      known ? "Not found; there are /livez, /readyz, /progress and /metrics\n" : "Only GET is answered here\n",
    );
  });
  return app;
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
  const server = createServer(pages(options, registry));
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
