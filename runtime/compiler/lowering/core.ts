/** Layers of rows: dense ones, activations, merges, embeddings, dropout. */
import { z } from "zod";
import {
  type Operand,
  add,
  cast,
  divide,
  elu,
  exp,
  greater,
  greaterEqual,
  leakyRelu,
  maximum,
  minimum,
  multiply,
  notEqual,
  relu,
  relu6,
  select,
  subtract,
} from "../expressions/elementwise.ts";
import { any, max, softmax, sum } from "../expressions/reduction.ts";
import { concat, expandDims, gather, reshape } from "../expressions/shaping.ts";
import { biasAdd, matMul } from "../expressions/linear.ts";
import type { Value } from "../graph.ts";
import { ActivationName, activate } from "./activation.ts";
import { type AnyLowering, type Call, NotExpressible, inputOf, lowering, sizeAt } from "./definition.ts";

/** x [..., in] by kernel [in, out]. */
export function denseProduct(x: Value, kernel: Value): Value {
  if (x.shape.length === 2) return matMul(x, kernel);
  const rows = reshape(x, [-1, sizeAt(x, -1)]);
  return reshape(matMul(rows, kernel), [...x.shape.slice(0, -1), sizeAt(kernel, -1)]);
}

const dense = lowering({
  settings: z.object({ useBias: z.boolean(), activation: ActivationName }),
  lower: (call) => {
    const product = denseProduct(inputOf(call), call.weight("kernel"));
    const sums = call.settings.useBias ? biasAdd(product, call.weight("bias")) : product;
    return activate(call.settings.activation, sums);
  },
});

/** Keeps each element with probability 1 - rate, scaled so that the mean stays. */
export function dropped(x: Value, uniform: Value, rate: number): Value {
  return multiply(x, multiply(cast(greaterEqual(uniform, rate), "float32"), 1 / (1 - rate)));
}

const dropout = lowering({
  settings: z.object({ rate: z.number(), noiseShape: z.null().optional() }),
  lower: ({ inputs, settings, training }) => {
    const x = inputOf({ inputs });
    return training === undefined || settings.rate === 0 ? x : dropped(x, training.uniform(x), settings.rate);
  },
});

/** What changes answers in training only, and is not compiled there. */
const identityInAnswers = lowering({
  settings: z.object({}),
  lower: (call) => {
    if (call.training === undefined) return inputOf(call);
    throw new NotExpressible("the compiler lacks this class of layer in training");
  },
});

const same = lowering({ settings: z.object({}), lower: inputOf });

const activation = lowering({
  settings: z.object({ activation: ActivationName }),
  lower: (call) => activate(call.settings.activation, inputOf(call)),
});

const rescaling = lowering({
  settings: z.object({ scale: z.number(), offset: z.number().default(0) }),
  lower: (call) => add(multiply(cast(inputOf(call), "float32"), call.settings.scale), call.settings.offset),
});

const reluLayer = lowering({
  settings: z.object({ maxValue: z.number().nullish() }),
  lower: (call) => {
    if (call.settings.maxValue === 6) return relu6(inputOf(call));
    const x = relu(inputOf(call));
    return call.settings.maxValue === undefined || call.settings.maxValue === null
      ? x
      : minimum(x, call.settings.maxValue);
  },
});

const slopedRelu = lowering({
  settings: z.object({
    maxValue: z.number().nullish(),
    negativeSlope: z.number().nullish(),
    threshold: z.number().nullish(),
  }),
  lower: ({ inputs, settings }) => {
    const x = inputOf({ inputs });
    const threshold = settings.threshold ?? 0;
    if (threshold === 0 && (settings.negativeSlope ?? 0) === 0 && settings.maxValue === 6) return relu6(x);
    const top = settings.maxValue ?? undefined;
    const above = top === undefined ? x : minimum(x, top);
    const below = multiply(subtract(x, threshold), settings.negativeSlope ?? 0);
    return select(greaterEqual(x, threshold), above, below);
  },
});

const prelu = lowering({
  settings: z.object({}),
  lower: (call) => {
    const x = inputOf(call);
    return subtract(relu(x), multiply(call.weight("alpha"), relu(multiply(x, -1))));
  },
});

const thresholded = lowering({
  settings: z.object({ theta: z.number() }),
  lower: (call) => {
    const x = inputOf(call);
    return multiply(x, cast(greater(x, call.settings.theta), "float32"));
  },
});

const scaledElu = lowering({
  settings: z.object({ alpha: z.number().default(1) }),
  lower: (call) => {
    const x = inputOf(call);
    const { alpha } = call.settings;
    return alpha === 1 ? elu(x) : add(relu(x), multiply(elu(minimum(x, 0)), alpha));
  },
});

const leaky = lowering({
  settings: z.object({ alpha: z.number().nullish() }),
  lower: (call) => leakyRelu(inputOf(call), call.settings.alpha ?? 0.3),
});

const softmaxLayer = lowering({
  settings: z.object({ axis: z.int().nullish() }),
  lower: (call) => {
    const x = inputOf(call);
    const axis = call.settings.axis ?? -1;
    if (axis === -1 || axis === x.shape.length - 1) return softmax(x);
    const powers = exp(subtract(x, max(x, axis, true)));
    return divide(powers, sum(powers, axis, true));
  },
});

const embedding = lowering({
  settings: z.object({ maskZero: z.boolean().nullish() }),
  lower: (call) => {
    const ids = cast(inputOf(call), "int32");
    const output = gather(call.weight("embeddings"), ids);
    const zero = call.graph.integers([0], []);
    return { outputs: [output], mask: call.settings.maskZero === true ? notEqual(ids, zero) : undefined };
  },
});

const masking = lowering({
  settings: z.object({ maskValue: z.number().nullish() }),
  lower: (call) => {
    const x = inputOf(call);
    const mask = any(notEqual(x, call.settings.maskValue ?? 0), -1);
    return { outputs: [multiply(x, cast(expandDims(mask, -1), "float32"))], mask };
  },
});

/** Steps count that count in all inputs. */
function commonMask({ masks, graph }: Call<unknown>): Value | undefined {
  const known = masks.filter((mask) => mask !== undefined);
  if (known.length === 0) return undefined;
  const [first, ...rest] = known;
  if (first === undefined || known.length !== masks.length) {
    throw new NotExpressible("only some of its inputs tell which steps count");
  }
  return rest.reduce<Value>((all, mask) => {
    const type = { dtype: "bool" as const, shape: all.shape };
    return graph.add("binary", [all, mask], { function: "and" }, [type])[0] ?? all;
  }, first);
}

/** Inputs of fewer dimensions get more after the batch, as tfjs merges them. */
function alignRanks(inputs: readonly Value[]): readonly Value[] {
  const rank = Math.max(...inputs.map(({ shape }) => shape.length));
  return inputs.map((input) => {
    const [batch = -1, ...rest] = input.shape;
    const missing = Array.from({ length: rank - input.shape.length }, () => 1);
    return reshape(input, [batch, ...missing, ...rest]);
  });
}

const merge = (combine: (a: Operand, b: Operand) => Value, divideByCount = false): AnyLowering =>
  lowering({
    settings: z.object({}),
    lower: (call) => {
      const [first, ...rest] = alignRanks(call.inputs);
      if (first === undefined) throw new NotExpressible("it has no input");
      const all = rest.reduce(combine, first);
      const output = divideByCount ? multiply(all, 1 / call.inputs.length) : all;
      return { outputs: [output], mask: commonMask(call) };
    },
  });

const subtraction = lowering({
  settings: z.object({}),
  lower: ({ inputs }) => {
    const [a, b] = inputs;
    if (a === undefined || b === undefined) throw new NotExpressible("it needs two inputs");
    return subtract(a, b);
  },
});

const concatenate = lowering({
  settings: z.object({ axis: z.int().nullish() }),
  lower: (call) => {
    const axis = call.settings.axis ?? -1;
    const rank = inputOf(call).shape.length;
    const last = axis === -1 || axis === rank - 1;
    if (!last && call.masks.some((mask) => mask !== undefined)) {
      throw new NotExpressible("it joins inputs that tell which steps count, along another axis than the last");
    }
    return { outputs: [concat(call.inputs, axis)], mask: last ? commonMask(call) : undefined };
  },
});

const OPERATIONS = { add, subtract, multiply, divide };

const tensorOperation = lowering({
  settings: z.object({
    operation: z.enum(["add", "subtract", "multiply", "divide"]),
    constant: z.number().nullish(),
    constantFirst: z.boolean().default(false),
  }),
  lower: ({ inputs, settings }) => {
    const [a, b] = inputs;
    const other = b ?? settings.constant ?? 0;
    const first = inputOf({ inputs: a === undefined ? [] : [a] });
    const [left, right] = settings.constantFirst ? [other, first] : [first, other];
    return OPERATIONS[settings.operation](left, right);
  },
});

export const coreLowerings: Record<string, AnyLowering> = {
  Dense: dense,
  Dropout: dropout,
  AlphaDropout: identityInAnswers,
  GaussianDropout: identityInAnswers,
  GaussianNoise: identityInAnswers,
  Identity: same,
  Activation: activation,
  Rescaling: rescaling,
  ReLU: reluLayer,
  SlopedReLU: slopedRelu,
  PReLU: prelu,
  ThresholdedReLU: thresholded,
  ELU: scaledElu,
  ScaledELU: scaledElu,
  LeakyReLU: leaky,
  Softmax: softmaxLayer,
  AxisSoftmax: softmaxLayer,
  Embedding: embedding,
  Masking: masking,
  Add: merge(add),
  Multiply: merge(multiply),
  Average: merge(add, true),
  Maximum: merge(maximum),
  Minimum: merge(minimum),
  Subtract: subtraction,
  Concatenate: concatenate,
  TensorOperation: tensorOperation,
};
