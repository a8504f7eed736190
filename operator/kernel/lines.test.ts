import * as fc from "fast-check";
import { lines } from "./lines.ts";

async function* inChunks(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let start = 0;
  for (const size of [...sizes, bytes.length]) {
    if (start < bytes.length) yield bytes.subarray(start, start + size);
    start += size;
  }
}

async function read(source: AsyncIterable<Buffer>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines(source)) found.push(line);
  return found;
}

describe("lines of a stream", () => {
  it("are the same wherever the stream is cut into chunks, also within a character", async () => {
    const line = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !text.includes("\n"));
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.integer({ min: 1, max: 5 })), async (texts, sizes) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        expect(await read(inChunks(bytes, sizes))).toEqual(texts.map((text) => Buffer.from(text).toString()));
      }),
    );
  });

  it("let others have their turn, however many there are in one chunk", async () => {
    let turns = 0;
    const count = setInterval(() => turns++, 1);
    for await (const _ of lines(inChunks(Buffer.from("line\n".repeat(30)), []))) {
      const until = performance.now() + 1;
      while (performance.now() < until);
    }
    clearInterval(count);
    // Thirty milliseconds of work, in slices of five.
    expect(turns).toBeGreaterThanOrEqual(3);
  });

  it("leave out a last one without an end, as its sender was cut off", async () => {
    expect(await read(inChunks(Buffer.from('{"a":1}\n\n{"b'), []))).toEqual(['{"a":1}']);
  });
});
