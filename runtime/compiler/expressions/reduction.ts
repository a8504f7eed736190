/** Expressions that look along axes. */
import { type Value, derive } from "../graph.ts";
import type { Reduction } from "../operations.ts";

/** Axes counted from the front, in order. */
export function axesOf(x: Value, axes: number | readonly number[]): number[] {
  return [axes]
    .flat()
    .map((axis) => (axis < 0 ? axis + x.shape.length : axis))
    .sort((a, b) => a - b);
}

const reduce =
  (name: Reduction) =>
  (x: Value, along: number | readonly number[], keepDims = false): Value => {
    const axes = axesOf(x, along);
    const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const shape = keepDims ? kept : kept.filter((_, axis) => !axes.includes(axis));
    return derive("reduce", [x], { function: name, axes, keepDims }, { dtype: x.dtype, shape });
  };

export const sum = reduce("sum");
export const mean = reduce("mean");
export const max = reduce("max");
export const any = reduce("any");

export const all = (x: Value) => x.shape.map((_, axis) => axis);

export function argMax(x: Value, along: number): Value {
  const [axis = 0] = axesOf(x, along);
  return derive("argMax", [x], { axis }, { dtype: "int32", shape: x.shape.filter((_, index) => index !== axis) });
}

export function cumulativeSum(x: Value, along: number): Value {
  const [axis = 0] = axesOf(x, along);
  return derive("cumulativeSum", [x], { axis }, x);
}

export const sortDescending = (x: Value) => derive("sortDescending", [x], {}, x);

export function softmax(x: Value): Value {
  return derive("softmax", [x], {}, x);
}

export const logSoftmax = (x: Value) => derive("logSoftmax", [x], {}, x);

/** Product of the sizes along `axes`: a number where they are known. */
export function count(x: Value, along: number | readonly number[]): Value | number {
  const axes = axesOf(x, along);
  const sizes = axes.map((axis) => x.shape[axis] ?? 1);
  if (!sizes.includes(-1)) return sizes.reduce((product, size) => product * size, 1);
  return derive("count", [x], { axes }, { dtype: "float32", shape: [] });
}
