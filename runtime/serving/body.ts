/** Reads bodies of requests, with limits. */
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gunzip, inflate } from "node:zlib";
import { RequestError } from "./request-error.ts";

export const BODY_LIMIT_BYTES = 64 * 1024 * 1024;

const UNPACK = { gzip: promisify(gunzip), deflate: promisify(inflate) } as const;

/** What all requests together may hold of bodies. */
export class BodyBudget {
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get held(): number {
    return this.#held;
  }

  /** A single body always has room. Throws RequestError QueueFull. */
  take(bytes: number): void {
    if (this.#held > 0 && this.#held + bytes > this.#limit) {
      // What is left of the body is not read, so the connection cannot carry another request.
      throw new RequestError("QueueFull", `${this.#held} bytes of other requests are held already; try again later`, {
        headers: { Connection: "close" },
      });
    }
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

export interface BodyLimits {
  /** Bytes of one body, packed and unpacked. */
  readonly limit: number;
  /** Is told of bytes before they are kept; throws RequestError. */
  readonly hold: (bytes: number) => void;
}

/** The whole body, unpacked. Throws RequestError TooLarge (also for what it unpacks to), UnsupportedEncoding, Cancelled, QueueFull. */
export async function readBody(request: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  const { limit, hold } = limits;
  const encoding = (request.headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding !== "identity" && encoding !== "gzip" && encoding !== "deflate") {
    throw new RequestError(
      "UnsupportedEncoding",
      `Content-Encoding ${encoding} is not supported; use gzip, deflate or none`,
    );
  }
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge(limit);
  const body = await collect(request, limits);
  if (encoding === "identity") return body;
  const unpacked = await UNPACK[encoding](body, { maxOutputLength: limit }).catch((error: unknown) => {
    if (error instanceof RangeError) throw tooLarge(limit);
    throw new RequestError("InvalidRequest", `the body is not valid ${encoding}`, { cause: error });
  });
  hold(unpacked.length);
  return unpacked;
}

function collect(request: IncomingMessage, { limit, hold }: BodyLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let refused = false;
    const refuse = (error: unknown) => {
      refused = true;
      chunks.length = 0;
      reject(error);
    };
    request.on("data", (chunk: Buffer) => {
      if (refused) return;
      bytes += chunk.length;
      try {
        if (bytes > limit) throw tooLarge(limit);
        hold(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        refuse(error);
      }
    });
    request.on("end", () =>
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)),
    );
    request.on("close", () => {
      // It comes after the end, too, and an error costs much more than to look.
      if (!request.readableEnded) reject(new RequestError("Cancelled", "the client has closed the request"));
    });
    request.on("error", reject);
  });
}

function tooLarge(limit: number): RequestError {
  // What is left of the body is not read, so the connection cannot carry another request.
  return new RequestError(
    "TooLarge",
    `the body is larger than ${limit} bytes; send fewer rows per request, or binary tensors`,
    {
      headers: { Connection: "close" },
    },
  );
}
