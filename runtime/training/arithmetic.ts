/**
 * The operations that losses, metrics and optimizers are written in. A formula is written once: engines compute it
 * operation by operation, a compiler makes nodes of a graph of it.
 */
import type { Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";

/** Operands broadcast; comparisons give 1 and 0 as float32. */
export interface Arithmetic<T> {
  add(a: T | number, b: T | number): T;
  sub(a: T | number, b: T | number): T;
  mul(a: T | number, b: T | number): T;
  div(a: T | number, b: T | number): T;
  max(a: T | number, b: T | number): T;
  min(a: T | number, b: T | number): T;
  neg(x: T): T;
  abs(x: T): T;
  sign(x: T): T;
  square(x: T): T;
  sqrt(x: T): T;
  exp(x: T): T;
  log(x: T): T;
  greater(a: T, b: T | number): T;
  equal(a: T, b: T): T;
  /** Sum over the last axis, which stays with size 1 when `keep` is true. */
  sumLast(x: T, keep?: boolean): T;
  meanLast(x: T, keep?: boolean): T;
  maxLast(x: T, keep?: boolean): T;
  /** Index of the first maximum in the last axis. */
  argMaxLast(x: T): T;
  logSoftmaxLast(x: T): T;
  /** Mean over all axes but the first: [batch]. */
  meanOfEach(x: T): T;
  /** Sum over all axes: a scalar. */
  sumAll(x: T): T;
  /** Mean over all axes: a scalar. Comparisons and argMaxLast have no gradient. */
  meanAll(x: T): T;
}

/** Computes at once. Use within tf.tidy. */
export function eager(tf: Tf): Arithmetic<Tensor> {
  const number = (flags: Tensor) => tf.cast(flags, "float32");
  return {
    add: (a, b) => tf.add(a, b),
    sub: (a, b) => tf.sub(a, b),
    mul: (a, b) => tf.mul(a, b),
    div: (a, b) => tf.div(a, b),
    max: (a, b) => tf.maximum(a, b),
    min: (a, b) => tf.minimum(a, b),
    neg: (x) => tf.neg(x),
    abs: (x) => tf.abs(x),
    sign: (x) => tf.sign(x),
    square: (x) => tf.square(x),
    sqrt: (x) => tf.sqrt(x),
    exp: (x) => tf.exp(x),
    log: (x) => tf.log(x),
    greater: (a, b) => number(tf.greater(a, b)),
    equal: (a, b) => number(tf.equal(a, b)),
    sumLast: (x, keep = false) => tf.sum(x, x.rank - 1, keep),
    meanLast: (x, keep = false) => tf.mean(x, x.rank - 1, keep),
    maxLast: (x, keep = false) => tf.max(x, x.rank - 1, keep),
    argMaxLast: (x) => number(tf.argMax(x, x.rank - 1)),
    logSoftmaxLast: (x) => tf.logSoftmax(x, x.rank - 1),
    meanOfEach: (x) => (x.rank === 1 ? x : tf.mean(tf.reshape(x, [x.shape[0] ?? 1, -1]), 1)),
    sumAll: (x) => tf.sum(x),
    meanAll: (x) => tf.mean(x),
  };
}
