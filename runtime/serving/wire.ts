/**
 * Datatypes of the Open Inference Protocol, and which of them a model's datatype takes:
 * - FP32 takes FP16, BF16, FP32, FP64 (rounded; a finite value beyond float32's range is refused) and all integers of at
 *   most 2^24 in size (larger ones would lose digits).
 * - INT32 takes all integers within its range, no floats.
 * - BOOL takes BOOL.
 */
import type { Datatype } from "../../crds/contract/artefact.ts";
import { refuse } from "./request-error.ts";
import { type TensorData, newData } from "./tensor.ts";

type Kind = "bool" | "integer" | "float";

interface Wire {
  readonly bytes: number;
  readonly kind: Kind;
  readonly min: number;
  readonly max: number;
  /** Reads `count` little-endian values from an aligned buffer. */
  readonly read: (buffer: ArrayBuffer, count: number) => ArrayLike<number | bigint>;
  /** Has no form in JSON. */
  readonly binaryOnly?: true;
}

const integer = (bits: number, signed: boolean, read: Wire["read"]): Wire => ({
  bytes: bits / 8,
  kind: "integer",
  min: signed ? -(2 ** (bits - 1)) : 0,
  max: signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1,
  read,
});
const float = (bytes: number, read: Wire["read"]): Wire => ({
  bytes,
  kind: "float",
  min: -Infinity,
  max: Infinity,
  read,
});

const WIRES: Readonly<Record<string, Wire>> = {
  BOOL: { bytes: 1, kind: "bool", min: 0, max: 1, read: (buffer) => new Uint8Array(buffer) },
  UINT8: integer(8, false, (buffer) => new Uint8Array(buffer)),
  UINT16: integer(16, false, (buffer) => new Uint16Array(buffer)),
  UINT32: integer(32, false, (buffer) => new Uint32Array(buffer)),
  UINT64: integer(64, false, (buffer) => new BigUint64Array(buffer)),
  INT8: integer(8, true, (buffer) => new Int8Array(buffer)),
  INT16: integer(16, true, (buffer) => new Int16Array(buffer)),
  INT32: integer(32, true, (buffer) => new Int32Array(buffer)),
  INT64: integer(64, true, (buffer) => new BigInt64Array(buffer)),
  FP16: { ...float(2, (buffer) => Float32Array.from(new Uint16Array(buffer), halfToNumber)), binaryOnly: true },
  BF16: { ...float(2, bfloat16), binaryOnly: true },
  FP32: float(4, (buffer) => new Float32Array(buffer)),
  FP64: float(8, (buffer) => new Float64Array(buffer)),
};

const ACCEPTED: Readonly<Record<Datatype, { kinds: readonly Kind[]; min: number; max: number }>> = {
  FP32: { kinds: ["float", "integer"], min: -(2 ** 24), max: 2 ** 24 },
  INT32: { kinds: ["integer"], min: -(2 ** 31), max: 2 ** 31 - 1 },
  BOOL: { kinds: ["bool"], min: 0, max: 1 },
};

/** What to call the input in messages, its datatype on the wire and the model's own. */
export interface Casting {
  readonly input: string;
  readonly wire: string;
  readonly datatype: Datatype;
}

/** The wire datatype, if the model's datatype takes it; 400 otherwise. */
export function wireOf({ input, wire, datatype }: Casting): Wire {
  const found = Object.hasOwn(WIRES, wire) ? WIRES[wire] : undefined;
  if (wire === "BYTES")
    refuse(`input '${input}' has datatype ${datatype}, BYTES cannot be converted to it; send ${datatype}`);
  if (found === undefined) refuse(`input '${input}': '${wire}' is no datatype of the protocol; send ${datatype}`);
  if (!ACCEPTED[datatype].kinds.includes(found.kind)) {
    refuse(`input '${input}' has datatype ${datatype}, ${wire} cannot be converted to it; send ${datatype}`);
  }
  return found;
}

/** Values of `bytes`, which need not be aligned, in the model's datatype. */
export function fromBinary(bytes: Uint8Array, casting: Casting): TensorData {
  const wire = wireOf(casting);
  // A typed array needs an aligned start; a copy has one (`slice` of a Buffer would be none).
  const { buffer } = new Uint8Array(bytes);
  const source = wire.read(buffer, bytes.length / wire.bytes);
  // Same layout: nothing to convert, and a float tensor may hold anything.
  if (casting.wire === "FP32" && source instanceof Float32Array) return source as Float32Array<ArrayBuffer>;
  if (casting.wire === "INT32" && casting.datatype === "INT32") return source as Int32Array<ArrayBuffer>;
  return cast(source, wire, casting);
}

/** Checked conversion of numbers to the model's datatype. */
export function cast(source: ArrayLike<number | bigint>, wire: Wire, casting: Casting): TensorData {
  const { input, datatype } = casting;
  const data = newData(datatype, source.length);
  const whole = wire.kind !== "float";
  const min = whole ? Math.max(wire.min, ACCEPTED[datatype].min) : -Infinity;
  const max = whole ? Math.min(wire.max, ACCEPTED[datatype].max) : Infinity;
  for (let index = 0; index < source.length; index++) {
    const value = Number(source[index]);
    if (whole ? !(Number.isInteger(value) && value >= min && value <= max) : overflows(value)) {
      refuse(
        `input '${input}': element ${index} is no ${casting.wire} that fits the model's ${datatype}` +
          (whole ? ` (whole numbers from ${min} to ${max})` : ""),
      );
    }
    data[index] = value;
  }
  return data;
}

function overflows(value: number): boolean {
  return Number.isFinite(value) && !Number.isFinite(Math.fround(value));
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** A bfloat16 is the upper half of a float32. */
function bfloat16(buffer: ArrayBuffer): Float32Array {
  return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits * 65536).buffer);
}
