/** Expressions that are computed element by element. */
import { type Dtype, type Shape, type Value, derive } from "../graph.ts";
import type { Binary, Unary } from "../operations.ts";

/** A number stands for a tensor that has it everywhere. */
export type Operand = Value | number;

/** The common shape. Throws RangeError when there is none. */
export function broadcast(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, index) => {
    const [left = 1, right = 1] = [a[index - rank + a.length], b[index - rank + b.length]];
    if (left === 1 || right === left) return right;
    if (right === 1 || right === -1) return left;
    if (left === -1) return right;
    throw new RangeError(`shapes [${a.join(", ")}] and [${b.join(", ")}] do not go together`);
  });
}

function tensors(a: Operand, b: Operand): [Value, Value] {
  if (typeof a !== "number") return [a, typeof b === "number" ? a.node.graph.constant(b) : b];
  if (typeof b === "number") throw new RangeError("two numbers are no expression");
  return [b.node.graph.constant(a), b];
}

function binary(name: Binary, a: Operand, b: Operand, dtype?: Dtype): Value {
  const [left, right] = tensors(a, b);
  const shape = broadcast(left.shape, right.shape);
  return derive("binary", [left, right], { function: name }, { dtype: dtype ?? left.dtype, shape });
}

const unary = (name: Unary) => (x: Value) => derive("unary", [x], { function: name }, x);

export const negate = unary("negate");
export const abs = unary("abs");
export const sign = unary("sign");
export const exp = unary("exp");
export const log = unary("log");
export const sqrt = unary("sqrt");
export const rsqrt = unary("rsqrt");
export const square = unary("square");
export const erf = unary("erf");
export const sigmoid = unary("sigmoid");
export const tanh = unary("tanh");
export const relu = unary("relu");
export const relu6 = unary("relu6");
export const elu = unary("elu");
export const selu = unary("selu");
export const softplus = unary("softplus");
export const softsign = unary("softsign");

export const add = (a: Operand, b: Operand) => binary("add", a, b);
export const subtract = (a: Operand, b: Operand) => binary("subtract", a, b);
export const multiply = (a: Operand, b: Operand) => binary("multiply", a, b);
export const divide = (a: Operand, b: Operand) => binary("divide", a, b);
export const maximum = (a: Operand, b: Operand) => binary("maximum", a, b);
export const minimum = (a: Operand, b: Operand) => binary("minimum", a, b);
export const less = (a: Operand, b: Operand) => binary("less", a, b, "bool");
export const greater = (a: Operand, b: Operand) => binary("greater", a, b, "bool");
export const greaterEqual = (a: Operand, b: Operand) => binary("greaterEqual", a, b, "bool");
export const equal = (a: Operand, b: Operand) => binary("equal", a, b, "bool");
export const notEqual = (a: Operand, b: Operand) => binary("notEqual", a, b, "bool");

export const leakyRelu = (x: Value, alpha: number) => derive("leakyRelu", [x], { alpha }, x);
export const clip = (x: Value, min: number, max: number) => derive("clip", [x], { min, max }, x);

/** x where `condition` holds, else y. */
export function select(condition: Value, x: Operand, y: Operand): Value {
  const [left, right] = tensors(x, y);
  const shape = broadcast(condition.shape, broadcast(left.shape, right.shape));
  return derive("select", [condition, left, right], {}, { dtype: left.dtype, shape });
}

export function cast(x: Value, dtype: Dtype): Value {
  return x.dtype === dtype ? x : derive("cast", [x], {}, { dtype, shape: x.shape });
}
