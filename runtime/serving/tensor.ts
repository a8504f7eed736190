/** Tensors as the engine takes them: a datatype of the model's signature and row-major values. */
import type { Datatype, Tensor as TensorSpec } from "../../crds/contract/artefact.ts";

/** The array of each datatype of fixed width. FP16 and BF16 are kept as their bits. */
export const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Record<Exclude<Datatype, "BYTES">, unknown>;

export const MAX_FLOAT32 = 3.4028234663852886e38;

export type NumericDatatype = keyof typeof ARRAYS;
type ArrayOf<D extends NumericDatatype> = InstanceType<(typeof ARRAYS)[D]>;
export type NumericData = { [D in NumericDatatype]: ArrayOf<D> }[NumericDatatype];
/** BYTES: one array of bytes for each element. */
export type TensorData = NumericData | readonly Uint8Array[];

export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** By `ARRAYS`; BOOL is 0 and 1. As many elements as the product of `shape`. */
  readonly data: TensorData;
}

/** Inputs and outputs; -1 is a dimension that may have any size, the first one being the batch. */
export interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export type { Datatype, TensorSpec };

const NOTHING = new Uint8Array();

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Zeros, or empty strings. */
export function newData(datatype: Datatype, length: number): TensorData {
  return datatype === "BYTES" ? Array.from({ length }, () => NOTHING) : new ARRAYS[datatype](length);
}

export function isNumeric(data: TensorData): data is NumericData {
  return ArrayBuffer.isView(data);
}

/** Bytes that the values take in memory or on the wire. */
export function bytesOf(data: TensorData): number {
  return isNumeric(data) ? data.byteLength : data.reduce((sum, { length }) => sum + 4 + length, 0);
}

/** True when `shape` is what `spec` asks for. */
export function fits(shape: readonly number[], spec: readonly number[]): boolean {
  return shape.length === spec.length && spec.every((size, index) => size === -1 || size === shape[index]);
}

/** Joins tensors of the same datatype and trailing shape along the first dimension. */
export function concatenate(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  if (first === undefined) throw new RangeError("nothing to join");
  if (parts.length === 1) return first;
  const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
  const shape = [rows, ...first.shape.slice(1)];
  return { ...first, shape, data: joined(first, parts, elements(shape)) };
}

function joined(first: Tensor, parts: readonly Tensor[], length: number): TensorData {
  if (!isNumeric(first.data)) return parts.flatMap(({ data }) => (isNumeric(data) ? [] : data));
  const data = newData(first.datatype, length);
  let offset = 0;
  for (const part of parts) {
    // Alike by their datatype; the compiler sees a union.
    (data as Uint8Array).set(part.data as Uint8Array, offset);
    offset += part.data.length;
  }
  return data;
}

/** Rows `start` to `end` (exclusive); shares memory with `tensor`. */
export function rowsOf(tensor: Tensor, start: number, end: number): Tensor {
  const [rows = 0, ...rest] = tensor.shape;
  if (start === 0 && end === rows) return tensor;
  const width = elements(rest);
  const { data } = tensor;
  const [from, to] = [start * width, end * width];
  return {
    ...tensor,
    shape: [end - start, ...rest],
    data: isNumeric(data) ? data.subarray(from, to) : data.slice(from, to),
  };
}

/** The first row, `rows` times. */
export function repeatRow(tensor: Tensor, rows: number): Tensor {
  const first = rowsOf(tensor, 0, 1);
  return concatenate(Array.from({ length: rows }, () => first));
}
