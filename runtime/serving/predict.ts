/** TensorFlow Serving's predict call: its JSON to tensors and back, with its messages. Pure. */
import type { Datatype } from "../../crds/contract/artefact.ts";
import { JsonSyntaxError, excerpt, isObject, parseLenientJson } from "./json.ts";
import { RequestError, refuse } from "./request-error.ts";
import { type ScalarSink, sinkOf, textsOf } from "./scalars.ts";
import { type Signature, type Tensor, type TensorSpec, elements, fits } from "./tensor.ts";

export const SIGNATURE_NAME = "serving_default";

export interface PredictDocument {
  readonly members: Readonly<Record<string, unknown>>;
}

export interface Prediction {
  /** Row: `instances` in, `predictions` out. Columnar: `inputs` in, `outputs` out. */
  readonly format: "row" | "columnar";
  readonly inputs: readonly Tensor[];
}

const FLOATS: ReadonlySet<Datatype> = new Set(["FP16", "BF16", "FP32", "FP64"]);

/** The body as an object. Integer inputs need the slower reader, which tells `1` from `1.0`. */
export function parsePredictDocument(text: string, signature: Signature): PredictDocument {
  if (text.trim() === "") refuse("JSON Parse error: The document is empty");
  const document = parse(
    text,
    signature.inputs.some(({ datatype }) => !FLOATS.has(datatype) && datatype !== "BOOL" && datatype !== "BYTES"),
  );
  if (!isObject(document)) refuse(`JSON Value: ${excerpt(document)} Is not object`);
  const name = document["signature_name"];
  if (name !== undefined && typeof name !== "string") {
    refuse(`JSON Value: ${excerpt(document)} not formatted correctly. 'signature_name' key must be a string value.`);
  }
  return { members: document };
}

function parse(text: string, exact: boolean): unknown {
  if (!exact) {
    try {
      return JSON.parse(text);
    } catch {
      // The lenient reader takes what strict JSON has not, or says what is wrong.
    }
  }
  try {
    return parseLenientJson(text, { exact });
  } catch (error) {
    if (error instanceof JsonSyntaxError) refuse(`JSON Parse error: ${error.message} at offset: ${error.offset}`);
    throw error;
  }
}

/** The inputs of a predict call, in the signature's order; 400 with TensorFlow Serving's message otherwise. */
export function readPrediction({ members }: PredictDocument, model: string, signature: Signature): Prediction {
  const { instances, inputs } = members;
  if (instances !== undefined && inputs !== undefined) {
    refuse(
      `JSON Value: ${excerpt(members)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist `,
    );
  }
  if (instances === undefined && inputs === undefined) refuse("Missing 'inputs' or 'instances' key");
  const format = instances === undefined ? "columnar" : "row";
  const tensors = instances === undefined ? readColumns(inputs, signature) : readRows(instances, signature);
  for (const [index, spec] of signature.inputs.entries()) checkShape(tensors[index], spec, model);
  return { format, inputs: tensors };
}

export interface ChosenSignature {
  /** Absent: the one that clients mean when they name none. */
  readonly name?: string;
  readonly signature: Signature;
}

/** The signature that the document names; 400 with TensorFlow Serving's message when there is none of that name. */
export function chosenSignature(
  { signature_name: name }: PredictDocument["members"],
  signature: Signature,
  signatures: Readonly<Record<string, Signature>> = {},
): ChosenSignature {
  if (typeof name !== "string" || name === SIGNATURE_NAME || name === "") return { signature };
  const named = Object.hasOwn(signatures, name) ? signatures[name] : undefined;
  return named === undefined
    ? refuse(`Serving signature name: "${name}" not found in signature def`)
    : { name, signature: named };
}

/** Also used for the Open Inference Protocol. */
export function checkShape(tensor: Tensor | undefined, spec: TensorSpec, model: string): void {
  const shape = tensor?.shape ?? [];
  if (!fits(shape, spec.shape)) {
    refuse(
      `unexpected shape for input '${spec.name}' for model '${model}'. Expected [${spec.shape.join(",")}], got [${shape.join(",")}]`,
    );
  }
}

function readColumns(inputs: unknown, { inputs: specs }: Signature): Tensor[] {
  const [only] = specs;
  if (specs.length === 1 && only !== undefined && !isNamed(inputs, only.name)) return [readTensor(inputs, only)];
  if (!isObject(inputs)) {
    refuse(
      "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map",
    );
  }
  return specs.map((spec) => {
    if (!Object.hasOwn(inputs, spec.name)) refuse(`Missing named input: ${spec.name} in 'inputs' object.`);
    return readTensor(inputs[spec.name], spec);
  });
}

/** `{"b64": …}` is a value, unless the input has that name. */
function isNamed(value: unknown, input: string): value is Record<string, unknown> {
  return isObject(value) && (input === "b64" || Object.keys(value).join() !== "b64");
}

function readTensor(value: unknown, spec: TensorSpec): Tensor {
  const shape = shapeOf(value);
  const sink = sinkOf(spec.datatype, elements(shape));
  fill({ value, shape, level: 0, sink, offset: 0, size: elements(shape) });
  return { name: spec.name, datatype: spec.datatype, shape, data: sink.data };
}

function readRows(instances: unknown, { inputs: specs }: Signature): Tensor[] {
  if (!Array.isArray(instances)) {
    refuse(`JSON Value: ${excerpt(instances)} Expecting 'instances' to be an list/array`);
  }
  if (instances.length === 0) refuse(`JSON Value: ${excerpt(instances)} No values in 'instances' array`);
  const [only] = specs;
  const named = specs.length > 1 || (only !== undefined && isNamed(instances[0], only.name));
  if (specs.length > 1 && !isObject(instances[0])) {
    refuse(
      "instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map",
    );
  }
  for (const [index, instance] of instances.entries()) checkKind(instance, index, named, specs);
  return specs.map((spec) =>
    stack(
      instances.map((instance: unknown) => (named && isObject(instance) ? instance[spec.name] : instance)),
      spec,
    ),
  );
}

function checkKind(instance: unknown, index: number, named: boolean, specs: readonly TensorSpec[]): void {
  if (!named) {
    if (isNamed(instance, specs[0]?.name ?? ""))
      refuse(`Expecting value/list but got object at item ${index} of input list`);
    return;
  }
  if (!isObject(instance)) refuse(`Expecting object but got list at item ${index} of input list`);
  const keys = Object.keys(instance);
  const element = `Failed to process element: ${index}`;
  if (keys.length !== specs.length) {
    const wanted = specs.map((spec) => spec.name).sort();
    refuse(
      `${element} of 'instances' list. JSON object: ${excerpt(instance)} keys must be equal to: ${wanted.join(",")}`,
    );
  }
  const unknown = keys.find((key) => !specs.some((spec) => spec.name === key));
  if (unknown !== undefined) {
    refuse(
      `${element} key: ${unknown} of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: ${unknown}`,
    );
  }
}

/** One tensor from the values of all rows, which must be alike. */
function stack(rows: readonly unknown[], spec: TensorSpec): Tensor {
  const shape = shapeOf(rows[0]);
  const size = elements(shape);
  const { name, datatype } = spec;
  const sink = sinkOf(datatype, size * rows.length);
  for (const [index, value] of rows.entries()) {
    const own = shapeOf(value);
    const found = elements(own);
    if (found !== size) refuse(`Expecting tensor size: ${size} but got: ${found}`);
    if (own.length !== shape.length || own.some((length, level) => length !== shape[level]))
      refuse(`Expecting shape [${shape.join(",")}] but got: [${own.join(",")}]`);
    try {
      fill({ value, shape, level: 0, sink, offset: index * size, size });
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      refuse(`Failed to process element: ${index} of 'instances' list. Error: INVALID_ARGUMENT: ${error.message}`);
    }
  }
  return { name, datatype, shape: [rows.length, ...shape], data: sink.data };
}

function shapeOf(value: unknown): number[] {
  const shape: number[] = [];
  for (let inner = value; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  return shape;
}

interface Filling {
  readonly value: unknown;
  readonly shape: readonly number[];
  readonly level: number;
  readonly sink: ScalarSink;
  readonly offset: number;
  /** Elements from `level` on. */
  readonly size: number;
}

function fill({ value, shape, level, sink, offset, size }: Filling): void {
  if (level === shape.length) {
    if (Array.isArray(value)) refuse(`Encountered list at unexpected level: ${level} expected < ${shape.length}`);
    sink.put(offset, value);
    return;
  }
  if (!Array.isArray(value)) refuse(`JSON Value: ${excerpt(value)} found at incorrect level: ${level}`);
  if (value.length !== shape[level]) {
    refuse(`Encountered list at unexpected size: ${value.length} at level: ${level} expected size: ${shape[level]}`);
  }
  const stride = size / value.length;
  const taken = level === shape.length - 1 ? (sink.putNumbers?.(offset, value) ?? 0) : 0;
  for (let index = taken; index < value.length; index++) {
    const item: unknown = value[index];
    fill({ value: item, shape, level: level + 1, sink, offset: offset + index * stride, size: stride });
  }
}

/** The answer to a predict call, as JSON with bare NaN and Infinity. */
export function writePrediction(format: Prediction["format"], outputs: readonly Tensor[]): string {
  return format === "row" ? `{"predictions":[${rowTexts(outputs).join(",")}]}` : `{"outputs":${columnText(outputs)}}`;
}

function columnText(outputs: readonly Tensor[]): string {
  const texts = outputs.map((output) => valueText(textsOf(output, "tokens"), output.shape, 0, 0));
  const [only] = texts;
  if (only !== undefined && outputs.length === 1) return only;
  return `{${outputs.map(({ name }, index) => `${JSON.stringify(name)}:${texts[index]}`).join(",")}}`;
}

function rowTexts(outputs: readonly Tensor[]): string[] {
  const rows = outputs[0]?.shape[0] ?? 0;
  for (const { name, shape } of outputs) {
    if (shape.length === 0) refuse(`Tensor name: ${name} has no shape information `);
    if (shape[0] !== rows) refuse(`Tensor name: ${name} has inconsistent batch size: ${shape[0]} expecting: ${rows}`);
  }
  const columns = outputs.map((output) => {
    const texts = textsOf(output, "tokens");
    const width = elements(output.shape.slice(1));
    return { name: output.name, row: (row: number) => valueText(texts, output.shape, 1, row * width) };
  });
  const [only] = columns;
  return Array.from({ length: rows }, (_, row) => {
    if (only !== undefined && columns.length === 1) return only.row(row);
    return `{${columns.map((column) => `${JSON.stringify(column.name)}:${column.row(row)}`).join(",")}}`;
  });
}

/** The nested lists of a tensor from dimension `level` on, starting with element `offset`. */
function valueText(texts: readonly string[], shape: readonly number[], level: number, offset: number): string {
  if (level === shape.length) return texts[offset] ?? "";
  const size = shape[level] ?? 0;
  if (level === shape.length - 1) return `[${texts.slice(offset, offset + size).join(",")}]`;
  const stride = elements(shape.slice(level + 1));
  const items: string[] = [];
  for (let index = 0; index < size; index++) items.push(valueText(texts, shape, level + 1, offset + index * stride));
  return `[${items.join(",")}]`;
}
