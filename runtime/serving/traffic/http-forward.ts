/** Sends an HTTP request on to the pods of another version. */
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request as send } from "node:http";
import { DIVERTED_HEADER, SECONDS_HEADER } from "../../../crds/contract/traffic.ts";
import type { Reply } from "../calls.ts";
import { TIMEOUT_HEADER } from "../timeout-header.ts";
import type { Forwarded, Target } from "./splitter.ts";

export interface ForwardedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Unpacked. */
  readonly body: Buffer;
  /** Calls back when the client has gone; returns how to be called no more. */
  readonly onGone: (callback: () => void) => () => void;
}

/** Of one connection; others are made by how their messages are framed. */
const HOP_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
  "expect",
  "host",
  "content-length",
  "content-encoding",
  "accept-encoding",
  "date",
  SECONDS_HEADER,
  DIVERTED_HEADER,
  TIMEOUT_HEADER.toLowerCase(),
]);
const MOST_ANSWER_BYTES = 256 * 1024 * 1024;

export class HttpForwarder {
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 64, scheduling: "lifo" });

  close(): void {
    this.#agent.destroy();
  }

  async forward(request: ForwardedRequest, target: Target, timeout: number): Promise<Forwarded<Reply>> {
    const stop = new AbortController();
    let gone = false;
    const timer = setTimeout(() => stop.abort(), timeout);
    const off = request.onGone(() => {
      gone = true;
      stop.abort();
    });
    try {
      return outcomeOf(await this.#send(request, target, timeout, stop.signal));
    } catch (error) {
      if (gone) return { kind: "Cancelled" };
      return { kind: "Failed", why: stop.signal.aborted ? "no answer in time" : String(error) };
    } finally {
      clearTimeout(timer);
      off();
    }
  }

  async #send(request: ForwardedRequest, target: Target, timeout: number, signal: AbortSignal): Promise<Reply> {
    try {
      return await this.#once(request, target, timeout, signal);
    } catch (error) {
      // The other side may close a kept connection just as it is used again: that is no failure.
      if (!(error instanceof StaleConnection)) throw error;
      return this.#send(request, target, timeout, signal);
    }
  }

  #once(
    { method, url, headers, body }: ForwardedRequest,
    { address, ports }: Target,
    timeout: number,
    signal: AbortSignal,
  ): Promise<Reply> {
    const sentHeaders = {
      ...endToEnd(headers),
      [DIVERTED_HEADER]: "1",
      [TIMEOUT_HEADER]: String(Math.max(1, Math.floor(timeout))),
      "content-length": body.length,
    };
    return new Promise((resolve, reject) => {
      const sent = send(
        { agent: this.#agent, host: address, port: ports.http, method, path: url, headers: sentHeaders, signal },
        (response) => void readReply(response).then(resolve, reject),
      );
      sent.once("error", (error) => reject(sent.reusedSocket && !signal.aborted ? new StaleConnection() : error));
      sent.end(body);
    });
  }
}

/** Out of time may be what the client asked for: as with what it sent, this version judges. */
const REFUSALS: readonly number[] = [504];

function outcomeOf(reply: Reply): Forwarded<Reply> {
  const { [SECONDS_HEADER]: said, ...headers } = reply.headers;
  if (reply.status < 400) {
    const seconds = said === undefined ? Number.NaN : Number(said);
    return { kind: "Answered", reply: { ...reply, headers }, seconds: Number.isFinite(seconds) ? seconds : undefined };
  }
  if (reply.status < 500 || REFUSALS.includes(reply.status)) return { kind: "Refused" };
  return { kind: "Failed", why: `status ${reply.status}` };
}

/** A connection that was kept from a former request broke before this one was answered. */
class StaleConnection extends Error {}

async function readReply(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Nothing sets an encoding.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_ANSWER_BYTES) throw new Error("the answer is too large");
    chunks.push(chunk);
  }
  if (!response.complete) throw new Error("the answer broke off");
  const seconds = response.headers[SECONDS_HEADER];
  return {
    status: response.statusCode ?? 500,
    headers: { ...endToEnd(response.headers), ...(typeof seconds === "string" ? { [SECONDS_HEADER]: seconds } : {}) },
    body: Buffer.concat(chunks),
  };
}

function endToEnd(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name, value]) => value !== undefined && !HOP_HEADERS.has(name))
      .map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : (value ?? "")]),
  );
}
