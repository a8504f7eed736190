/** One keep-alive connection that sends the same request again and again: a client that takes next to nothing. */
import { type Socket, connect } from "node:net";
import type { Connection, Request } from "./load.ts";

const END_OF_HEAD = Buffer.from("\r\n\r\n");

export class HttpConnection implements Connection {
  readonly #port: number;
  readonly #bytes: Buffer;
  #socket: Socket | undefined;
  #settle: { resolve: (status: number) => void; reject: (error: Error) => void } | undefined;
  #head: Buffer = Buffer.alloc(0);
  #status = 0;
  /** Bytes of the body that are still to come; undefined while the head is. */
  #left: number | undefined;

  constructor(port: number, { path, body, headers }: Request) {
    this.#port = port;
    const lines = Object.entries({ Host: `127.0.0.1:${port}`, ...headers, "Content-Length": body.length });
    const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
    this.#bytes = Buffer.concat([Buffer.from(head), body]);
  }

  ask(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket ??= this.#open();
      this.#socket.write(this.#bytes);
    });
  }

  close(): void {
    this.#settle = undefined;
    this.#socket?.destroy();
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    socket.on("data", (chunk) => this.#take(chunk));
    const lost = (error?: Error) => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#left = undefined;
      this.#head = Buffer.alloc(0);
      this.#settle?.reject(error ?? new Error("the connection was closed"));
    };
    socket.on("error", lost);
    socket.on("close", () => lost());
    return socket;
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    if (this.#left === undefined) {
      const all = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
      const end = all.indexOf(END_OF_HEAD);
      if (end === -1) {
        this.#head = all;
        return;
      }
      const head = all.toString("latin1", 0, end);
      this.#status = Number(head.slice(9, 12));
      this.#left = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN);
      if (/\r\nconnection: *close/i.test(head)) this.#forget();
      this.#head = Buffer.alloc(0);
      rest = all.subarray(end + END_OF_HEAD.length);
    }
    this.#left -= rest.length;
    if (this.#left > 0) return;
    const settle = this.#settle;
    const whole = this.#left === 0;
    this.#left = undefined;
    this.#settle = undefined;
    if (whole) settle?.resolve(this.#status);
    else settle?.reject(new Error("the answer does not tell its length"));
  }

  /** The server closes this one after its answer. */
  #forget(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.once("end", () => socket.destroy());
  }
}
