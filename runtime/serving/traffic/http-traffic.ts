/** HTTP requests as the splitter sees them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { DIVERTED_HEADER, SECONDS_HEADER } from "../../../crds/contract/traffic.ts";
import type { Reply } from "../calls.ts";
import { TIMEOUT_HEADER } from "../timeout-header.ts";
import { differs } from "./compare.ts";
import { comparable } from "./http-answer.ts";
import type { HttpForwarder } from "./http-forward.ts";
import type { TrafficSplitter } from "./splitter.ts";

export interface HttpCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Unpacked; may be asked for more than once. */
  readonly body: () => Promise<Buffer>;
  /** Milliseconds, where the client says nothing. */
  readonly timeout: number;
  readonly local: () => Promise<Reply>;
}

export class HttpTraffic {
  readonly #splitter: TrafficSplitter;
  readonly #forwarder: HttpForwarder;

  constructor(splitter: TrafficSplitter, forwarder: HttpForwarder) {
    this.#splitter = splitter;
    this.#forwarder = forwarder;
  }

  answer({ request, response, body, timeout, local }: HttpCall): Promise<Reply> {
    const { method = "POST", url = "/", headers } = request;
    return this.#splitter.answer<Reply>({
      diverted: isDiverted(request),
      millisecondsLeft: Math.min(timeout, Number(headers[TIMEOUT_HEADER.toLowerCase()] ?? timeout) || timeout),
      forward: async (target, patience) => {
        const sent = { method, url, headers, body: await body(), onGone: whenGone(response) };
        return this.#forwarder.forward(sent, target, patience);
      },
      local,
      differ: (a, b, tolerance) => differs(comparable(a), comparable(b), tolerance),
    });
  }
}

export function isDiverted({ headers }: IncomingMessage): boolean {
  return headers[DIVERTED_HEADER] !== undefined;
}

/** Tells who diverted the request how long it took. */
export function withSeconds(reply: Reply, seconds: number): Reply {
  return { ...reply, headers: { ...reply.headers, [SECONDS_HEADER]: seconds.toFixed(6) } };
}

/** An answer that was sent closes the response too. */
function whenGone(response: ServerResponse): (callback: () => void) => () => void {
  return (callback) => {
    const closed = () => {
      if (!response.writableFinished) callback();
    };
    response.once("close", closed);
    return () => response.off("close", closed);
  };
}
