/** Expressions that put elements elsewhere. */
import { type Dtype, type Shape, type Value, derive, firstOf } from "../graph.ts";
import { axesOf } from "./reduction.ts";

const product = (sizes: Shape) => sizes.reduce((all, size) => all * size, 1);

/** The one size that is -1 is worked out where it can be. Throws RangeError when more than one stays open. */
export function reshape(x: Value, shape: Shape): Value {
  const open = shape.filter((size) => size === -1).length;
  if (open > 1) throw new RangeError(`the shape [${shape.join(", ")}] has more than one open size`);
  const known = shape.filter((size) => size !== -1);
  const full =
    open === 1 && !x.shape.includes(-1)
      ? shape.map((size) => (size === -1 ? product(x.shape) / product(known) : size))
      : shape;
  if (full.length === x.shape.length && full.every((size, axis) => size === x.shape[axis])) return x;
  return derive("reshape", [x], {}, { dtype: x.dtype, shape: full });
}

export const reshapeAs = (x: Value, like: Value) =>
  like.shape.filter((size) => size === -1).length <= 1
    ? reshape(x, like.shape)
    : derive("reshapeAs", [x, like], {}, { dtype: x.dtype, shape: like.shape });

export const broadcastAs = (x: Value, like: Value) =>
  derive("broadcastAs", [x, like], {}, { dtype: x.dtype, shape: like.shape });

/** A dimension of size one before `axis`. */
export function expandDims(x: Value, axis: number): Value {
  const at = axis < 0 ? axis + x.shape.length + 1 : axis;
  return reshapeOpen(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Without the dimension `axis`, which has size one. */
export function squeeze(x: Value, axis: number): Value {
  const [at = 0] = axesOf(x, axis);
  return reshapeOpen(
    x,
    x.shape.filter((_, index) => index !== at),
  );
}

/** For shapes that differ from that of `x` by dimensions of size one only. */
function reshapeOpen(x: Value, shape: Shape): Value {
  if (shape.filter((size) => size === -1).length <= 1) return reshape(x, shape);
  throw new RangeError(`a tensor of shape [${x.shape.join(", ")}] has more than one open size`);
}

export function transpose(x: Value, permutation: readonly number[]): Value {
  if (permutation.every((from, to) => from === to)) return x;
  const shape = permutation.map((axis) => x.shape[axis] ?? 1);
  return derive("transpose", [x], { permutation }, { dtype: x.dtype, shape });
}

export function concat(parts: readonly Value[], along: number): Value {
  const first = firstOf(parts);
  if (parts.length === 1) return first;
  const [axis = 0] = axesOf(first, along);
  const sizes = parts.map((part) => part.shape[axis] ?? 1);
  const whole = sizes.includes(-1) ? -1 : sizes.reduce((sum, size) => sum + size, 0);
  const shape = first.shape.map((size, index) => (index === axis ? whole : size));
  return derive("concat", parts, { axis }, { dtype: first.dtype, shape });
}

/** Parts of `sizes`. */
export function split(x: Value, sizes: readonly number[], along: number): readonly Value[] {
  const [axis = 0] = axesOf(x, along);
  if (sizes.length === 1) return [x];
  const types = sizes.map((size) => ({
    dtype: x.dtype,
    shape: x.shape.map((whole, index) => (index === axis ? size : whole)),
  }));
  return x.node.graph.add("split", [x], { axis, sizes }, types);
}

/** `size` equal parts. */
export function splitEvenly(x: Value, parts: number, along: number): readonly Value[] {
  const [axis = 0] = axesOf(x, along);
  const size = (x.shape[axis] ?? 1) / parts;
  return split(
    x,
    Array.from({ length: parts }, () => size),
    axis,
  );
}

/** Each part along `axis`, without that axis. */
export function unstack(x: Value, along: number): readonly Value[] {
  const [axis = 0] = axesOf(x, along);
  const size = x.shape[axis] ?? 1;
  return splitEvenly(x, size, axis).map((part) => squeeze(part, axis));
}

export function stack(parts: readonly Value[], axis: number): Value {
  return concat(
    parts.map((part) => expandDims(part, axis)),
    axis,
  );
}

/** size -1 goes to the end. */
export function slice(x: Value, begin: readonly number[], size: readonly number[]): Value {
  const shape = size.map((length, axis) => {
    const whole = x.shape[axis] ?? 1;
    if (length !== -1) return length;
    return whole === -1 ? -1 : whole - (begin[axis] ?? 0);
  });
  if (begin.every((from) => from === 0) && shape.every((length, axis) => length === x.shape[axis])) return x;
  return derive("slice", [x], { begin, size }, { dtype: x.dtype, shape });
}

/** Zeros before and after each dimension. */
export function pad(x: Value, edges: readonly (readonly [number, number])[]): Value {
  if (edges.every(([before, after]) => before === 0 && after === 0)) return x;
  const shape = x.shape.map((size, axis) => {
    const [before, after] = edges[axis] ?? [0, 0];
    return size === -1 ? -1 : size + before + after;
  });
  const [before, after] = [edges.map(([first]) => first), edges.map(([, last]) => last)];
  return derive("pad", [x], { before, after }, { dtype: x.dtype, shape });
}

export function tile(x: Value, times: readonly number[]): Value {
  const shape = x.shape.map((size, axis) => (size === -1 ? -1 : size * (times[axis] ?? 1)));
  return derive("tile", [x], { times }, { dtype: x.dtype, shape });
}

export function reverse(x: Value, along: number): Value {
  const [axis = 0] = axesOf(x, along);
  return derive("reverse", [x], { axis }, x);
}

/** Parts of `x` along `axis`, by `indices` (int32). */
export function gather(x: Value, indices: Value, axis = 0): Value {
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  return derive("gather", [x, indices], { axis }, { dtype: x.dtype, shape });
}

export function oneHot(indices: Value, depth: number): Value {
  return derive("oneHot", [indices], { depth }, { dtype: "float32" satisfies Dtype, shape: [...indices.shape, depth] });
}
