/** A step of several workers, operation by operation: each computes its part, and all change their weights alike. */
import type { LayersModel, Variable } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";
import type { Exchange } from "./exchange.ts";
import { type Computed, type StepOptions, opByOp, setValues, valuesOf } from "./op-by-op-step.ts";
import type { TrainStep } from "./train-step.ts";

/** What layers keep of the examples that they see, such as moving means; frozen layers keep nothing. */
function statisticsOf(model: LayersModel): Variable[] {
  const learning = model.layers.filter(({ trainable }) => trainable);
  return learning.flatMap((layer) => layer.nonTrainableWeights).map((weight) => weight.read() as Variable);
}

interface Parcel {
  /** Gradients, statistics and values; they are replaced by those of all workers. */
  numbers: Float32Array;
  contents(): Computed & { statistics: Float32Array[] };
}

/** What is computed, as numbers in one row. Statistics stay as they were: a step that is broken off has changed nothing. */
function parcelOf(tf: Tf, statistics: readonly Variable[], compute: () => Computed): Parcel {
  const before = valuesOf(statistics);
  const parts: Float32Array[] = [];
  let variables: Variable[] = [];
  let names: string[] = [];
  tf.tidy(() => {
    const { gradients, values } = compute();
    variables = gradients.map(({ variable }) => variable);
    names = Object.keys(values);
    // Gradients are float32, as weights are.
    for (const { gradient } of gradients) parts.push(gradient.dataSync() as Float32Array);
    parts.push(...valuesOf(statistics), Float32Array.from(Object.values(values)));
  });
  setValues(tf, statistics, before);
  const starts = parts.reduce<number[]>((all, { length }) => [...all, (all.at(-1) ?? 0) + length], [0]);
  const numbers = new Float32Array(starts.at(-1) ?? 0);
  parts.forEach((part, index) => numbers.set(part, starts[index]));
  const at = (index: number) => numbers.slice(starts[index], starts[index + 1]);
  return {
    numbers,
    contents: () => ({
      gradients: variables.map((variable, index) => ({ variable, gradient: tf.tensor(at(index), variable.shape) })),
      statistics: statistics.map((_, index) => at(variables.length + index)),
      values: Object.fromEntries(names.map((name, index) => [name, at(parts.length - 1)[index] ?? NaN])),
    }),
  };
}

export function sharedOpByOpStep(tf: Tf, options: StepOptions, exchange: Exchange): TrainStep {
  const { compute, apply, ...rest } = opByOp(tf, options);
  const statistics = statisticsOf(options.model);
  return {
    ...rest,
    run: async (batch, step, rateFactor) => {
      const { part, count } = exchange.partOf(batch);
      const parcel = parcelOf(tf, statistics, () => compute(part, step));
      await exchange.mean(parcel.numbers, count);
      return tf.tidy(() => {
        const { gradients, statistics: means, values } = parcel.contents();
        apply(gradients, step, rateFactor);
        setValues(tf, statistics, means);
        return values;
      });
    },
  };
}
