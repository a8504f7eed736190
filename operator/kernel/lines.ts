import type { Readable } from "node:stream";

const newline = 0x0a;

/** Splits a byte stream into lines of UTF-8. A rest without a line end is dropped: its sender was cut off. */
export async function* lines(stream: Readable | AsyncIterable<Buffer>): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      parts.push(chunk.subarray(start, end));
      const line = (parts.length === 1 ? (parts[0] ?? chunk) : Buffer.concat(parts)).toString("utf8");
      parts = [];
      start = end + 1;
      if (line.length > 0) yield line;
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
}
