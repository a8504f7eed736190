/** One port: the requests of one deployment, HTTP/1.1 or HTTP/2 as their first bytes say. */
import { createServer as createHttp1, type Server as Http1Server } from "node:http";
import { createServer as createHttp2, type Http2Server, type ServerHttp2Session } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { heldHttp1 } from "./http1.ts";
import { heldHttp2 } from "./http2.ts";
import type { HeldRequest } from "./holds.ts";

export interface PortListenerOptions {
  readonly port: number;
  readonly host?: string | undefined;
  readonly admit: (request: HeldRequest) => () => void;
  /** Ports of the pods by the names of the Service's ports. */
  readonly podPort: (name: "http" | "grpc") => number | undefined;
  /** Milliseconds in which a connection must say something; default 10 s. */
  readonly silence?: number | undefined;
}

/** How every HTTP/2 connection begins (RFC 9113, section 3.4). */
const PREFACE = "PRI";
const MOST_CONNECTIONS = 2048;

export class PortListener {
  readonly #options: PortListenerOptions;
  readonly #server: Server;
  readonly #http1: Http1Server;
  readonly #http2: Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<ServerHttp2Session>();

  constructor(options: PortListenerOptions) {
    this.#options = options;
    this.#http1 = this.#http1Server();
    this.#http2 = this.#http2Server();
    this.#server = createServer({ noDelay: true }, (socket) => this.#sort(socket));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** Resolves with the port once it listens. Rejects where it is taken. */
  listen(): Promise<number> {
    const { port, host } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port, host }, () => {
        this.#server.off("error", reject);
        const address = this.#server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  /** Connections that are there end with their requests. */
  stop(): void {
    this.#server.close();
    this.#http1.closeIdleConnections();
    for (const session of this.#sessions) session.close();
  }

  destroy(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #http1Server(): Http1Server {
    const server = createHttp1(
      // Bodies wait with their requests, as long as these do.
      { requestTimeout: 0, headersTimeout: 10_000, keepAliveTimeout: 5000, maxHeaderSize: 16 * 1024 },
      (request, response) => {
        const { admit, podPort } = this.#options;
        const withdraw = admit(heldHttp1(request, response, () => podPort("http") ?? 0));
        response.once("close", withdraw);
      },
    );
    server.on("clientError", (_, socket) => socket.destroy());
    return server;
  }

  #http2Server(): Http2Server {
    const server = createHttp2({ settings: { maxConcurrentStreams: 256 } });
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
      session.on("error", () => undefined);
    });
    server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      const { admit, podPort } = this.#options;
      const withdraw = admit(heldHttp2(stream, headers, () => podPort("grpc")));
      stream.once("close", () => {
        withdraw();
        // The next streams go to the pods themselves, on a new connection.
        if (stream.headersSent) stream.session?.close();
      });
    });
    return server;
  }

  /** Reads the first bytes, and gives the connection to whoever understands them. */
  #sort(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(this.#options.silence ?? 10_000, () => socket.destroy());
    let first = Buffer.alloc(0);
    const look = () => {
      for (let more: Buffer | null = socket.read(); more !== null; more = socket.read()) {
        first = Buffer.concat([first, more]);
      }
      const text = first.toString("latin1", 0, PREFACE.length);
      // Less than the preface, and nothing against it yet.
      if (text.length < PREFACE.length && PREFACE.startsWith(text)) return;
      socket.off("readable", look);
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      socket.unshift(first);
      (text === PREFACE ? this.#http2 : this.#http1).emit("connection", socket);
    };
    socket.on("readable", look);
  }
}
