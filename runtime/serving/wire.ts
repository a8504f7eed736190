/**
 * Datatypes of the Open Inference Protocol, and which of them a model's datatype takes. Nothing is converted that would
 * lose more than a float's rounding; what does not fit is refused.
 * - floats take floats (rounded; a finite value beyond the model's range is refused) and integers that they hold exactly.
 * - integers take integers within their range, no floats.
 * - BOOL takes BOOL, BYTES takes BYTES.
 */
import type { Datatype } from "../../crds/contract/artefact.ts";
import { refuse } from "./request-error.ts";
import { ARRAYS, type NumericData, type NumericDatatype, type TensorData, isNumeric, newData } from "./tensor.ts";

type Kind = "bool" | "integer" | "float";

interface Wire {
  readonly bytes: number;
  readonly kind: Kind;
  /** Whole numbers that it takes; of a float, those that it holds exactly. */
  readonly min: bigint;
  readonly max: bigint;
}

const integer = (bits: bigint, signed: boolean): Wire => ({
  bytes: Number(bits) / 8,
  kind: "integer",
  min: signed ? -(2n ** (bits - 1n)) : 0n,
  max: 2n ** (signed ? bits - 1n : bits) - 1n,
});
const float = (bytes: number, digits: bigint): Wire => ({
  bytes,
  kind: "float",
  min: -(2n ** digits),
  max: 2n ** digits,
});

const WIRES: Readonly<Record<NumericDatatype, Wire>> = {
  BOOL: { bytes: 1, kind: "bool", min: 0n, max: 1n },
  UINT8: integer(8n, false),
  UINT16: integer(16n, false),
  UINT32: integer(32n, false),
  UINT64: integer(64n, false),
  INT8: integer(8n, true),
  INT16: integer(16n, true),
  INT32: integer(32n, true),
  INT64: integer(64n, true),
  FP16: float(2, 11n),
  BF16: float(2, 8n),
  FP32: float(4, 24n),
  FP64: float(8, 53n),
};

/** What to call the input in messages, its datatype on the wire and the model's own. */
export interface Casting {
  readonly input: string;
  readonly wire: string;
  readonly datatype: Datatype;
}

function isNumericDatatype(name: string): name is NumericDatatype {
  return Object.hasOwn(WIRES, name);
}

/** The wire datatype, if the model's datatype takes it; 400 otherwise. */
export function wireOf({ input, wire, datatype }: Casting): Datatype {
  if (wire === "BYTES" && datatype === "BYTES") return wire;
  const known = wire === "BYTES" || isNumericDatatype(wire);
  if (!known) refuse(`input '${input}': '${wire}' is no datatype of the protocol; send ${datatype}`);
  if (wire === "BYTES" || datatype === "BYTES" || !takes(WIRES[datatype].kind, WIRES[wire].kind)) {
    refuse(`input '${input}' has datatype ${datatype}, ${wire} cannot be converted to it; send ${datatype}`);
  }
  return wire;
}

function takes(model: Kind, wire: Kind): boolean {
  return model === wire || (model === "float" && wire === "integer");
}

/** Datatypes that no JSON number stands for. */
export function isBinaryOnly(datatype: Datatype): boolean {
  return datatype === "FP16" || datatype === "BF16";
}

/** Bytes of one element; BYTES has no width. */
export function widthOf(datatype: NumericDatatype): number {
  return WIRES[datatype].bytes;
}

/** Values of `bytes` (little-endian, not necessarily aligned) in the model's datatype. */
export function fromBinary(bytes: Uint8Array, casting: Casting): TensorData {
  const wire = wireOf(casting);
  if (wire === "BYTES") return splitBytes(bytes, casting.input);
  const source = viewOf(bytes, wire);
  // Same layout: nothing to convert, and a float tensor may hold anything.
  if (wire === casting.datatype && wire !== "BOOL") return source;
  return cast(numbersOf(source, wire), wire, casting);
}

/** A typed array needs an aligned start: what has none is copied. */
function viewOf(bytes: Uint8Array, wire: NumericDatatype): NumericData {
  const View = ARRAYS[wire];
  const { bytes: width } = WIRES[wire];
  const aligned = bytes.byteOffset % width === 0 && bytes.buffer instanceof ArrayBuffer;
  const { buffer, byteOffset, byteLength } = aligned ? bytes : new Uint8Array(bytes);
  // Both branches lie in an ArrayBuffer: the copy always, the other by the check.
  return new View(buffer as ArrayBuffer, byteOffset, byteLength / width);
}

function splitBytes(bytes: Uint8Array, input: string): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const items: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : Infinity;
    if (at + 4 + length > bytes.length) {
      refuse(`input '${input}': the length before element ${items.length} of BYTES does not fit into the data`);
    }
    items.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return items;
}

/** The values as bytes on the wire. */
export function toBinary(data: TensorData): Buffer {
  if (isNumeric(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat(
    data.flatMap((item) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(item.length);
      return [length, item];
    }),
  );
}

/** Numbers of values that are kept as bits. */
export function numbersOf(data: NumericData, datatype: Datatype): ArrayLike<number | bigint> {
  if (datatype === "FP16") return new Float16Array(data.buffer, data.byteOffset, data.length);
  // A bfloat16 is the upper half of a float32.
  if (datatype === "BF16")
    return new Float32Array(Uint32Array.from(data as Uint16Array, (bits) => bits * 65536).buffer);
  return data;
}

/** Checked conversion of numbers to the model's datatype. */
export function cast(source: ArrayLike<number | bigint>, wire: NumericDatatype, casting: Casting): TensorData {
  const { datatype } = casting;
  if (datatype === "BYTES") return refuse(`input '${casting.input}' has datatype BYTES; send BYTES`);
  return WIRES[wire].kind === "float"
    ? castFloats(source, casting, datatype)
    : castIntegers(source, wire, casting, datatype);
}

function castIntegers(
  source: ArrayLike<number | bigint>,
  wire: NumericDatatype,
  { input }: Casting,
  datatype: NumericDatatype,
): TensorData {
  const [from, to] = [WIRES[wire], WIRES[datatype]];
  const min = from.min > to.min ? from.min : to.min;
  const max = from.max < to.max ? from.max : to.max;
  // Mixed comparisons are slow; beyond what a number holds exactly, values come as bigints.
  const [low, high] = [Number(min), Number(max)];
  const put = writer(datatype, source.length);
  for (let index = 0; index < source.length; index++) {
    const value = source[index] ?? 0;
    const good =
      typeof value === "bigint"
        ? value >= min && value <= max
        : Number.isSafeInteger(value) && value >= low && value <= high;
    if (!good) {
      refuse(
        `input '${input}': element ${index} is no ${wire} that fits the model's ${datatype} (whole numbers from ${min} to ${max})`,
      );
    }
    put.set(index, value);
  }
  return put.data;
}

function castFloats(source: ArrayLike<number | bigint>, casting: Casting, datatype: NumericDatatype): TensorData {
  const put = writer(datatype, source.length);
  for (let index = 0; index < source.length; index++) {
    const value = Number(source[index]);
    put.set(index, value);
    if (Number.isFinite(value) && !Number.isFinite(put.get(index))) {
      refuse(`input '${casting.input}': element ${index} is no ${casting.wire} that fits the model's ${datatype}`);
    }
  }
  return put.data;
}

interface Writer {
  readonly data: TensorData;
  set(index: number, value: number | bigint): void;
  /** What the value has become. */
  get(index: number): number;
}

function writer(datatype: NumericDatatype, length: number): Writer {
  const data = newData(datatype, length) as NumericData;
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    return { data, set: (index, value) => void (data[index] = BigInt(value)), get: (index) => Number(data[index]) };
  }
  if (datatype === "BF16") return bfloat16Writer(data as Uint16Array);
  const numbers = datatype === "FP16" ? new Float16Array(data.buffer) : data;
  return { data, set: (index, value) => void (numbers[index] = Number(value)), get: (index) => numbers[index] ?? 0 };
}

/** Rounds to the nearest, ties to even. */
function bfloat16Writer(data: Uint16Array): Writer {
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  return {
    data: data as NumericData,
    set: (index, value) => {
      float[0] = Number(value);
      const own = bits[0] ?? 0;
      data[index] = Number.isNaN(float[0]) ? 0x7fc0 : (own + 0x7fff + ((own >>> 16) & 1)) >>> 16;
    },
    get: (index) => {
      bits[0] = (data[index] ?? 0) * 65536;
      return float[0] ?? 0;
    },
  };
}
