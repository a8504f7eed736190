/** Tensors as the engine takes them: a datatype of the artefact's signature and row-major values. */
import type { Datatype, Tensor as TensorSpec } from "../../crds/contract/artefact.ts";

export type TensorData = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** FP32: Float32Array, INT32: Int32Array, BOOL: Uint8Array of 0 and 1. As many as the product of `shape`. */
  readonly data: TensorData;
}

/** Inputs and outputs; -1 is a dimension that may have any size, the first one being the batch. */
export interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export type { Datatype, TensorSpec };

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function newData(datatype: Datatype, length: number): TensorData {
  if (datatype === "FP32") return new Float32Array(length);
  return datatype === "INT32" ? new Int32Array(length) : new Uint8Array(length);
}

/** True when `shape` is what `spec` asks for. */
export function fits(shape: readonly number[], spec: readonly number[]): boolean {
  return shape.length === spec.length && spec.every((size, index) => size === -1 || size === shape[index]);
}

/** Joins tensors of the same trailing shape along the first dimension. */
export function concatenate(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  if (first === undefined) throw new RangeError("nothing to join");
  if (parts.length === 1) return first;
  const rows = parts.reduce((sum, part) => sum + (part.shape[0] ?? 0), 0);
  const shape = [rows, ...first.shape.slice(1)];
  const data = newData(first.datatype, elements(shape));
  let offset = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.length;
  }
  return { ...first, shape, data };
}

/** Rows `start` to `end` (exclusive); shares memory with `tensor`. */
export function rowsOf(tensor: Tensor, start: number, end: number): Tensor {
  const [rows = 0, ...rest] = tensor.shape;
  if (start === 0 && end === rows) return tensor;
  const width = elements(rest);
  return { ...tensor, shape: [end - start, ...rest], data: tensor.data.subarray(start * width, end * width) };
}
