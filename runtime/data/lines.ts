/** Lines of text files. */
import { rejected } from "./rejected.ts";

/** Characters of a line, or of a record of several. */
export const RECORD_LIMIT = 16 * 1024 * 1024;

const BYTE_ORDER_MARK = "\uFEFF";

/** Lines without their ends and without a byte order mark. Throws Failure DataRejected for text that is not UTF-8 and for endless lines. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, source: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let rest = "";
  let line = 1;
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
    } catch (cause) {
      throw rejected(source, `line ${line}`, "the text is not UTF-8; save the file as UTF-8", cause);
    }
  };
  const shown = (text: string) => {
    const whole = line === 1 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
    return whole.endsWith("\r") ? whole.slice(0, -1) : whole;
  };
  for await (const chunk of chunks) {
    const parts = (rest + decode(chunk)).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > RECORD_LIMIT)
      throw rejected(source, `line ${line}`, "the line is too long; is this a text file?");
    for (const part of parts) {
      yield shown(part);
      line += 1;
    }
  }
  rest += decode();
  if (rest !== "") yield shown(rest);
}
