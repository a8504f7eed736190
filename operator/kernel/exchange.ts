import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import { setImmediate as turn } from "node:timers/promises";
import type { TlsMaterial } from "./kube-config.ts";
import { http, https } from "./node-http.ts";

export interface Request {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Until the whole answer is there. */
  readonly deadlineMilliseconds?: number | undefined;
  /** Longest time without a byte of the answer. */
  readonly silenceMilliseconds?: number | undefined;
}

/** The peer said nothing, or not all, in time. */
export class ExchangeTimeoutError extends Error {
  override readonly name = "ExchangeTimeoutError";
  readonly code = "ETIMEDOUT";
}

const connectMilliseconds = 10_000;
const idleMilliseconds = 30_000;
/** A peer that vanished is noticed by the operating system within half a minute. */
const keepAliveMilliseconds = 15_000;

/** Kept HTTP/1.1 connections to one server: a stalled stream then never holds back the others. Follows no redirect. */
export class Connections {
  readonly #agent: Agent;
  readonly #send: typeof http.request;
  readonly #active = new Set<ClientRequest>();
  readonly #secured: string;

  constructor(server: string, tls: TlsMaterial = {}, most: number = Number.POSITIVE_INFINITY) {
    const secure = server.startsWith("https:");
    const options = {
      ...Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined)),
      keepAlive: true,
      keepAliveMsecs: keepAliveMilliseconds,
      maxSockets: most,
      timeout: idleMilliseconds,
    };
    this.#agent = secure ? new https.Agent(options) : new http.Agent(options);
    this.#send = secure ? https.request : http.request;
    this.#secured = secure ? "secureConnect" : "connect";
  }

  /** Resolves with the head of the answer; its body must be read or destroyed. Rejects with what the sockets say. */
  async send(url: string, options: Request): Promise<IncomingMessage> {
    // Kept connections whose end has already arrived are found closed first: that takes a whole turn of the event loop.
    await turn();
    await turn();
    return this.#exchange(url, options);
  }

  #exchange(url: string, options: Request): Promise<IncomingMessage> {
    const { method, headers, body, signal, deadlineMilliseconds, silenceMilliseconds } = options;
    return new Promise((resolve, reject) => {
      const request = this.#send(url, {
        method,
        headers: body === undefined ? headers : { ...headers, "content-length": String(Buffer.byteLength(body)) },
        agent: this.#agent,
        ...(signal === undefined ? {} : { signal }),
      });
      let response: IncomingMessage | undefined;
      const late = (what: string) => (response ?? request).destroy(new ExchangeTimeoutError(what));
      const deadline =
        deadlineMilliseconds === undefined
          ? undefined
          : setTimeout(() => late(`no whole answer within ${deadlineMilliseconds} ms`), deadlineMilliseconds);
      this.#active.add(request);
      request.once("close", () => {
        clearTimeout(deadline);
        this.#active.delete(request);
      });
      request.once("socket", (socket) => {
        if (!socket.connecting) return;
        const timer = setTimeout(() => late(`no connection within ${connectMilliseconds} ms`), connectMilliseconds);
        const clear = () => clearTimeout(timer);
        socket.once(this.#secured, clear);
        request.once("close", clear);
      });
      if (silenceMilliseconds !== undefined) {
        request.setTimeout(silenceMilliseconds, () => late(`silent for ${silenceMilliseconds} ms`));
      }
      request.once("response", (message) => {
        response = message;
        resolve(message);
      });
      // Also what comes after the answer's head: whoever reads the body hears of it there.
      request.on("error", reject);
      request.end(body);
    });
  }

  /** Lets running requests end; new ones should go elsewhere. */
  retire(): void {
    this.#agent.maxFreeSockets = 0;
    for (const sockets of Object.values(this.#agent.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  }

  /** Ends all at once. */
  destroy(): void {
    for (const request of this.#active) request.destroy(new Error("the connections are closed"));
    this.#agent.destroy();
  }
}

/** The body as text. Throws where it is cut off, or longer than `most` bytes. */
export function textOf(response: IncomingMessage, most: number = Number.POSITIVE_INFINITY): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    response.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > most) response.destroy(new Error(`the answer is longer than ${most} bytes`));
    });
    response.once("end", () => resolve(Buffer.concat(chunks, length).toString("utf8")));
    response.once("error", reject);
    response.once("close", () => reject(new Error("the answer was cut off")));
  });
}
