/**
 * What is in an ONNX file (onnx/onnx.proto), as far as it must be known before an engine gets it: inputs and outputs,
 * and whatever the engine could be made to do by it. Weights are not read.
 */
import type { Datatype, Tensor } from "../../../crds/contract/artefact.ts";
import { unsupported } from "../unsupported.ts";
import { type Field, ProtobufSyntaxError, fieldsOf, integersOf, textOf } from "./protobuf-reader.ts";

/** onnx.TensorProto.DataType: datatype and bytes of one value; what the engine cannot hand over is missing. */
const DATATYPES: Readonly<Record<number, Datatype>> = {
  1: "FP32",
  2: "UINT8",
  3: "INT8",
  4: "UINT16",
  5: "INT16",
  6: "INT32",
  7: "INT64",
  8: "BYTES",
  9: "BOOL",
  10: "FP16",
  11: "FP64",
  12: "UINT32",
  13: "UINT64",
};

/** Bits of one value, by onnx.TensorProto.DataType. */
const BITS = [0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4];
const STRING_TYPE = 8;
const INT8_TYPE = 3;

/** Domains whose operations ONNX Runtime has itself. */
const DOMAINS = new Set(["", "ai.onnx", "ai.onnx.ml", "com.microsoft"]);
/** Operations of these domains that read other files. */
const READS_FILES = new Set(["EPContext"]);

const NODES_LIMIT = 1_000_000;
const DEPTH_LIMIT = 64;
/** A file in the model's folder. */
const PLAIN_PATH = /^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;

/** Part of another file in which a weight lies. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export interface OnnxFile {
  /** -1 is a dimension that may have any size. */
  readonly inputs: readonly Tensor[];
  /** Without a shape where the file tells none. */
  readonly outputs: readonly (Omit<Tensor, "shape"> & { readonly shape?: readonly number[] })[];
  readonly external: readonly ExternalData[];
  /** Does it hold weights of 8 bits, or compute with such integers? */
  readonly quantized: boolean;
}

/** Operations by which int8 models compute. */
const QUANTIZED = /^(QLinear|MatMulInteger|ConvInteger|QGemm|QAttention|DequantizeLinear|DynamicQuantizeMatMul)/;

/** Reads and checks the file. Throws Failure ModelUnsupported naming what is wrong. */
export function readOnnx(bytes: Uint8Array, shownAs: string): OnnxFile {
  try {
    return new Reader(shownAs).model(bytes);
  } catch (error) {
    if (!(error instanceof ProtobufSyntaxError)) throw error;
    throw unsupported(shownAs, `is no ONNX model (${error.message}); export it again`, error);
  }
}

interface Value {
  readonly name: string;
  readonly type: number;
  readonly shape?: readonly number[];
}

class Reader {
  readonly #shownAs: string;
  readonly #external: ExternalData[] = [];
  readonly #functions = new Set<string>();
  #nodes = 0;
  #quantized = false;

  constructor(shownAs: string) {
    this.#shownAs = shownAs;
  }

  model(bytes: Uint8Array): OnnxFile {
    const fields = [...fieldsOf(bytes)];
    // A model may define operations of its own by others; those of its functions are then known.
    const functions = fields.filter(({ number }) => number === 25);
    for (const one of functions) this.#functions.add(this.#functionName(bytesOf(one)));
    for (const one of functions) this.#function(bytesOf(one));
    const graph = fields.find(({ number, bytes: inner }) => number === 7 && inner !== undefined);
    if (graph === undefined) throw this.#refusal("holds no graph; export it again");
    const { inputs, outputs } = this.#graph(bytesOf(graph), 0);
    return {
      inputs: inputs.map((value) => this.#input(value)),
      outputs: outputs.map(({ name, type, shape }) => ({
        name,
        datatype: this.#datatype("output", name, type),
        ...(shape === undefined ? {} : { shape }),
      })),
      external: this.#external,
      quantized: this.#quantized,
    };
  }

  #input({ name, type, shape }: Value): Tensor {
    if (shape === undefined) throw this.#refusal(`input ${name} has no shape; export it with one`);
    return { name, datatype: this.#datatype("input", name, type), shape: [...shape] };
  }

  #datatype(what: string, name: string, type: number): Datatype {
    const datatype = DATATYPES[type];
    if (datatype !== undefined) return datatype;
    throw this.#refusal(`${what} ${name} is no tensor of a datatype that can be served (ONNX type ${type}); cast it`);
  }

  /** FunctionProto: name 1, node 7, domain 10. */
  #functionName(bytes: Uint8Array): string {
    const fields = [...fieldsOf(bytes)];
    const part = (wanted: number) => fields.filter(({ number }) => number === wanted).map(textOf)[0] ?? "";
    return `${part(10)}:${part(1)}`;
  }

  #function(bytes: Uint8Array): void {
    for (const field of fieldsOf(bytes)) if (field.number === 7) this.#node(bytesOf(field), 0);
  }

  /** GraphProto: node 1, initializer 5, input 11, output 12, sparse_initializer 15. */
  #graph(bytes: Uint8Array, depth: number): { inputs: Value[]; outputs: Value[] } {
    if (depth > DEPTH_LIMIT) throw this.#refusal(`has graphs nested more than ${DEPTH_LIMIT} levels deep`);
    const inputs: Value[] = [];
    const outputs: Value[] = [];
    const weights = new Set<string>();
    for (const field of fieldsOf(bytes)) {
      if (field.number === 1) this.#node(bytesOf(field), depth);
      else if (field.number === 5) weights.add(this.#tensor(bytesOf(field)));
      else if (field.number === 15) this.#sparseTensor(bytesOf(field));
      else if (field.number === 11) inputs.push(this.#value(bytesOf(field)));
      else if (field.number === 12) outputs.push(this.#value(bytesOf(field)));
    }
    // Older files list their weights among the inputs.
    return { inputs: inputs.filter(({ name }) => !weights.has(name)), outputs };
  }

  /** NodeProto: name 3, op_type 4, attribute 5, domain 7. */
  #node(bytes: Uint8Array, depth: number): void {
    if (++this.#nodes > NODES_LIMIT) throw this.#refusal(`has more than ${NODES_LIMIT} operations`);
    let [name, operation, domain] = ["", "", ""];
    for (const field of fieldsOf(bytes)) {
      if (field.number === 3) name = textOf(field);
      else if (field.number === 4) operation = textOf(field);
      else if (field.number === 7) domain = textOf(field);
      else if (field.number === 5) this.#attribute(bytesOf(field), depth);
    }
    this.#quantized ||= QUANTIZED.test(operation);
    if (this.#functions.has(`${domain}:${operation}`)) return;
    if (!DOMAINS.has(domain)) {
      throw this.#refusal(
        `operation ${name} is ${domain}.${operation}, which is code of its own; only ONNX's and ONNX Runtime's operations are computed`,
      );
    }
    if (READS_FILES.has(operation)) {
      throw this.#refusal(`operation ${name} is ${operation}, which reads other files; export it without`);
    }
  }

  /** AttributeProto: t 5, g 6, tensors 10, graphs 11, sparse_tensor 22, sparse_tensors 23. */
  #attribute(bytes: Uint8Array, depth: number): void {
    for (const field of fieldsOf(bytes)) {
      if (field.number === 5 || field.number === 10) this.#tensor(bytesOf(field));
      else if (field.number === 6 || field.number === 11) this.#graph(bytesOf(field), depth + 1);
      else if (field.number === 22 || field.number === 23) this.#sparseTensor(bytesOf(field));
    }
  }

  /** SparseTensorProto: values 1, indices 2. */
  #sparseTensor(bytes: Uint8Array): void {
    for (const field of fieldsOf(bytes)) if (field.number <= 2) this.#tensor(bytesOf(field));
  }

  /** TensorProto: dims 1, data_type 2, name 8, raw_data 9, external_data 13, data_location 14. Returns its name. */
  #tensor(bytes: Uint8Array): string {
    const dims: bigint[] = [];
    const entries: [string, string][] = [];
    let [type, name, raw, elsewhere] = [0, "", -1, false];
    for (const field of fieldsOf(bytes)) {
      if (field.number === 1) dims.push(...integersOf(field));
      else if (field.number === 2) type = Number(field.integer ?? 0n);
      else if (field.number === 8) name = textOf(field);
      else if (field.number === 9) raw = bytesOf(field).length;
      else if (field.number === 13) entries.push(this.#entry(bytesOf(field)));
      else if (field.number === 14) elsewhere = field.integer === 1n;
    }
    this.#quantized ||= type === INT8_TYPE;
    const expected = this.#bytesOf(name, type, dims);
    if (elsewhere || entries.length > 0) this.#external.push(this.#part(name, new Map(entries), expected));
    else if (raw >= 0 && raw !== expected) {
      throw this.#refusal(`weight ${name} of shape [${dims.join()}] takes ${expected} bytes, the file has ${raw}`);
    } else if (raw < 0 && expected > 64 * bytes.length + 64) {
      // Values one by one take at least one byte each, but for those of 4 bits.
      throw this.#refusal(`weight ${name} of shape [${dims.join()}] has fewer values in the file than its shape says`);
    }
    return name;
  }

  #bytesOf(name: string, type: number, dims: readonly bigint[]): number {
    if (type === STRING_TYPE) return 0;
    const bits = BITS[type];
    if (bits === undefined || bits === 0)
      throw this.#refusal(`weight ${name} is of ONNX type ${type}, which does not exist`);
    if (dims.length > 32 || dims.some((size) => size < 0n)) {
      throw this.#refusal(`weight ${name} has the shape [${dims.slice(0, 32).join()}]; export it again`);
    }
    return Math.ceil((Number(dims.reduce((product, size) => product * size, 1n)) * bits) / 8);
  }

  /** StringStringEntryProto: key 1, value 2. */
  #entry(bytes: Uint8Array): [string, string] {
    let [key, value] = ["", ""];
    for (const field of fieldsOf(bytes)) {
      if (field.number === 1) key = textOf(field);
      else if (field.number === 2) value = textOf(field);
    }
    return [key, value];
  }

  #part(name: string, entries: ReadonlyMap<string, string>, expected: number): ExternalData {
    const location = entries.get("location") ?? "";
    if (!PLAIN_PATH.test(location)) {
      throw this.#refusal(`weight ${name} lies in ${JSON.stringify(location)}; only files in its own folder are read`);
    }
    const offset = Number(entries.get("offset") ?? 0);
    const length = Number(entries.get("length") ?? expected);
    if (!Number.isSafeInteger(offset) || offset < 0 || length !== expected) {
      throw this.#refusal(`weight ${name} takes ${expected} bytes, ${location} is to hold ${length} from ${offset} on`);
    }
    return { location, offset, length };
  }

  /** ValueInfoProto: name 1, type 2. TypeProto: tensor_type 1. Its Tensor: elem_type 1, shape 2. */
  #value(bytes: Uint8Array): Value {
    let name = "";
    let type = 0;
    let shape: number[] | undefined;
    for (const field of fieldsOf(bytes)) {
      if (field.number === 1) name = textOf(field);
      if (field.number !== 2) continue;
      for (const kind of fieldsOf(bytesOf(field))) {
        if (kind.number !== 1) continue;
        for (const part of fieldsOf(bytesOf(kind))) {
          if (part.number === 1) type = Number(part.integer ?? 0n);
          else if (part.number === 2) shape = this.#shape(bytesOf(part));
        }
      }
    }
    return { name, type, ...(shape === undefined ? {} : { shape }) };
  }

  /** TensorShapeProto: dim 1. Dimension: dim_value 1. */
  #shape(bytes: Uint8Array): number[] {
    return [...fieldsOf(bytes)].map((field) => {
      const size = [...fieldsOf(bytesOf(field))].find(({ number }) => number === 1)?.integer;
      return size === undefined || size > 2n ** 31n ? -1 : Number(size);
    });
  }

  #refusal(message: string) {
    return unsupported(this.#shownAs, message);
  }
}

function bytesOf({ bytes }: Field): Uint8Array {
  if (bytes === undefined) throw new ProtobufSyntaxError("a field is of another kind than it should be");
  return bytes;
}
