import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { AccessLog } from "./access-log.ts";
import { BODY_LIMIT_BYTES, BodyBudget, readBody } from "./body.ts";
import { type CallContext, type Host, type Reply, answerCall } from "./calls.ts";
import type { Clock } from "./clock.ts";
import { inferFor } from "./inference.ts";
import { packed } from "./pack.ts";
import { REQUEST_ERRORS, RequestError, type RequestErrorCode } from "./request-error.ts";
import { REQUEST_ID, type RequestIdentity, identityOf } from "./request-identity.ts";
import { type Call, isPredictPath, matchRoute } from "./route.ts";
import type { Servable } from "./servable.ts";
import type { ServingMetrics } from "./serving-metrics.ts";
import type { Tensor } from "./tensor.ts";
import { type HttpTraffic, isDiverted, withSeconds } from "./traffic/http-traffic.ts";

export interface InferenceServerOptions {
  readonly host: Host;
  readonly metrics: ServingMetrics;
  readonly clock: Clock;
  /** Shares requests with another version; absent: all are answered here. */
  readonly traffic?: HttpTraffic | undefined;
  /** A fault of ours; the client is told nothing of it. */
  readonly onError: (error: unknown, call: string) => void;
  /** Milliseconds that a request may wait for the engine; default 30 s. */
  readonly timeout?: number | undefined;
  /** Least age at which a connection is closed, milliseconds; up to half more, at random. Default 60 s. */
  readonly connectionAge?: number | undefined;
  /** Bytes; default 64 MiB. */
  readonly bodyLimit?: number | undefined;
  /** Milliseconds in which headers must have come; default 10 s. */
  readonly headersTimeout?: number | undefined;
  /** Milliseconds in which a whole request must have come; default 60 s. */
  readonly requestTimeout?: number | undefined;
  /** Milliseconds in which a client must have read its answer; default 60 s. */
  readonly answerTimeout?: number | undefined;
  /** Bytes of bodies that all requests together may hold; default 256 MiB. */
  readonly bodyBudget?: number | undefined;
  readonly accessLog?: AccessLog | undefined;
  readonly random?: (() => number) | undefined;
}

const DEFAULT_TIMEOUT = 30_000;
/** Less lies in the buffers of a connection, whether the client reads or not. */
const SMALL_ANSWER_BYTES = 64 * 1024;
const INFERENCE_CALLS: ReadonlySet<Call> = new Set<Call>(["predict", "classify", "regress", "infer"]);

/** One request on its way to its answer. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly startedAt: number;
  readonly identity: RequestIdentity;
  /** Known once something is computed. */
  model: Servable | undefined;
  /** Bytes that the request holds of the budget. */
  held: number;
  /** Bytes of the body as it was read. */
  bytesIn: number | undefined;
}

/** The inference port. Routes are matched by `matchRoute`: their rules are the protocols', not a framework's. */
export class InferenceServer {
  readonly #options: InferenceServerOptions;
  readonly #server: Server;
  /** When each connection is to be closed. */
  readonly #closeAt = new WeakMap<Socket, number>();
  readonly #budget: BodyBudget;
  #draining = false;

  constructor(options: InferenceServerOptions) {
    this.#options = options;
    const { clock, connectionAge = 60_000, random = Math.random } = options;
    const { headersTimeout = 10_000, requestTimeout = 60_000, bodyBudget = 256 * 1024 * 1024 } = options;
    this.#budget = new BodyBudget(bodyBudget);
    this.#server = createServer(
      {
        // Slow senders are cut off; a client that only listens longer is not.
        headersTimeout,
        requestTimeout,
        connectionsCheckingInterval: Math.min(2000, headersTimeout / 2),
        keepAliveTimeout: 65_000,
        maxHeaderSize: 16 * 1024,
        noDelay: true,
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.on("connection", (socket) => {
      this.#closeAt.set(socket, clock.now() + connectionAge * (1 + random() / 2));
    });
    this.#server.on("clientError", refuseConnection);
  }

  /** Returns the port. Rejects when it is taken. */
  listen(port: number, host?: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port, host }, () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  /** From now on every answer closes its connection, so that clients come back elsewhere. */
  drain(): void {
    this.#draining = true;
  }

  /** Accepts no more connections and finishes the requests it has, in at most so many milliseconds. */
  async stop(milliseconds: number): Promise<void> {
    this.drain();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const timer = setTimeout(() => this.#server.closeAllConnections(), milliseconds);
    await closed;
    clearTimeout(timer);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { metrics, clock, host } = this.#options;
    const startedAt = clock.now();
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const protocol = isPredictPath(path) ? "v1" : "v2";
    const identity = identityOf((name) => headerOf(request, name));
    // Whoever the request is passed on to knows it by the same name.
    request.headers[REQUEST_ID] = identity.requestId;
    const exchange: Exchange = {
      request,
      response,
      startedAt,
      identity,
      model: undefined,
      held: 0,
      bytesIn: undefined,
    };
    let call: Call | "none" = "none";
    let inference = false;
    let reply: Reply;
    try {
      const route = matchRoute(request.method ?? "GET", path);
      call = route.call;
      inference = INFERENCE_CALLS.has(call);
      metrics.received(inference);
      const context = this.#context(exchange);
      const local = async () => answerCall(route, host, context);
      const { traffic, timeout = DEFAULT_TIMEOUT } = this.#options;
      const { readBody: body } = context;
      reply =
        inference && traffic !== undefined
          ? await traffic.answer({ request, response, body, timeout, local })
          : await local();
    } catch (error) {
      reply = this.#errorReply(error, protocol, call);
    }
    reply = await packed(reply, headerOf(request, "accept-encoding"));
    this.#budget.give(exchange.held);
    const seconds = (clock.now() - startedAt) / 1000;
    this.#send(exchange, isDiverted(request) ? withSeconds(reply, seconds) : reply);
    const { model, bytesIn } = exchange;
    metrics.answered({ protocol, call, code: reply.status, seconds, inference, model });
    this.#options.accessLog?.record({
      ...identity,
      protocol,
      call,
      code: reply.status,
      seconds,
      client: callerOf(request),
      model: model?.name,
      version: model?.version,
      bytesIn,
      bytesOut: Buffer.byteLength(reply.body),
    });
  }

  #context(exchange: Exchange): CallContext {
    const { request } = exchange;
    return {
      header: (name) => headerOf(request, name),
      readBody: once(() => this.#readBody(exchange)),
      compute: (...call) => this.#compute(exchange, ...call),
    };
  }

  async #readBody(exchange: Exchange): Promise<Buffer> {
    const { bodyLimit: limit = BODY_LIMIT_BYTES } = this.#options;
    const hold = (bytes: number) => {
      this.#budget.take(bytes);
      exchange.held += bytes;
    };
    const body = await readBody(exchange.request, { limit, hold });
    exchange.bytesIn = body.length;
    return body;
  }

  #compute(
    exchange: Exchange,
    model: Servable,
    inputs: readonly Tensor[],
    timeout = this.#options.timeout ?? DEFAULT_TIMEOUT,
    signatureName?: string,
  ): Promise<readonly Tensor[]> {
    exchange.model = model;
    const { request, response, startedAt } = exchange;
    const whenGone = (callback: () => void) => {
      response.once("close", callback);
      return () => response.off("close", callback);
    };
    const client = { startedAt, caller: callerOf(request), whenGone };
    return inferFor(client, model, inputs, timeout, this.#options.clock, signatureName);
  }

  #errorReply(error: unknown, protocol: "v1" | "v2", call: string): Reply {
    if (!(error instanceof RequestError) || error.code === "Internal") this.#options.onError(error, call);
    const refusal =
      error instanceof RequestError ? error : new RequestError("Internal", "the server failed on this request");
    const { status, message, headers } = refusal;
    // TensorFlow Serving writes its errors over several lines.
    const body = JSON.stringify({ error: message }, null, protocol === "v1" ? 4 : undefined);
    return { status, headers: { "Content-Type": "application/json", ...headers }, body };
  }

  #send({ request, response, identity }: Exchange, reply: Reply): void {
    if (response.destroyed) return;
    const length = Buffer.byteLength(reply.body);
    const close = this.#closes(request.socket) ? { Connection: "close" } : {};
    response.writeHead(reply.status, {
      ...reply.headers,
      [REQUEST_ID]: identity.requestId,
      "Content-Length": length,
      ...close,
    });
    response.end(reply.body);
    if (length > SMALL_ANSWER_BYTES) this.#awaitReader(response);
  }

  /** A client that does not read its answer is cut off, so that it holds no memory. */
  #awaitReader(response: ServerResponse): void {
    const { clock, answerTimeout = 60_000 } = this.#options;
    const timer = clock.setTimeout(() => response.destroy(), answerTimeout);
    response.once("close", () => clock.clearTimeout(timer));
  }

  #closes(socket: Socket): boolean {
    return this.#draining || this.#options.clock.now() >= (this.#closeAt.get(socket) ?? Infinity);
  }
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join() : value;
}

function callerOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? "";
}

/** A body can be read from its connection only once. */
function once<T>(read: () => Promise<T>): () => Promise<T> {
  let held: Promise<T> | undefined;
  return () => (held ??= read());
}

const CONNECTION_ERRORS: Readonly<Record<string, readonly [RequestErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: ["HeadersTooLarge", "the headers are larger than 16 KiB"],
  ERR_HTTP_REQUEST_TIMEOUT: ["SlowRequest", "the request was not received in time"],
};

/** What never became a request gets an error in the same form, as far as the socket still takes it. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] = CONNECTION_ERRORS[error.code ?? ""] ?? ["InvalidRequest", "this is no valid HTTP request"];
  const body = JSON.stringify({ error: message });
  socket.end(
    `HTTP/1.1 ${REQUEST_ERRORS[code]} ${code}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
