/** One HTTP/2 connection that makes the same gRPC call again and again; the message is written once. */
import { type ClientHttp2Session, connect } from "node:http2";
import type { Connection, Request } from "./load.ts";

export class GrpcConnection implements Connection {
  readonly #session: ClientHttp2Session;
  readonly #path: string;
  readonly #frame: Buffer;

  constructor(port: number, { path, body }: Request) {
    this.#session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 2 ** 24 } });
    this.#session.on("error", () => undefined);
    this.#path = path;
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(body.length, 1);
    this.#frame = Buffer.concat([prefix, body]);
  }

  /** 200 where gRPC's status is OK, 429 for RESOURCE_EXHAUSTED, else 500. */
  ask(): Promise<number> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ":method": "POST",
        ":path": this.#path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      let status: unknown;
      const look = (headers: Record<string, unknown>) => (status = headers["grpc-status"] ?? status);
      stream.on("response", look);
      stream.on("trailers", look);
      stream.on("error", reject);
      stream.on("close", () => resolve(status === "0" ? 200 : status === "8" ? 429 : 500));
      stream.resume();
      stream.end(this.#frame);
    });
  }

  close(): void {
    this.#session.destroy();
  }
}
