/** Examples from records with named values: numbers, or nested lists of numbers that have one form in all records. */
import { Failure } from "../failure.ts";
import { type Examples, sizeOf } from "./dataset.ts";
import type { ExampleWriter } from "./example-writer.ts";
import { rejected } from "./rejected.ts";

export interface ColumnOptions {
  /** Where it came from, for messages. */
  source: string;
  /** Name of the column with the label. */
  label: string;
  /** Names of the feature columns, in order; default: all but label and weight. */
  columns?: readonly string[] | undefined;
  /** Name of the column with what each example counts for. */
  weight?: string | undefined;
}

/** Throws Failure InvalidSpec when a column is named for two purposes. */
export function checkColumns({ source, label, columns = [], weight }: ColumnOptions): void {
  const named = [label, ...(weight === undefined ? [] : [weight])];
  const twice = [...columns, ...named].find((name, index, all) => all.indexOf(name) !== index);
  if (twice === undefined) return;
  const message =
    twice === label && columns.includes(label)
      ? `columns names the label "${label}"; remove it there`
      : `the column "${twice}" is named twice; remove one`;
  throw new Failure("InvalidSpec", `${source}: ${message}`);
}

/** Throws Failure DataRejected when an example cannot count for this. */
export function checkWeight(weight: number, source: string, where: string): number {
  if (weight >= 0) return weight;
  throw rejected(source, where, "the weight is negative; correct or remove the example");
}

interface Column {
  name: string;
  shape: number[];
}

const quoted = (name: string) => JSON.stringify(name.length > 64 ? `${name.slice(0, 63)}…` : name);

/** Form of a value, by its first elements; undefined for what holds no numbers. */
function shapeOf(value: unknown): number[] | undefined {
  if (typeof value === "number" || typeof value === "boolean") return [];
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const below = shapeOf(value[0]);
  return below === undefined ? undefined : [value.length, ...below];
}

/** Appends the numbers of `value`; false when it has not this form, or a number that float32 cannot hold. */
function flatten(value: unknown, shape: readonly number[], into: number[]): boolean {
  const [length, ...below] = shape;
  if (length !== undefined) {
    return Array.isArray(value) && value.length === length && value.every((item) => flatten(item, below, into));
  }
  if (typeof value !== "number" && typeof value !== "boolean") return false;
  const number = Math.fround(Number(value));
  into.push(number);
  return Number.isFinite(number);
}

/** Makes examples of records; the first one says which columns there are, and of what form. */
export class RecordReader {
  readonly #options: ColumnOptions;
  readonly #writer: ExampleWriter;
  #source: string;
  #features: Column[] | undefined;
  #label: Column = { name: "", shape: [] };

  /** Throws Failure InvalidSpec. */
  constructor(options: ColumnOptions, writer: ExampleWriter) {
    checkColumns(options);
    this.#options = options;
    this.#source = options.source;
    this.#writer = writer;
  }

  /** Records from here on are of this file, for messages. */
  open(source: string): void {
    this.#source = source;
  }

  /** `where`: such as `line 3`. Throws Failure DataRejected. */
  add(record: Readonly<Record<string, unknown>>, where: string): void {
    const { weight } = this.#options;
    this.#features ??= this.#begin(record, where);
    const features = this.#features.flatMap((column) => this.#values(record, column, where));
    this.#writer.features(features);
    this.#writer.labels(this.#values(record, this.#label, where));
    if (weight === undefined) return;
    const [value = NaN] = this.#values(record, { name: weight, shape: [] }, where);
    this.#writer.weights([checkWeight(value, this.#source, where)]);
  }

  /** Throws Failure DataRejected when there are no examples. */
  finish(): Examples {
    const { source } = this.#options;
    const columns = this.#features ?? [];
    const [only] = columns;
    const flat = [columns.reduce((sum, { shape }) => sum + sizeOf(shape), 0)];
    const exampleShape = columns.length === 1 && only !== undefined && only.shape.length > 0 ? only.shape : flat;
    return this.#writer.finish({ source, exampleShape, labelShape: this.#label.shape });
  }

  #begin(record: Readonly<Record<string, unknown>>, where: string): Column[] {
    const { label, weight, columns } = this.#options;
    const source = this.#source;
    const column = (name: string): Column => {
      if (!Object.hasOwn(record, name)) throw this.#missing(name, where);
      const shape = shapeOf(record[name]);
      if (shape !== undefined) return { name, shape };
      throw rejected(
        source,
        where,
        `${quoted(name)} is neither a number nor a list of numbers; leave it out, or name the columns to use`,
      );
    };
    this.#label = column(label);
    const names = columns ?? Object.keys(record).filter((name) => name !== label && name !== weight);
    if (names.length === 0) throw rejected(source, where, "there is no column besides the label; add features");
    return names.map(column);
  }

  #values(record: Readonly<Record<string, unknown>>, { name, shape }: Column, where: string): number[] {
    const values: number[] = [];
    if (!Object.hasOwn(record, name)) throw this.#missing(name, where);
    if (flatten(record[name], shape, values)) return values;
    const form = shape.length === 0 ? "no number" : `no list of numbers of the form [${shape.join(", ")}]`;
    throw rejected(
      this.#source,
      where,
      `${quoted(name)} is ${form} that float32 can hold; correct or remove the example`,
    );
  }

  #missing(name: string, where: string): Failure {
    return rejected(this.#source, where, `there is no column ${quoted(name)}; add it, or correct the declaration`);
  }
}
