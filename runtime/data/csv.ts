/** CSV with a header line (RFC 4180), read as numbers. Messages name file, line and column, never a value. */
import type { Examples } from "./dataset.ts";
import type { ExampleWriter } from "./example-writer.ts";
import { RECORD_LIMIT, linesOf } from "./lines.ts";
import { type ColumnOptions, checkColumns, checkWeight } from "./records.ts";
import { rejected } from "./rejected.ts";

interface CsvRecord {
  fields: string[];
  /** Line on which it begins, from 1. */
  line: number;
}

const NUMBER = /^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/;

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

async function* recordsOf(chunks: AsyncIterable<Uint8Array>, source: string): AsyncGenerator<CsvRecord> {
  let line = 0;
  let begun = 0;
  let text = "";
  for await (const next of linesOf(chunks, source)) {
    line += 1;
    if (text === "") begun = line;
    text = text === "" ? next : `${text}\n${next}`;
    if (text.length > RECORD_LIMIT)
      throw rejected(source, `line ${begun}`, "a quoted field does not end; close its quotes");
    if (text === "" || quoteOpen(text)) continue;
    const fields = splitRecord(text);
    if (fields === undefined)
      throw rejected(source, `line ${begun}`, "quotes are misplaced; quote whole fields, and double quotes in them");
    yield { fields, line: begun };
    text = "";
  }
  if (text !== "") throw rejected(source, `line ${begun}`, "a quoted field does not end; close its quotes");
}

/** Where the columns are, by a file's header. */
export interface Columns {
  /** Names of the features. */
  names: string[];
  width: number;
  label: number;
  weight: number | undefined;
  features: number[];
}

function columnsOf({ fields, line }: CsvRecord, { source, label, weight, columns }: ColumnOptions): Columns {
  const names = fields.map((field) => field.trim());
  const indexOf = (name: string, field: string) => {
    const index = names.indexOf(name);
    if (index === -1)
      throw rejected(source, `line ${line}`, `there is no column "${name}", which ${field} names; correct either`);
    if (names.includes(name, index + 1))
      throw rejected(source, `line ${line}`, `there are two columns "${name}"; rename one`);
    return index;
  };
  const labelIndex = indexOf(label, "label");
  const weightIndex = weight === undefined ? undefined : indexOf(weight, "weight");
  const features =
    columns?.map((name) => indexOf(name, "columns")) ??
    names.map((_, index) => index).filter((index) => index !== labelIndex && index !== weightIndex);
  if (features.length === 0)
    throw rejected(source, `line ${line}`, "there is no column besides the label; add features");
  return {
    names: features.map((index) => names[index] ?? ""),
    width: names.length,
    label: labelIndex,
    weight: weightIndex,
    features,
  };
}

function numberAt(record: CsvRecord, index: number, source: string): number {
  const text = record.fields[index] ?? "";
  const value = NUMBER.test(text) ? Math.fround(Number(text)) : NaN;
  if (Number.isFinite(value)) return value;
  const what = text.trim() === "" ? "is empty" : "is no number that float32 can hold";
  throw rejected(source, `line ${record.line}`, `column ${index + 1} ${what}; correct or remove the line`);
}

/** Parses the bytes of a CSV file. Throws Failure: DataRejected, InvalidSpec. */
export async function parseCsv(
  chunks: AsyncIterable<Uint8Array>,
  options: ColumnOptions,
  writer: ExampleWriter,
): Promise<Examples> {
  const { features } = await addCsv(chunks, options, writer);
  return writer.finish({ source: options.source, exampleShape: [features.length] });
}

/**
 * Adds the examples of a CSV file; `former`: the columns of one before it, which it must have too.
 * Throws Failure: DataRejected, InvalidSpec.
 */
export async function addCsv(
  chunks: AsyncIterable<Uint8Array>,
  options: ColumnOptions,
  writer: ExampleWriter,
  former?: Columns,
): Promise<Columns> {
  const { source } = options;
  checkColumns(options);
  let columns: Columns | undefined;
  let row = new Float32Array();
  for await (const record of recordsOf(chunks, source)) {
    if (columns === undefined) {
      columns = columnsOf(record, options);
      if (former !== undefined && former.names.join("\n") !== columns.names.join("\n")) {
        const message =
          "has other columns than the file before it, or another order; use one header for all, or name the columns";
        throw rejected(source, `line ${record.line}`, message);
      }
      row = new Float32Array(columns.features.length);
      continue;
    }
    const { features, label, weight, width } = columns;
    if (record.fields.length !== width) {
      const found = record.fields.length;
      const message = `there are ${found} fields where the header has ${width}; correct the line`;
      throw rejected(source, `line ${record.line}`, message);
    }
    features.forEach((index, position) => (row[position] = numberAt(record, index, source)));
    writer.features(row);
    writer.labels([numberAt(record, label, source)]);
    if (weight !== undefined)
      writer.weights([checkWeight(numberAt(record, weight, source), source, `line ${record.line}`)]);
  }
  if (columns === undefined) {
    throw rejected(source, "", "has no examples; it needs a header line and one example a line");
  }
  return columns;
}
