/** JSON Lines: an object a line. Messages name file, line and column, never a value. */
import type { Examples } from "./dataset.ts";
import type { ExampleWriter } from "./example-writer.ts";
import { linesOf } from "./lines.ts";
import { type ColumnOptions, RecordReader } from "./records.ts";
import { rejected } from "./rejected.ts";

function objectOf(text: string, source: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
    throw rejected(source, where, "is no JSON; correct or remove the line");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw rejected(source, where, 'is no JSON object; write an example as {"column": value, …}');
}

/** Parses the bytes of a JSON Lines file; empty lines are passed over. Throws Failure: DataRejected, InvalidSpec. */
export async function parseJsonl(
  chunks: AsyncIterable<Uint8Array>,
  options: ColumnOptions,
  writer: ExampleWriter,
): Promise<Examples> {
  const reader = new RecordReader(options, writer);
  await addJsonl(chunks, options.source, reader);
  return reader.finish();
}

/** Adds the examples of a JSON Lines file. Throws Failure DataRejected. */
export async function addJsonl(chunks: AsyncIterable<Uint8Array>, source: string, reader: RecordReader): Promise<void> {
  reader.open(source);
  let line = 0;
  for await (const text of linesOf(chunks, source)) {
    line += 1;
    if (text.trim() === "") continue;
    const where = `line ${line}`;
    reader.add(objectOf(text, source, where), where);
  }
}
