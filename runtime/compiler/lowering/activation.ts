/** Activation functions as expressions; the formulas are those of formats/layers/activation.ts. */
import { z } from "zod";
import {
  abs,
  add,
  cast,
  clip,
  divide,
  elu,
  erf,
  exp,
  greater,
  leakyRelu,
  minimum,
  multiply,
  negate,
  relu,
  relu6,
  select,
  selu,
  sigmoid,
  sign,
  softplus,
  softsign,
  sqrt,
  square,
  subtract,
  tanh,
} from "../expressions/elementwise.ts";
import { cumulativeSum, logSoftmax, softmax, sortDescending, sum } from "../expressions/reduction.ts";
import type { Value } from "../graph.ts";
import { NotExpressible, sizeAt } from "./definition.ts";

type Activate = (x: Value) => Value;

const sigmoidByThree: Activate = (x) => divide(relu6(add(x, 3)), 6);

const sparsemax: Activate = (x) => {
  const size = sizeAt(x, -1);
  const sorted = sortDescending(x);
  const ranks = x.node.graph.constant(
    Float32Array.from({ length: size }, (_, index) => index + 1),
    [size],
  );
  const inside = cast(greater(add(multiply(sorted, ranks), 1), cumulativeSum(sorted, -1)), "float32");
  const threshold = divide(subtract(sum(multiply(sorted, inside), -1, true), 1), sum(inside, -1, true));
  return relu(subtract(x, threshold));
};

const activations: Record<string, Activate> = {
  linear: (x) => x,
  relu,
  relu6,
  elu,
  selu,
  celu: (x) => add(relu(x), minimum(subtract(exp(minimum(x, 0)), 1), 0)),
  sigmoid,
  hardSigmoid: (x) => clip(add(multiply(x, 0.2), 0.5), 0, 1),
  hardSigmoidByThree: sigmoidByThree,
  swish: (x) => multiply(x, sigmoid(x)),
  hardSilu: (x) => multiply(x, sigmoidByThree(x)),
  gelu: (x) => multiply(multiply(x, 0.5), add(erf(multiply(x, Math.SQRT1_2)), 1)),
  softplus,
  softsign,
  tanh,
  hardTanh: (x) => clip(x, -1, 1),
  tanhShrink: (x) => subtract(x, tanh(x)),
  softShrink: (x) => multiply(sign(x), relu(subtract(abs(x), 0.5))),
  hardShrink: (x) => select(greater(abs(x), 0.5), x, 0),
  sparsePlus: (x) => select(greater(x, 1), x, multiply(square(relu(add(x, 1))), 0.25)),
  sparseSigmoid: (x) => clip(multiply(add(x, 1), 0.5), 0, 1),
  squareplus: (x) => multiply(add(x, sqrt(add(square(x), 4))), 0.5),
  softmax,
  logSoftmax,
  logSigmoid: (x) => negate(softplus(negate(x))),
  exponential: exp,
  leakyRelu: (x) => leakyRelu(x, 0.2),
  mish: (x) => multiply(x, tanh(softplus(x))),
  sparsemax,
};

export const ActivationName = z.string().nullish();

/** Throws NotExpressible for a name that is none. */
export function activate(name: string | null | undefined, x: Value): Value {
  const activation = activations[name ?? "linear"];
  if (activation === undefined) throw new NotExpressible(`the compiler lacks the activation ${name ?? ""}`);
  return activation(x);
}
