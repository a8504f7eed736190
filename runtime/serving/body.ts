/** Reads bodies of requests, with limits. */
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { RequestError } from "./request-error.ts";

export const BODY_LIMIT_BYTES = 64 * 1024 * 1024;

const unzip = promisify(gunzip);

/** The whole body, unpacked when it is gzipped. Throws RequestError TooLarge (also for what it unpacks to), UnsupportedEncoding, Cancelled. */
export async function readBody(request: IncomingMessage, limit = BODY_LIMIT_BYTES): Promise<Buffer> {
  const encoding = (request.headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding !== "identity" && encoding !== "gzip") {
    throw new RequestError("UnsupportedEncoding", `Content-Encoding ${encoding} is not supported; use gzip or none`);
  }
  if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge(limit);
  const body = await collect(request, limit);
  if (encoding === "identity") return body;
  try {
    return await unzip(body, { maxOutputLength: limit });
  } catch (error) {
    if (error instanceof RangeError) throw tooLarge(limit);
    throw new RequestError("InvalidRequest", "the body is not valid gzip", { cause: error });
  }
}

function collect(request: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= limit) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      reject(tooLarge(limit));
    });
    request.on("end", () =>
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)),
    );
    request.on("close", () => reject(new RequestError("Cancelled", "the client has closed the request")));
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
