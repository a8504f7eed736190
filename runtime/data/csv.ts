/** CSV with a header line (RFC 4180), read as numbers. Messages name file, line and column, never a value. */
import { Failure } from "../failure.ts";
import type { Dataset } from "./dataset.ts";

export interface CsvOptions {
  /** Where it came from, for messages. */
  source: string;
  /** Name of the column with the label. */
  label: string;
  /** Names of the feature columns, in order; default: all but the label. */
  columns?: readonly string[] | undefined;
}

interface CsvRecord {
  fields: string[];
  /** Line on which it begins, from 1. */
  line: number;
}

const RECORD_LIMIT = 16 * 1024 * 1024;
const NUMBER = /^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/;

function rejected(source: string, line: number, message: string): Failure {
  return new Failure("DataRejected", `${source} line ${line}: ${message}`);
}

/** Is a quoted field open at the end of `text`? */
function quoteOpen(text: string): boolean {
  let quotes = 0;
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 1)) quotes += 1;
  return quotes % 2 === 1;
}

/** Fields of a record; undefined when its quotes do not fit. */
function splitRecord(text: string): string[] | undefined {
  if (!text.includes('"')) return text.split(",");
  const fields: string[] = [];
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/gy;
  for (;;) {
    const match = field.exec(text);
    if (match === null) return undefined;
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? "");
    if (match[3] === "") return fields;
  }
}

/** Lines without their ends. Throws Failure DataRejected for text that is not UTF-8 and for endless lines. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>, source: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  let line = 1;
  const decode = (chunk?: Uint8Array): string => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
    } catch {
      throw rejected(source, line, "the text is not UTF-8; save the file as UTF-8");
    }
  };
  for await (const chunk of chunks) {
    const parts = (rest + decode(chunk)).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > RECORD_LIMIT) throw rejected(source, line, "the line is too long; is this a CSV file?");
    for (const part of parts) {
      yield part.endsWith("\r") ? part.slice(0, -1) : part;
      line += 1;
    }
  }
  rest += decode();
  if (rest !== "") yield rest;
}

async function* recordsOf(chunks: AsyncIterable<Uint8Array>, source: string): AsyncGenerator<CsvRecord> {
  let line = 0;
  let begun = 0;
  let text = "";
  for await (const next of linesOf(chunks, source)) {
    line += 1;
    if (text === "") begun = line;
    text = text === "" ? next : `${text}\n${next}`;
    if (text.length > RECORD_LIMIT) throw rejected(source, begun, "a quoted field does not end; close its quotes");
    if (text === "" || quoteOpen(text)) continue;
    const fields = splitRecord(text);
    if (fields === undefined)
      throw rejected(source, begun, "quotes are misplaced; quote whole fields, and double quotes in them");
    yield { fields, line: begun };
    text = "";
  }
  if (text !== "") throw rejected(source, begun, "a quoted field does not end; close its quotes");
}

interface Columns {
  width: number;
  label: number;
  features: number[];
}

function columnsOf({ fields, line }: CsvRecord, { source, label, columns }: CsvOptions): Columns {
  const names = fields.map((field) => field.trim());
  const indexOf = (name: string, field: string) => {
    const index = names.indexOf(name);
    if (index === -1)
      throw rejected(source, line, `there is no column "${name}", which ${field} names; correct either`);
    if (names.includes(name, index + 1)) throw rejected(source, line, `there are two columns "${name}"; rename one`);
    return index;
  };
  const labelIndex = indexOf(label, "label");
  const features =
    columns?.map((name) => indexOf(name, "columns")) ??
    names.map((_, index) => index).filter((index) => index !== labelIndex);
  if (features.includes(labelIndex)) {
    throw new Failure("InvalidSpec", `${source}: columns names the label "${label}"; remove it there`);
  }
  if (features.length === 0) throw rejected(source, line, "there is no column besides the label; add features");
  return { width: names.length, label: labelIndex, features };
}

/** Numbers whose count is not known beforehand. */
class NumberList {
  #values = new Float32Array(1024);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float32Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length] = value;
    this.#length += 1;
  }

  finish(): Float32Array {
    return this.#values.slice(0, this.#length);
  }
}

function numberAt(record: CsvRecord, index: number, source: string): number {
  const text = record.fields[index] ?? "";
  const value = NUMBER.test(text) ? Math.fround(Number(text)) : NaN;
  if (Number.isFinite(value)) return value;
  const what = text.trim() === "" ? "is empty" : "is no number that float32 can hold";
  throw rejected(source, record.line, `column ${index + 1} ${what}; correct or remove the line`);
}

/** Parses the bytes of a CSV file. Throws Failure DataRejected. */
export async function parseCsv(chunks: AsyncIterable<Uint8Array>, options: CsvOptions): Promise<Dataset> {
  const { source } = options;
  const features = new NumberList();
  const labels = new NumberList();
  let columns: Columns | undefined;
  let count = 0;
  for await (const record of recordsOf(chunks, source)) {
    if (columns === undefined) {
      const [first = "", ...others] = record.fields;
      columns = columnsOf({ ...record, fields: [first.replace(/^\uFEFF/, ""), ...others] }, options);
      continue;
    }
    if (record.fields.length !== columns.width) {
      const found = record.fields.length;
      throw rejected(
        source,
        record.line,
        `there are ${found} fields where the header has ${columns.width}; correct the line`,
      );
    }
    for (const index of columns.features) features.push(numberAt(record, index, source));
    labels.push(numberAt(record, columns.label, source));
    count += 1;
  }
  if (columns === undefined || count === 0) {
    throw new Failure("DataRejected", `${source} has no examples; it needs a header line and one example a line`);
  }
  return {
    features: features.finish(),
    labels: labels.finish(),
    exampleShape: [columns.features.length],
    count,
    source,
  };
}
