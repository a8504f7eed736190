/** Layers that even out means and variances. */
import { z } from "zod";
import { add, divide, maximum, multiply, rsqrt, sqrt, square, subtract } from "../expressions/elementwise.ts";
import { axesOf, mean, sum } from "../expressions/reduction.ts";
import { reshape } from "../expressions/shaping.ts";
import { batchNormalization } from "../expressions/linear.ts";
import type { Value } from "../graph.ts";
import { type AnyLowering, type Call, NotExpressible, inputOf, lowering, sizeAt } from "./definition.ts";

const axis = z.union([z.int().transform((one) => [one]), z.array(z.int())]);
const flags = { center: z.boolean().default(true), scale: z.boolean().default(true) };

/** A weight over `axes` of `x`, so that it is broadcast along the others. */
function spread(weight: Value, x: Value, axes: readonly number[]): Value {
  const shape = x.shape.map((_, index) => (axes.includes(index) ? sizeAt(x, index) : 1));
  // Leading ones need not be written.
  const first = shape.findIndex((size) => size !== 1);
  return reshape(weight, first === -1 ? [] : shape.slice(first));
}

/**
 * `x` less its mean along `axes`, and the mean of the squares of that. Not by squared differences: TensorFlow takes
 * those for a layer normalization of its own, whose epsilon is another.
 */
function moments(x: Value, axes: readonly number[]): { centred: Value; variance: Value; centre: Value } {
  const centre = mean(x, axes, true);
  const centred = subtract(x, centre);
  return { centred, centre, variance: mean(square(centred), axes, true) };
}

interface Centred {
  center: boolean;
  scale: boolean;
}

/** gamma and beta, where the layer has them. */
function scaled(call: Call<Centred>, even: Value, axes: readonly number[]): Value {
  const grown = call.settings.scale ? multiply(even, spread(call.weight("gamma"), even, axes)) : even;
  return call.settings.center ? add(grown, spread(call.weight("beta"), even, axes)) : grown;
}

const BatchNormalization = z.object({
  ...flags,
  axis: axis.default([-1]),
  epsilon: z.number().default(1e-3),
  momentum: z.number().default(0.99),
});

type BatchCall = Call<z.output<typeof BatchNormalization>>;

function ofLastAxis(call: BatchCall, x: Value): { gamma: Value; beta: Value } {
  const size = sizeAt(x, -1);
  const filled = (value: number) => call.graph.constant(new Float32Array(size).fill(value), [size]);
  return {
    gamma: call.settings.scale ? call.weight("gamma") : filled(1),
    beta: call.settings.center ? call.weight("beta") : filled(0),
  };
}

/** By what was learned. */
function answered(call: BatchCall, x: Value, axes: readonly number[]): Value {
  const [mean, variance] = [call.weight("moving_mean"), call.weight("moving_variance")];
  const { epsilon } = call.settings;
  if (axes[0] === x.shape.length - 1) {
    return batchNormalization(x, { ...ofLastAxis(call, x), mean, variance }, epsilon);
  }
  const centred = subtract(x, spread(mean, x, axes));
  return scaled(call, multiply(centred, rsqrt(add(spread(variance, x, axes), epsilon))), axes);
}

/** By the batch's own statistics, of which moving ones are kept. */
function trained(call: BatchCall, x: Value, axes: readonly number[], training: NonNullable<BatchCall["training"]>) {
  const { epsilon, momentum } = call.settings;
  const others = x.shape.map((_, index) => index).filter((index) => !axes.includes(index));
  const { centred, centre, variance } = moments(x, others);
  const keep = (name: string, value: Value) => {
    const known = call.weight(name);
    const flat = reshape(value, known.shape);
    training.update(name, subtract(known, multiply(subtract(known, flat), 1 - momentum)));
  };
  keep("moving_mean", centre);
  keep("moving_variance", variance);
  return scaled(call, multiply(centred, rsqrt(add(variance, epsilon))), axes);
}

const batch = lowering({
  settings: BatchNormalization,
  lower: (call) => {
    const x = inputOf(call);
    const axes = axesOf(x, call.settings.axis);
    if (axes.length !== 1) throw new NotExpressible("it keeps more than one axis");
    // A frozen layer answers by what it learned, as in Keras.
    if (call.training === undefined || !call.layer.trainable) return answered(call, x, axes);
    return trained(call, x, axes, call.training);
  },
});

const layer = lowering({
  settings: z.object({ ...flags, axis: axis.default([-1]), epsilon: z.number().default(1e-3) }),
  lower: (call) => {
    const x = inputOf(call);
    const axes = axesOf(x, call.settings.axis);
    const { centred, variance } = moments(x, axes);
    const even = multiply(centred, rsqrt(add(variance, call.settings.epsilon)));
    return scaled(call, even, axes);
  },
});

const group = lowering({
  settings: z.object({ ...flags, groups: z.int().default(32), epsilon: z.number().default(1e-3) }),
  lower: (call) => {
    const x = inputOf(call);
    const channels = sizeAt(x, -1);
    const groups = call.settings.groups === -1 ? channels : call.settings.groups;
    const places = x.shape.slice(1, -1).reduce((product, _, index) => product * sizeAt(x, index + 1), 1);
    const parts = reshape(x, [-1, places, groups, channels / groups]);
    const { centred, variance } = moments(parts, [1, 3]);
    const even = multiply(centred, rsqrt(add(variance, call.settings.epsilon)));
    return scaled(call, reshape(even, x.shape), [x.shape.length - 1]);
  },
});

const rootMeanSquare = lowering({
  settings: z.object({ epsilon: z.number().default(1e-6) }),
  lower: (call) => {
    const x = inputOf(call);
    const even = multiply(x, rsqrt(add(mean(square(x), -1, true), call.settings.epsilon)));
    return multiply(even, call.weight("scale"));
  },
});

const unit = lowering({
  settings: z.object({ axis: axis.default([-1]) }),
  lower: (call) => {
    const x = inputOf(call);
    return multiply(x, rsqrt(maximum(sum(square(x), call.settings.axis, true), 1e-12)));
  },
});

const numbers = z.union([z.number().transform((one) => [one]), z.array(z.number())]).nullish();

const given = lowering({
  settings: z.object({ axis: axis.nullish(), mean: numbers, variance: numbers, invert: z.boolean().nullish() }),
  lower: (call) => {
    const x = inputOf(call);
    const { settings } = call;
    const axes = axesOf(x, settings.axis ?? []);
    const statistic = (values: number[] | null | undefined, name: string) => {
      if (values === undefined || values === null) return spread(call.weight(name), x, axes);
      const [first = 0] = values;
      return values.length === 1 ? first : spread(call.graph.constant(values, [values.length]), x, axes);
    };
    const centre = statistic(settings.mean, "mean");
    const variance = statistic(settings.variance, "variance");
    const deviation =
      typeof variance === "number" ? Math.max(Math.sqrt(variance), 1e-7) : maximum(sqrt(variance), 1e-7);
    return settings.invert === true ? add(multiply(x, deviation), centre) : divide(subtract(x, centre), deviation);
  },
});

export const normalizationLowerings: Record<string, AnyLowering> = {
  BatchNormalization: batch,
  AxisBatchNormalization: batch,
  LayerNormalization: layer,
  GroupNormalization: group,
  RMSNormalization: rootMeanSquare,
  UnitNormalization: unit,
  Normalization: given,
};
