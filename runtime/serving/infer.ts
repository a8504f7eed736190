/** The Open Inference Protocol's infer call, with the binary tensor extension: bytes to tensors and back. Pure. */
import { isObject, parseExactJson } from "./json.ts";
import { checkShape } from "./predict.ts";
import { RequestError, refuse } from "./request-error.ts";
import { textsOf } from "./scalars.ts";
import { MAX_FLOAT32, type Signature, type Tensor, type TensorData, type TensorSpec, elements } from "./tensor.ts";
import { cast, fromBinary, isBinaryOnly, toBinary, widthOf, wireOf } from "./wire.ts";

/** Bytes of the JSON part when tensors follow it. */
export const JSON_LENGTH_HEADER = "Inference-Header-Content-Length";

export interface InferRequest {
  readonly id?: string;
  readonly inputs: readonly Tensor[];
  /** Which outputs to answer, in this order. */
  readonly outputs: readonly { readonly name: string; readonly binary: boolean }[];
  /** From the parameter `timeout`. */
  readonly timeoutMicroseconds?: number;
}

export interface InferReply {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Reads a request. `jsonLength`: the value of the header, if there is one. 400 for anything that is not right. */
export function readInfer(
  body: Buffer,
  jsonLength: string | undefined,
  model: string,
  signature: Signature,
): InferRequest {
  const split = jsonLength === undefined ? body.length : parseLength(jsonLength, body.length);
  if (jsonLength !== undefined && split === 0) return readRaw(body, model, signature);
  const document = parseStrict(body.subarray(0, split));
  const parameters = readParameters(document["parameters"], "the request");
  const { id } = document;
  if (id !== undefined && typeof id !== "string") refuse("'id' must be a string");
  const timeout = parameters["timeout"];
  if (timeout !== undefined && !(typeof timeout === "number" && Number.isInteger(timeout) && timeout >= 0)) {
    refuse("parameter 'timeout' must be a whole number of microseconds");
  }
  return {
    ...(id === undefined ? {} : { id }),
    inputs: readInputs(document["inputs"], body.subarray(split), jsonLength !== undefined, model, signature),
    outputs: readOutputs(document["outputs"], parameters["binary_data_output"], model, signature),
    ...(timeout === undefined || timeout === 0 ? {} : { timeoutMicroseconds: timeout }),
  };
}

function parseLength(header: string, bodyLength: number): number {
  if (!/^\d{1,15}$/.test(header)) refuse(`Unable to parse ${JSON_LENGTH_HEADER}, got: ${header}`);
  const length = Number(header);
  if (length > bodyLength) refuse(`inference header size should be in range (0, ${bodyLength}), got: ${header}`);
  return length;
}

/** A body of nothing but the bytes of the only input, as one row; all outputs come back as bytes. */
function readRaw(body: Buffer, model: string, { inputs, outputs }: Signature): InferRequest {
  const [only] = inputs;
  const variable = only?.shape.filter((size) => size === -1).length ?? 0;
  if (inputs.length !== 1 || only === undefined || variable > 1) {
    refuse(`model '${model}' takes no raw request: that needs one input with at most one variable dimension`);
  }
  const shape = only.shape.map((size) => (size === -1 ? 1 : size));
  const data = readBytes(body, { shape, datatype: only.datatype }, only, model);
  return {
    inputs: [{ name: only.name, datatype: only.datatype, shape, data }],
    outputs: outputs.map(({ name }) => ({ name, binary: true })),
  };
}

function parseStrict(bytes: Buffer): Record<string, unknown> {
  let document: unknown;
  try {
    document = parseExactJson(bytes.toString());
  } catch {
    refuse(
      "the request is not valid JSON. NaN and Infinity have no form in JSON: send such tensors as binary data; if the body holds binary data, " +
        `set the header ${JSON_LENGTH_HEADER}`,
    );
  }
  if (!isObject(document)) refuse("the request must be a JSON object");
  return document;
}

function readParameters(value: unknown, owner: string): Record<string, unknown> {
  if (value === undefined) return {};
  if (!isObject(value)) refuse(`'parameters' of ${owner} must be an object`);
  for (const [key, parameter] of Object.entries(value)) {
    if (!["string", "number", "boolean"].includes(typeof parameter)) {
      refuse(`parameter '${key}' of ${owner} must be a string, number or boolean`);
    }
  }
  return value;
}

function readFlag(value: unknown, name: string): boolean | undefined {
  if (value !== undefined && typeof value !== "boolean") refuse(`parameter '${name}' must be a boolean`);
  return value;
}

function readOutputs(
  outputs: unknown,
  binaryByDefault: unknown,
  model: string,
  signature: Signature,
): InferRequest["outputs"] {
  const all = readFlag(binaryByDefault, "binary_data_output") ?? false;
  if (outputs === undefined) return signature.outputs.map(({ name }) => ({ name, binary: all }));
  if (!Array.isArray(outputs)) refuse("'outputs' must be a list");
  // An empty list asks for nothing in particular: all of them.
  if (outputs.length === 0) return signature.outputs.map(({ name }) => ({ name, binary: all }));
  const flags = outputs.map((output: unknown) => {
    if (!isObject(output) || typeof output["name"] !== "string")
      refuse("each of 'outputs' must be an object with a name");
    const { name } = output;
    const parameters = readParameters(output["parameters"], `output '${name}'`);
    return { name, binary: readFlag(parameters["binary_data"], "binary_data") ?? all };
  });
  outputNames(
    flags.map(({ name }) => name),
    model,
    signature,
  );
  return flags;
}

/** The outputs to answer; none asked for: all of them. 400 for an unknown one, or one that is asked for twice. */
export function outputNames(names: readonly string[], model: string, signature: Signature): readonly string[] {
  if (names.length === 0) return signature.outputs.map(({ name }) => name);
  const seen = new Set<string>();
  for (const name of names) {
    if (!signature.outputs.some((spec) => spec.name === name)) {
      refuse(`unexpected inference output '${name}' for model '${model}'`);
    }
    if (seen.has(name)) refuse(`output '${name}' is asked for twice`);
    seen.add(name);
  }
  return names;
}

function readInputs(
  value: unknown,
  binary: Buffer,
  hasLength: boolean,
  model: string,
  signature: Signature,
): readonly Tensor[] {
  if (!Array.isArray(value)) refuse("'inputs' must be a list");
  let rest = binary;
  const tensors = (value as unknown[]).map((item) => {
    const { entry, bytes } = readEntry(item);
    if (bytes === undefined) return readTensor(entry, undefined, model, signature);
    if (!hasLength) {
      refuse(
        `must specify valid '${JSON_LENGTH_HEADER}' in request header and 'binary_data_size' when passing inputs in binary data format`,
      );
    }
    if (bytes > rest.length) {
      refuse(
        `unexpected size for input '${entry.name}', expecting ${bytes - rest.length} additional bytes for model '${model}'`,
      );
    }
    const own = rest.subarray(0, bytes);
    rest = rest.subarray(bytes);
    return readTensor(entry, own, model, signature);
  });
  if (rest.length > 0) refuse(`unexpected additional input data for model '${model}'`);
  return inSignatureOrder(tensors, model, signature);
}

/** 400 when one is missing or given twice. */
export function inSignatureOrder(tensors: readonly Tensor[], model: string, signature: Signature): readonly Tensor[] {
  const byName = new Map<string, Tensor>();
  for (const tensor of tensors) {
    if (byName.has(tensor.name)) refuse(`input '${tensor.name}' is given twice`);
    byName.set(tensor.name, tensor);
  }
  return signature.inputs.map(
    ({ name }) =>
      byName.get(name) ??
      refuse(`expected ${signature.inputs.length} inputs, '${name}' is missing for model '${model}'`),
  );
}

/** An input as a client describes it; `data`: its values, flat or in lists of its shape, unless they are bytes beside it. */
export interface TensorEntry {
  readonly name: string;
  readonly shape: unknown;
  readonly datatype: unknown;
  readonly data?: unknown;
}

function readEntry(item: unknown): { entry: TensorEntry; bytes: number | undefined } {
  if (!isObject(item) || typeof item["name"] !== "string") refuse("each of 'inputs' must be an object with a name");
  const { name, shape, datatype, data } = item;
  const bytes = readParameters(item["parameters"], `input '${name}'`)["binary_data_size"];
  if (bytes !== undefined && !(typeof bytes === "number" && Number.isSafeInteger(bytes) && bytes >= 0)) {
    refuse(`'binary_data_size' of input '${name}' must be a whole number of bytes`);
  }
  if (bytes !== undefined && data !== undefined) {
    refuse(`input '${name}' has both 'data' and 'binary_data_size'; send one of them`);
  }
  return { entry: { name, shape, datatype, data }, bytes };
}

/** The tensor of an input, in the model's datatype; `bytes`: its values, unless they are in `entry`. 400 for what is not right. */
export function readTensor(
  entry: TensorEntry,
  bytes: Uint8Array | undefined,
  model: string,
  signature: Signature,
): Tensor {
  const { name, shape, datatype: wire } = entry;
  const spec = signature.inputs.find((input) => input.name === name);
  if (spec === undefined) refuse(`unexpected inference input '${name}' for model '${model}'`);
  const { datatype } = spec;
  if (!isShape(shape)) refuse(`'shape' of input '${name}' must be a list of whole numbers`);
  if (typeof wire !== "string") refuse(`'datatype' of input '${name}' must be a string, such as ${datatype}`);
  wireOf({ input: name, wire, datatype });
  checkShape({ name, datatype, shape, data: NO_DATA }, spec, model);
  if (elements(shape) === 0) refuse(`input '${name}' has no elements; every dimension must be at least 1`);
  const layout = { shape, datatype: wire };
  const data = bytes === undefined ? readValues(layout, entry.data, spec) : readBytes(bytes, layout, spec, model);
  return { name, datatype, shape, data };
}

const NO_DATA = new Uint8Array();

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && Number(size) >= 0);
}

/** How values come. */
interface Layout {
  readonly shape: readonly number[];
  readonly datatype: string;
}

function readBytes(bytes: Uint8Array, { shape, datatype: wire }: Layout, spec: TensorSpec, model: string): TensorData {
  const casting = { input: spec.name, wire, datatype: spec.datatype };
  const datatype = wireOf(casting);
  const count = elements(shape);
  const expected = datatype === "BYTES" ? bytes.length : count * widthOf(datatype);
  const what = `unexpected size for input '${spec.name}' for model '${model}': [${shape.join(",")}] of ${wire}`;
  if (bytes.length !== expected) refuse(`${what} are ${expected} bytes, got ${bytes.length}`);
  const data = fromBinary(bytes, casting);
  if (data.length !== count) refuse(`${what} are ${count} elements, got ${data.length}`);
  return data;
}

function readValues({ shape, datatype: wire }: Layout, data: unknown, spec: TensorSpec): TensorData {
  const casting = { input: spec.name, wire, datatype: spec.datatype };
  const datatype = wireOf(casting);
  if (isBinaryOnly(datatype)) {
    refuse(
      `receiving ${wire} data via JSON is not supported. Please use the binary data format for input ${spec.name}`,
    );
  }
  if (!Array.isArray(data)) refuse(`'data' of input '${spec.name}' must be a list`);
  const floats = datatype === "FP32" && spec.datatype === "FP32" ? flatFloats(data, elements(shape)) : undefined;
  if (floats !== undefined) return floats;
  // Grows with the data, so that a made-up shape asks for no memory.
  const nested = Array.isArray(data[0]) ? shape : [elements(shape)];
  if (datatype === "BYTES") {
    const strings: Uint8Array[] = [];
    const take = (item: unknown) =>
      typeof item === "string"
        ? strings.push(Buffer.from(item)) > 0
        : item instanceof Uint8Array && strings.push(item) > 0;
    collect(data, nested, { input: spec.name, full: shape, kind: "string", taken: strings, take });
    return strings;
  }
  const values: (number | bigint)[] = [];
  const kind = datatype === "BOOL" ? "boolean" : "number";
  const take = (item: unknown) =>
    typeof item === kind ? values.push(Number(item)) > 0 : typeof item === "bigint" && values.push(item) > 0;
  collect(data, nested, { input: spec.name, full: shape, kind, taken: values, take });
  return cast(values, datatype, casting);
}

/** What nearly all requests hold, fast: so many plain numbers in one list. Undefined: anything else, which is looked at closely. */
function flatFloats(data: readonly unknown[], count: number): Float32Array<ArrayBuffer> | undefined {
  if (data.length !== count) return undefined;
  const floats = new Float32Array(count);
  for (let index = 0; index < count; index++) {
    const value = data[index];
    if (typeof value !== "number" || !(value <= MAX_FLOAT32 && value >= -MAX_FLOAT32)) return undefined;
    floats[index] = value;
  }
  return floats;
}

function mismatch(input: string, shape: readonly number[]): string {
  return `'data' of input '${input}' does not match its shape [${shape.join(",")}]; give all values in one list or in lists of that shape`;
}

interface Collecting {
  readonly input: string;
  readonly full: readonly number[];
  readonly kind: "number" | "boolean" | "string";
  readonly taken: readonly unknown[];
  /** False: not of that kind. */
  readonly take: (item: unknown) => boolean;
}

/** Copies the leaves of `value`, which must have exactly this shape. */
function collect(value: unknown, [size, ...rest]: readonly number[], into: Collecting): void {
  const { input, full, kind, taken, take } = into;
  if (!Array.isArray(value) || value.length !== size) refuse(mismatch(input, full));
  for (const item of value as unknown[]) {
    if (rest.length > 0) collect(item, rest, into);
    else if (take(item)) continue;
    else if (Array.isArray(item)) refuse(mismatch(input, full));
    else refuse(`element ${taken.length} of input '${input}' is no ${kind}`);
  }
}

/** Writes the answer: tensors in the order asked for, JSON first, then the bytes of the binary ones. */
export function writeInfer(
  model: { readonly name: string; readonly version?: string | undefined },
  request: Pick<InferRequest, "id" | "outputs">,
  tensors: readonly Tensor[],
): InferReply {
  const chunks: Buffer[] = [];
  const outputs = request.outputs.map(({ name, binary }) => {
    const tensor = tensors.find((output) => output.name === name);
    if (tensor === undefined) throw new RequestError("Internal", `the engine gave no output '${name}'`);
    const head = `"name":${JSON.stringify(name)},"datatype":"${tensor.datatype}","shape":[${tensor.shape.join(",")}]`;
    if (!binary) {
      if (isBinaryOnly(tensor.datatype)) {
        refuse(
          `output '${name}' is ${tensor.datatype}, which has no form in JSON; ask for it with "parameters":{"binary_data":true}`,
        );
      }
      return `{${head},"data":[${textsOf(tensor, "strict").join(",")}]}`;
    }
    const bytes = toBinary(tensor.data);
    chunks.push(bytes);
    return `{${head},"parameters":{"binary_data_size":${bytes.length}}}`;
  });
  const members = [
    `"model_name":${JSON.stringify(model.name)}`,
    ...(model.version === undefined ? [] : [`"model_version":${JSON.stringify(model.version)}`]),
    ...(request.id === undefined ? [] : [`"id":${JSON.stringify(request.id)}`]),
    `"outputs":[${outputs.join(",")}]`,
  ];
  const json = Buffer.from(`{${members.join(",")}}`);
  if (chunks.length === 0) return { headers: { "Content-Type": "application/json" }, body: json };
  return {
    headers: { "Content-Type": "application/octet-stream", [JSON_LENGTH_HEADER]: String(json.length) },
    body: Buffer.concat([json, ...chunks]),
  };
}
