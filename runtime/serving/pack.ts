/** Packs answers for clients that take them packed. */
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { Reply } from "./calls.ts";

const pack = promisify(gzip);
/** What fits into one packet is not worth packing. */
const LEAST_BYTES = 1400;

/** The answer as the client's Accept-Encoding wants it: gzipped where that pays, else as it is. */
export async function packed(reply: Reply, acceptEncoding: string | undefined): Promise<Reply> {
  if (acceptEncoding === undefined || reply.body.length < LEAST_BYTES || !takesGzip(acceptEncoding)) return reply;
  // The fastest level: an answer's time matters more than its last bytes.
  const body = await pack(reply.body, { level: 1 });
  return { ...reply, headers: { ...reply.headers, "Content-Encoding": "gzip", Vary: "Accept-Encoding" }, body };
}

/** By RFC 9110, 12.5.3. */
export function takesGzip(acceptEncoding: string): boolean {
  const weights = new Map<string, number>();
  for (const part of acceptEncoding.toLowerCase().split(",")) {
    const [coding = "", ...parameters] = part.split(";").map((text) => text.trim());
    const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
    weights.set(coding, weight === undefined ? 1 : Number(weight));
  }
  return (weights.get("gzip") ?? weights.get("*") ?? 0) > 0;
}
