/** The operations that losses, metrics and optimizers are written in, as nodes of a graph. */
import type { Arithmetic } from "../../training/arithmetic.ts";
import {
  abs,
  add,
  cast,
  divide,
  equal,
  exp,
  greater,
  log,
  maximum,
  minimum,
  multiply,
  negate,
  sign,
  sqrt,
  square,
  subtract,
} from "../expressions/elementwise.ts";
import { all, argMax, logSoftmax, max, mean, sum } from "../expressions/reduction.ts";
import type { Value } from "../graph.ts";

export const graphArithmetic: Arithmetic<Value> = {
  add,
  sub: subtract,
  mul: multiply,
  div: divide,
  max: maximum,
  min: minimum,
  neg: negate,
  abs,
  sign,
  square,
  sqrt,
  exp,
  log,
  greater: (a, b) => cast(greater(a, b), "float32"),
  equal: (a, b) => cast(equal(a, b), "float32"),
  sumLast: (x, keep) => sum(x, -1, keep),
  meanLast: (x, keep) => mean(x, -1, keep),
  maxLast: (x, keep) => max(x, -1, keep),
  argMaxLast: (x) => cast(argMax(x, -1), "float32"),
  logSoftmaxLast: logSoftmax,
  meanOfEach: (x) => (x.shape.length === 1 ? x : mean(x, all(x).slice(1))),
  sumAll: (x) => sum(x, all(x)),
  meanAll: (x) => mean(x, all(x)),
};
