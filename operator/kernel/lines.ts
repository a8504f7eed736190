import type { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";

const newline = 0x0a;
/** Milliseconds for which lines follow each other before others, such as timers and the lease, have their turn. */
const slice = 5;

/**
 * Splits a byte stream into lines of UTF-8. A rest without a line end is dropped: its sender was cut off.
 * However fast the bytes come, the event loop is never held for long.
 */
export async function* lines(stream: Readable | AsyncIterable<Buffer>): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let resumed = performance.now();
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      parts.push(chunk.subarray(start, end));
      const line = (parts.length === 1 ? (parts[0] ?? chunk) : Buffer.concat(parts)).toString("utf8");
      parts = [];
      start = end + 1;
      if (line.length > 0) yield line;
      if (performance.now() - resumed < slice) continue;
      await turn();
      resumed = performance.now();
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
  }
}
