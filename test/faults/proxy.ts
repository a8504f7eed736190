import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { Agent, request as send } from "undici";
import type { Connection } from "../../operator/kernel/kube-config.ts";

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

export interface Pace {
  readonly bytes: number;
  readonly everyMilliseconds: number;
}

/** What happens instead of, or after, a forwarded request. */
export type Fault =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: unknown;
    }
  /** Nothing reaches the server, and the connection is reset. */
  | { readonly kind: "reset" }
  /** The server does it, and the connection is reset instead of the answer. */
  | { readonly kind: "reset-after" }
  /** Nothing ever comes back. */
  | { readonly kind: "silence" }
  /** The answer comes a few bytes at a time. */
  | ({ readonly kind: "drip" } & Pace)
  /** The server does it, but only so many bytes of its answer come. */
  | { readonly kind: "cut"; readonly bytes: number; readonly ending: "end" | "reset" | "silence" };

interface Rule {
  readonly matches: (request: SeenRequest) => boolean;
  readonly fault: Fault;
  times: number;
}

/** One watch that passes through. */
export class Stream {
  readonly request: SeenRequest;
  readonly #response: ServerResponse;
  readonly #stop: () => void;
  #frozen = false;
  #drip: Pace | undefined;

  constructor(request: SeenRequest, response: ServerResponse, stop: () => void) {
    this.request = request;
    this.#response = response;
    this.#stop = stop;
  }

  forward(chunk: Buffer): Promise<void> | undefined {
    if (this.#frozen) return undefined;
    if (this.#drip) return trickle(chunk, this.#response, this.#drip);
    this.#response.write(chunk);
    return undefined;
  }

  /** From now on a few bytes at a time. */
  drip(pace: Pace): void {
    this.#drip = pace;
  }

  /** From now on neither a byte nor an end: what a vanished peer looks like. */
  freeze(): void {
    this.#frozen = true;
  }

  /** Ends it as a server does in good order. */
  end(): void {
    this.#stop();
    if (!this.#frozen) this.#response.end();
  }

  /** What is left when the server is gone. */
  lose(): void {
    if (!this.#frozen) this.#response.destroy();
  }

  reset(): void {
    this.#stop();
    this.#response.destroy();
  }

  /** Sends these bytes between those of the server. */
  say(text: string): void {
    this.#response.write(text);
  }
}

/** PEM texts. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface FaultProxyOptions {
  /** Lists come in pages of so many objects, whatever the client asks for. */
  readonly pageSize?: number;
  /** Speak TLS with this certificate; default plain HTTP. */
  readonly certificate?: Certificate;
  /** Hears of every answer before it goes on to the client; true: it never does. */
  readonly withhold?: (request: SeenRequest, status: number) => Promise<boolean>;
}

/** Stands between a client and a real API server on loopback, and misbehaves on demand. */
export class FaultProxy {
  readonly requests: SeenRequest[] = [];
  readonly streams = new Set<Stream>();
  readonly #target: Connection;
  readonly #options: FaultProxyOptions;
  readonly #server: Server | TlsServer;
  readonly #rules: Rule[] = [];
  #agent: Agent | undefined;
  #connections = 0;
  #sinceFault = 0;

  constructor(target: Connection, options: FaultProxyOptions = {}) {
    this.#target = target;
    this.#options = options;
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(request, response).catch(() => response.destroy());
    };
    const { certificate } = options;
    this.#server = certificate ? createTlsServer({ ...certificate }, handle) : createServer(handle);
    this.#server.on("connection", () => this.#connections++);
  }

  /** Connections that clients have opened so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Another certificate from now on, as after a restart: no old connection goes on. */
  renew(certificate: Certificate): void {
    if ("setSecureContext" in this.#server) this.#server.setSecureContext({ ...certificate });
    this.#server.closeAllConnections();
  }

  /** The requests after the last that met a fault. */
  get afterFault(): readonly SeenRequest[] {
    return this.requests.slice(this.#sinceFault);
  }

  async start(): Promise<Connection> {
    this.#agent = new Agent({ connect: { ...(await this.#target.tls()) }, bodyTimeout: 0, allowH2: false });
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return {
      server: `${this.#options.certificate ? "https" : "http"}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
      namespace: this.#target.namespace,
      tls: () => Promise.resolve(noTls),
      authorization: () => Promise.resolve(undefined),
    };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#agent?.destroy();
  }

  /** The next `times` matching requests meet the fault. */
  inject(fault: Fault, matches: Rule["matches"], times = 1): void {
    this.#rules.push({ fault, matches, times });
  }

  /** From now on all is well. */
  heal(): void {
    this.#rules.length = 0;
  }

  /** Faults that no request has met yet. */
  get pending(): number {
    return this.#rules.reduce((sum, rule) => sum + rule.times, 0);
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "/", "http://proxy");
    const seen = { method: incoming.method ?? "GET", path: url.pathname, query: url.searchParams };
    this.requests.push(seen);
    const rule = this.#rules.find((candidate) => candidate.times > 0 && candidate.matches(seen));
    if (rule) {
      rule.times--;
      this.#sinceFault = this.requests.length;
    }
    const fault = rule?.fault;
    if (fault?.kind === "silence") return;
    if (fault?.kind === "reset") return void response.destroy();
    if (fault?.kind === "answer") {
      response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers });
      return void response.end(JSON.stringify(fault.body ?? { kind: "Status", message: "injected" }));
    }
    await this.#forward(incoming, url, seen, response, fault);
  }

  async #forward(
    incoming: IncomingMessage,
    url: URL,
    seen: SeenRequest,
    response: ServerResponse,
    fault: Fault | undefined,
  ): Promise<void> {
    const { pageSize } = this.#options;
    if (pageSize && url.searchParams.has("limit")) url.searchParams.set("limit", String(pageSize));
    const body = await buffer(incoming);
    const type = incoming.headers["content-type"];
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const answer = await send(this.#target.server + url.pathname + url.search, {
      method: seen.method as "GET",
      headers: { accept: "application/json", ...(type ? { "content-type": type } : {}) },
      body: body.length > 0 ? body : null,
      signal: gone.signal,
      ...(this.#agent ? { dispatcher: this.#agent } : {}),
    });
    const withheld = await this.#options.withhold?.(seen, answer.statusCode);
    if (withheld === true || fault?.kind === "reset-after") {
      await answer.body.dump();
      return void response.destroy();
    }
    const headers = Object.entries(answer.headers).filter(
      ([name]) => !["transfer-encoding", "connection", "content-length"].includes(name),
    );
    response.writeHead(answer.statusCode, Object.fromEntries(headers));
    response.flushHeaders();
    if (fault?.kind === "cut") return cut(answer.body, response, fault);
    if (seen.query.get("watch") !== "true") {
      const whole = Buffer.from(await answer.body.arrayBuffer());
      if (fault?.kind === "drip") await trickle(whole, response, fault);
      return void response.end(fault?.kind === "drip" ? undefined : whole);
    }
    const stream = new Stream(seen, response, () => gone.abort());
    if (fault?.kind === "drip") stream.drip(fault);
    this.streams.add(stream);
    try {
      for await (const chunk of answer.body) await stream.forward(chunk as Buffer);
      stream.end();
    } catch {
      // The server died, or the client or the test ended it.
      stream.lose();
    } finally {
      this.streams.delete(stream);
    }
  }
}

async function trickle(chunk: Buffer, response: ServerResponse, { bytes, everyMilliseconds }: Pace): Promise<void> {
  for (let start = 0; start < chunk.length; start += bytes) {
    response.write(chunk.subarray(start, start + bytes));
    await new Promise((resolve) => setTimeout(resolve, everyMilliseconds));
  }
}

async function cut(
  body: AsyncIterable<Buffer>,
  response: ServerResponse,
  fault: Fault & { kind: "cut" },
): Promise<void> {
  let left = fault.bytes;
  for await (const chunk of body) {
    const part = chunk.subarray(0, left);
    left -= part.length;
    await new Promise((resolve) => response.write(part, resolve));
    if (left === 0) break;
  }
  if (fault.ending === "end") response.end();
  if (fault.ending === "reset") response.destroy();
}

const noTls = {};
