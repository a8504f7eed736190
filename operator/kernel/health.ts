import type { Server, ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import type { Clock, Timer } from "./clock.ts";
import type { Logger } from "./logger.ts";
import { http } from "./node-http.ts";

/** Undefined when all is well, else what is wrong. */
export type Check = () => string | undefined;

/** Answers a page as JSON. */
export type Page = (query: URLSearchParams) => Promise<unknown>;

export interface HealthOptions {
  readonly port: number;
  /** Default: all addresses. */
  readonly host?: string | undefined;
  readonly registry?: Registry | undefined;
  /** By name. The process should be restarted when one fails. */
  readonly live?: Readonly<Record<string, Check>> | undefined;
  /** By name. The process is not yet of use while one fails. */
  readonly ready?: Readonly<Record<string, Check>> | undefined;
  /** Further pages, by path. */
  readonly pages?: Readonly<Record<string, Page>> | undefined;
}

/** Answers /livez, /readyz and /metrics, in plain text. */
export class HealthServer {
  readonly #options: HealthOptions;
  readonly #live = new Map<string, Check>();
  readonly #ready = new Map<string, Check>();
  readonly #server: Server;

  constructor(options: HealthOptions) {
    this.#options = options;
    for (const [name, check] of Object.entries(options.live ?? {})) this.#live.set(name, check);
    for (const [name, check] of Object.entries(options.ready ?? {})) this.#ready.set(name, check);
    this.#server = http.createServer((request, response) => {
      const [path = "", query = ""] = (request.url ?? "").split("?");
      this.#answer(request.method ?? "", path, query, response).catch((error: unknown) => {
        if (response.headersSent) return void response.destroy();
        reply(response, 500, `${path} failed: ${error instanceof Error ? error.message : String(error)}\n`);
      });
    });
  }

  addLive(name: string, check: Check): void {
    this.#live.set(name, check);
  }

  addReady(name: string, check: Check): void {
    this.#ready.set(name, check);
  }

  /** Where it listens; undefined before it does. */
  get port(): number | undefined {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : undefined;
  }

  /** Resolves once it listens. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port, this.#options.host, () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(method: string, path: string, query: string, response: ServerResponse): Promise<void> {
    if (method !== "GET" && method !== "HEAD") return reply(response, 405, "only GET\n");
    if (path === "/livez") return report(response, this.#live);
    if (path === "/readyz") return report(response, this.#ready);
    const { registry, pages = {} } = this.#options;
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page !== undefined) {
      return reply(response, 200, JSON.stringify(await page(new URLSearchParams(query))), "application/json");
    }
    if (path !== "/metrics" || !registry) return reply(response, 404, "there are /livez, /readyz and /metrics\n");
    reply(response, 200, await registry.metrics(), registry.contentType);
  }
}

function report(response: ServerResponse, checks: ReadonlyMap<string, Check>): void {
  const results = [...checks].map(([name, check]) => ({ name, problem: check() }));
  const lines = results.map(({ name, problem }) =>
    problem === undefined ? `[+] ${name} ok` : `[-] ${name}: ${problem}`,
  );
  const isWell = results.every(({ problem }) => problem === undefined);
  reply(response, isWell ? 200 : 503, [...lines, isWell ? "ok" : "failed", ""].join("\n"));
}

function reply(response: ServerResponse, status: number, body: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": type });
  response.end(body);
}

export interface EventLoopWatchOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A longer stall is logged; default 0.5. */
  readonly warnSeconds?: number | undefined;
  /** A longer one fails the check until a tick is on time again; default 10. */
  readonly failSeconds?: number | undefined;
}

const tickMilliseconds = 500;

/** Notices when JavaScript held the process so long that a lease or a probe may have been missed. */
export class EventLoopWatch {
  readonly #options: EventLoopWatchOptions;
  #timer: Timer | undefined;
  #lag = 0;

  constructor(options: EventLoopWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, logger, warnSeconds = 0.5 } = this.#options;
    const expected = clock.monotonic() + tickMilliseconds;
    this.#timer = clock.setTimeout(() => {
      this.#lag = Math.max(0, clock.monotonic() - expected) / 1000;
      if (this.#lag > warnSeconds) logger.warn("the event loop was blocked", { seconds: this.#lag });
      this.start();
    }, tickMilliseconds);
  }

  stop(): void {
    if (this.#timer) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** A check for /livez. */
  readonly check: Check = () => {
    const { failSeconds = 10 } = this.#options;
    return this.#lag > failSeconds ? `the event loop was blocked for ${this.#lag.toFixed(1)} s` : undefined;
  };
}
