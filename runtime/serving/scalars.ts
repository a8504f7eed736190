/** Single values between JSON and tensors, by TensorFlow Serving's rules and with its messages. Pure. */
import { isUtf8 } from "node:buffer";
import { Decimal, excerpt, isObject } from "./json.ts";
import { float32Token, float64Token } from "./number-text.ts";
import { RequestError, refuse } from "./request-error.ts";
import { type Datatype, MAX_FLOAT32, type Tensor, type TensorData, isNumeric, newData } from "./tensor.ts";
import { numbersOf } from "./wire.ts";

const TYPE_NAMES: Readonly<Record<Datatype, string>> = {
  BOOL: "bool",
  UINT8: "uint8",
  UINT16: "uint16",
  UINT32: "uint32",
  UINT64: "uint64",
  INT8: "int8",
  INT16: "int16",
  INT32: "int32",
  INT64: "int64",
  FP16: "half",
  BF16: "bfloat16",
  FP32: "float",
  FP64: "double",
  BYTES: "string",
};

/** Takes JSON values, checked, as elements of a tensor. */
export interface ScalarSink {
  readonly data: TensorData;
  /** 400 for a value that the datatype does not take. */
  put(index: number, value: unknown): void;
  /** Takes plain numbers from the start of `values`, which is fast; returns how many it has taken, maybe none. */
  putNumbers?(index: number, values: readonly unknown[]): number;
}

export function sinkOf(datatype: Datatype, length: number): ScalarSink {
  if (datatype === "BYTES") {
    const items: Uint8Array[] = [];
    return { data: items, put: (index, value) => void (items[index] = bytesValue(value)) };
  }
  if (datatype === "FP16" || datatype === "BF16") {
    const put = (_: number, value: unknown) => {
      throw new RequestError(
        "Unsupported",
        `Conversion of JSON Value: ${excerpt(value)} to type: ${TYPE_NAMES[datatype]}`,
      );
    };
    return { data: newData(datatype, length), put };
  }
  const data = newData(datatype, length);
  const numbers = data as Float32Array;
  const read =
    datatype === "BOOL" ? boolValue : datatype === "FP32" ? floatValue : datatype === "FP64" ? doubleValue : undefined;
  if (read !== undefined) {
    const put = (index: number, value: unknown) => void (numbers[index] = read(value));
    const most = datatype === "FP32" ? MAX_FLOAT32 : datatype === "FP64" ? Number.MAX_VALUE : undefined;
    return most === undefined ? { data, put } : { data, put, putNumbers: numbersTaker(numbers, most) };
  }
  if (datatype === "INT64" || datatype === "UINT64") {
    const whole = data as BigInt64Array;
    const put = (index: number, value: unknown) => {
      const given =
        typeof value === "bigint"
          ? value
          : Number.isSafeInteger(value)
            ? BigInt(value as number)
            : mistyped(value, datatype);
      whole[index] = given;
      if (whole[index] !== given) mistyped(value, datatype);
    };
    return { data, put };
  }
  const put = (index: number, value: unknown) => {
    if (typeof value !== "number") mistyped(value, datatype);
    numbers[index] = value;
    // What does not fit comes back changed.
    if (numbers[index] !== value) mistyped(value, datatype);
  };
  return { data, put };
}

/** Takes numbers up to the first that is none, or is larger than `most`. */
function numbersTaker(numbers: { [index: number]: number }, most: number) {
  return (index: number, values: readonly unknown[]): number => {
    for (let taken = 0; taken < values.length; taken++) {
      const value = values[taken];
      if (typeof value !== "number" || !(value <= most && value >= -most)) return taken;
      numbers[index + taken] = value;
    }
    return values.length;
  };
}

function boolValue(value: unknown): number {
  return typeof value === "boolean" ? Number(value) : mistyped(value, "BOOL");
}

function floatValue(value: unknown): number {
  const number = value instanceof Decimal ? value.value : value;
  if (typeof number === "number" && (Number.isFinite(Math.fround(number)) || !Number.isFinite(number))) return number;
  return typeof value === "bigint" ? Number(value) : mistyped(value, "FP32");
}

function doubleValue(value: unknown): number {
  if (typeof value === "number") return value;
  if (value instanceof Decimal) return value.value;
  return typeof value === "bigint" ? Number(value) : mistyped(value, "FP64");
}

/** A string as UTF-8, or an object with the only key `b64`. */
function bytesValue(value: unknown): Uint8Array {
  if (typeof value === "string") return Buffer.from(value);
  if (!isObject(value) || !Object.hasOwn(value, "b64")) return mistyped(value, "BYTES");
  const { b64 } = value;
  if (typeof b64 !== "string" || Object.keys(value).length !== 1) {
    refuse(`JSON Value: ${excerpt(value)} not formatted correctly for base64 data`);
  }
  const text = b64.replace(/=+$/, "");
  if (!/^[A-Za-z0-9+/_-]*$/.test(text) || text.length % 4 === 1) refuse("Unable to base64 decode");
  return Buffer.from(text, "base64");
}

function mistyped(value: unknown, datatype: Datatype): never {
  refuse(`JSON Value: ${excerpt(value)} Type: ${typeName(value)} is not of expected type: ${TYPE_NAMES[datatype]}`);
}

function typeName(value: unknown): string {
  if (value === null) return "Null";
  if (Array.isArray(value)) return "Array";
  if (typeof value === "number" || typeof value === "bigint" || value instanceof Decimal) return "Number";
  if (typeof value === "boolean") return "Bool";
  return typeof value === "string" ? "String" : "Object";
}

/**
 * Every value as JSON. `tokens`: NaN and Infinity bare, bytes as TensorFlow Serving writes them (`{"b64": …}` for an
 * output whose name ends in `_bytes`, and for what is no UTF-8). `strict`: what JSON cannot carry is refused.
 */
export function textsOf(tensor: Tensor, form: "tokens" | "strict"): string[] {
  const { data, datatype, name } = tensor;
  if (!isNumeric(data)) {
    return data.map((bytes) => bytesText(bytes, name, form));
  }
  const numbers = numbersOf(data, datatype);
  const text =
    datatype === "BOOL" ? boolText : datatype === "FP64" ? float64Token : isFloat(datatype) ? float32Token : String;
  const texts: string[] = [];
  for (let index = 0; index < numbers.length; index++) {
    const value = numbers[index] ?? 0;
    if (form === "strict" && typeof value === "number" && !Number.isFinite(value))
      refuseOutput(name, "NaN or Infinity");
    texts.push((text as (value: number | bigint) => string)(value));
  }
  return texts;
}

function isFloat(datatype: Datatype): boolean {
  return datatype === "FP32" || datatype === "FP16" || datatype === "BF16";
}

function boolText(value: number): string {
  return value === 0 ? "false" : "true";
}

function bytesText(bytes: Uint8Array, name: string, form: "tokens" | "strict"): string {
  const utf8 = isUtf8(bytes);
  if (form === "strict" && !utf8) refuseOutput(name, "bytes that are no UTF-8");
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (form === "tokens" && (!utf8 || name.endsWith("_bytes"))) return `{"b64":"${buffer.toString("base64")}"}`;
  return JSON.stringify(buffer.toString());
}

function refuseOutput(name: string, what: string): never {
  refuse(`output '${name}' holds ${what}, which JSON cannot carry; ask for it with "parameters":{"binary_data":true}`);
}
