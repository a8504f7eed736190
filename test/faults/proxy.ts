import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { Agent, request as send } from "undici";
import type { Connection } from "../../operator/kernel/kube-config.ts";

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
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
  | { readonly kind: "silence" };

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

  constructor(request: SeenRequest, response: ServerResponse, stop: () => void) {
    this.request = request;
    this.#response = response;
    this.#stop = stop;
  }

  forward(chunk: Buffer): void {
    if (!this.#frozen) this.#response.write(chunk);
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

  reset(): void {
    this.#stop();
    this.#response.destroy();
  }

  /** Sends these bytes between those of the server. */
  say(text: string): void {
    this.#response.write(text);
  }
}

/** Stands between a client and a real API server, and misbehaves on demand. Speaks plain HTTP on loopback. */
export class FaultProxy {
  readonly requests: SeenRequest[] = [];
  readonly streams = new Set<Stream>();
  readonly #target: Connection;
  readonly #server: Server;
  readonly #rules: Rule[] = [];
  #agent: Agent | undefined;
  #connections = 0;

  constructor(target: Connection) {
    this.#target = target;
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
    this.#server.on("connection", () => this.#connections++);
  }

  /** Connections that clients have opened so far. */
  get connections(): number {
    return this.#connections;
  }

  async start(): Promise<Connection> {
    this.#agent = new Agent({ connect: { ...(await this.#target.tls()) }, bodyTimeout: 0, allowH2: false });
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return {
      server: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
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

  /** Faults that no request has met yet. */
  get pending(): number {
    return this.#rules.reduce((sum, rule) => sum + rule.times, 0);
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "/", "http://proxy");
    const seen = { method: incoming.method ?? "GET", path: url.pathname, query: url.searchParams };
    this.requests.push(seen);
    const rule = this.#rules.find((candidate) => candidate.times > 0 && candidate.matches(seen));
    if (rule) rule.times--;
    const fault = rule?.fault;
    if (fault?.kind === "silence") return;
    if (fault?.kind === "reset") return void response.destroy();
    if (fault?.kind === "answer") {
      response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers });
      return void response.end(JSON.stringify(fault.body ?? { kind: "Status", message: "injected" }));
    }
    await this.#forward(incoming, seen, response, fault?.kind === "reset-after");
  }

  async #forward(
    incoming: IncomingMessage,
    seen: SeenRequest,
    response: ServerResponse,
    hideAnswer: boolean,
  ): Promise<void> {
    const body = await buffer(incoming);
    const type = incoming.headers["content-type"];
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const answer = await send(this.#target.server + (incoming.url ?? "/"), {
      method: seen.method as "GET",
      headers: { accept: "application/json", ...(type ? { "content-type": type } : {}) },
      body: body.length > 0 ? body : null,
      signal: gone.signal,
      ...(this.#agent ? { dispatcher: this.#agent } : {}),
    });
    if (hideAnswer) {
      await answer.body.dump();
      return void response.destroy();
    }
    const headers = Object.entries(answer.headers).filter(
      ([name]) => !["transfer-encoding", "connection"].includes(name),
    );
    response.writeHead(answer.statusCode, Object.fromEntries(headers));
    response.flushHeaders();
    if (seen.query.get("watch") !== "true") return void response.end(Buffer.from(await answer.body.arrayBuffer()));
    const stream = new Stream(seen, response, () => gone.abort());
    this.streams.add(stream);
    try {
      for await (const chunk of answer.body) stream.forward(chunk as Buffer);
      stream.end();
    } catch {
      // The client or the test ended it.
    } finally {
      this.streams.delete(stream);
    }
  }
}

const noTls = {};
