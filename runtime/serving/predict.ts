/** TensorFlow Serving's predict call: its JSON to tensors and back, with its messages. Pure. */
import type { Datatype } from "../../crds/contract/artefact.ts";
import { Decimal, JsonSyntaxError, excerpt, isObject, parseLenientJson } from "./json.ts";
import { float32Token } from "./number-text.ts";
import { RequestError, refuse } from "./request-error.ts";
import { type Signature, type Tensor, type TensorData, type TensorSpec, elements, fits, newData } from "./tensor.ts";

export const SIGNATURE_NAME = "serving_default";

export interface PredictDocument {
  readonly members: Readonly<Record<string, unknown>>;
}

export interface Prediction {
  /** Row: `instances` in, `predictions` out. Columnar: `inputs` in, `outputs` out. */
  readonly format: "row" | "columnar";
  readonly inputs: readonly Tensor[];
}

/** The body as an object. Integer inputs need the slower reader, which tells `1` from `1.0`. */
export function parsePredictDocument(text: string, signature: Signature): PredictDocument {
  if (text.trim() === "") refuse("JSON Parse error: The document is empty");
  const document = parse(
    text,
    signature.inputs.some((input) => input.datatype === "INT32"),
  );
  if (!isObject(document)) refuse(`JSON Value: ${excerpt(document)} Is not object`);
  const name = document["signature_name"];
  if (name !== undefined && typeof name !== "string") {
    refuse(`JSON Value: ${excerpt(document)} not formatted correctly. 'signature_name' key must be a string value.`);
  }
  return { members: document };
}

function parse(text: string, decimals: boolean): unknown {
  if (!decimals) {
    try {
      return JSON.parse(text);
    } catch {
      // The lenient reader takes what strict JSON has not, or says what is wrong.
    }
  }
  try {
    return parseLenientJson(text, { decimals });
  } catch (error) {
    if (error instanceof JsonSyntaxError) refuse(`JSON Parse error: ${error.message} at offset: ${error.offset}`);
    throw error;
  }
}

/** The inputs of a predict call, in the signature's order; 400 with TensorFlow Serving's message otherwise. */
export function readPrediction({ members }: PredictDocument, model: string, signature: Signature): Prediction {
  const name = members["signature_name"];
  if (typeof name === "string" && name !== SIGNATURE_NAME && name !== "") {
    refuse(`Serving signature name: "${name}" not found in signature def`);
  }
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
  const data = newData(spec.datatype, elements(shape));
  fill({ value, shape, level: 0, datatype: spec.datatype, data, offset: 0 });
  return { name: spec.name, datatype: spec.datatype, shape, data };
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
  const data = newData(datatype, size * rows.length);
  for (const [index, value] of rows.entries()) {
    const own = shapeOf(value);
    if (elements(own) !== size) refuse(`Expecting tensor size: ${size} but got: ${elements(own)}`);
    if (own.join() !== shape.join()) refuse(`Expecting shape [${shape.join(",")}] but got: [${own.join(",")}]`);
    try {
      fill({ value, shape, level: 0, datatype, data, offset: index * size });
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      refuse(`Failed to process element: ${index} of 'instances' list. Error: INVALID_ARGUMENT: ${error.message}`);
    }
  }
  return { name, datatype, shape: [rows.length, ...shape], data };
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
  readonly datatype: Datatype;
  readonly data: TensorData;
  readonly offset: number;
}

function fill({ value, shape, level, datatype, data, offset }: Filling): void {
  if (level === shape.length) {
    if (Array.isArray(value)) refuse(`Encountered list at unexpected level: ${level} expected < ${shape.length}`);
    data[offset] = scalar(value, datatype);
    return;
  }
  if (!Array.isArray(value)) refuse(`JSON Value: ${excerpt(value)} found at incorrect level: ${level}`);
  if (value.length !== shape[level]) {
    refuse(`Encountered list at unexpected size: ${value.length} at level: ${level} expected size: ${shape[level]}`);
  }
  const stride = elements(shape.slice(level + 1));
  for (const [index, item] of value.entries()) {
    fill({ value: item, shape, level: level + 1, datatype, data, offset: offset + index * stride });
  }
}

const TYPE_NAMES: Readonly<Record<Datatype, string>> = { FP32: "float", INT32: "int32", BOOL: "bool" };

function scalar(value: unknown, datatype: Datatype): number {
  if (datatype === "BOOL" && typeof value === "boolean") return value ? 1 : 0;
  if (datatype === "INT32" && Number.isInteger(value) && value === Number(value) && (value | 0) === value) return value;
  if (datatype === "FP32") {
    const number = value instanceof Decimal ? value.value : value;
    if (typeof number === "number" && (Number.isFinite(Math.fround(number)) || !Number.isFinite(number))) return number;
  }
  refuse(`JSON Value: ${excerpt(value)} Type: ${typeName(value)} is not of expected type: ${TYPE_NAMES[datatype]}`);
}

function typeName(value: unknown): string {
  if (value === null) return "Null";
  if (Array.isArray(value)) return "Array";
  if (typeof value === "number" || value instanceof Decimal) return "Number";
  if (typeof value === "boolean") return "Bool";
  return typeof value === "string" ? "String" : "Object";
}

/** The answer to a predict call, as JSON with bare NaN and Infinity. */
export function writePrediction(format: Prediction["format"], outputs: readonly Tensor[]): string {
  return format === "row" ? `{"predictions":[${rowTexts(outputs).join(",")}]}` : `{"outputs":${columnText(outputs)}}`;
}

function columnText(outputs: readonly Tensor[]): string {
  const [only] = outputs;
  if (only !== undefined && outputs.length === 1) return valueText(only, 0, 0);
  return `{${outputs.map((output) => `${JSON.stringify(output.name)}:${valueText(output, 0, 0)}`).join(",")}}`;
}

function rowTexts(outputs: readonly Tensor[]): string[] {
  const rows = outputs[0]?.shape[0] ?? 0;
  for (const { name, shape } of outputs) {
    if (shape.length === 0) refuse(`Tensor name: ${name} has no shape information `);
    if (shape[0] !== rows) refuse(`Tensor name: ${name} has inconsistent batch size: ${shape[0]} expecting: ${rows}`);
  }
  const [only] = outputs;
  const single = outputs.length === 1 ? only : undefined;
  return Array.from({ length: rows }, (_, row) => {
    if (single !== undefined) return rowText(single, row);
    return `{${outputs.map((output) => `${JSON.stringify(output.name)}:${rowText(output, row)}`).join(",")}}`;
  });
}

function rowText(output: Tensor, row: number): string {
  return valueText(output, 1, row * elements(output.shape.slice(1)));
}

/** The nested lists of `tensor` from dimension `level` on, starting with element `offset`. */
function valueText(tensor: Tensor, level: number, offset: number): string {
  const { shape, data, datatype } = tensor;
  if (level === shape.length) return scalarText(data[offset] ?? 0, datatype);
  const stride = elements(shape.slice(level + 1));
  const items: string[] = [];
  for (let index = 0; index < (shape[level] ?? 0); index++) {
    items.push(valueText(tensor, level + 1, offset + index * stride));
  }
  return `[${items.join(",")}]`;
}

export function scalarText(value: number, datatype: Datatype): string {
  if (datatype === "FP32") return float32Token(value);
  return datatype === "BOOL" ? String(value !== 0) : String(value);
}
