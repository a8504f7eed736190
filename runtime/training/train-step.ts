/** One step of training. The loop knows only this interface, so that a compiled step can take the place of this one. */
import type { LayersModel, Tensor, Tensor2D, Variable } from "@tensorflow/tfjs";
import type { Optimizer as OptimizerDeclaration } from "../../crds/model.ts";
import type { Batch } from "../data/batches.ts";
import type { Tf } from "../engine/backend.ts";
import { chainOf, forward } from "./chain.ts";
import { lossFunction } from "./losses.ts";
import { metricOf } from "./metrics.ts";
import { type Objective, targetsOf } from "./objective.ts";
import { type Gradient, optimizerOf } from "./optimizer.ts";

/** Means over the examples of a batch; the loss under `loss`. */
export type BatchValues = Record<string, number>;

export interface TrainStep {
  /** Changes the model's weights by one batch. `step` counts from 0 over all epochs. */
  run(batch: Batch, step: number): BatchValues;
  /** All that the next step depends on besides its batch and its number, in an order of its own. */
  read(): Float32Array[];
  /** Puts back what `read` gave. Throws RangeError when it was another model's. */
  write(values: readonly Float32Array[]): void;
  dispose(): void;
}

interface StepOptions {
  model: LayersModel;
  objective: Objective;
  optimizer: OptimizerDeclaration;
  seed: number;
}

/** Trainable variables of the model, in order. */
function variablesOf(model: LayersModel): Variable[] {
  return model.trainableWeights.map((weight) => weight.read() as Variable);
}

/** The values of variables, as copies. */
function valuesOf(variables: readonly Variable[]): Float32Array[] {
  return variables.map((variable) => Float32Array.from(variable.dataSync()));
}

function setValues(tf: Tf, variables: readonly Variable[], values: readonly Float32Array[]): void {
  const fits = (variable: Variable, index: number) => variable.size === values[index]?.length;
  if (values.length !== variables.length || !variables.every(fits)) throw new RangeError("it is of another model");
  for (const [index, variable] of variables.entries()) {
    tf.tidy(() => variable.assign(tf.tensor(values[index] ?? [], variable.shape, "float32")));
  }
}

/** A step that calls the engine operation by operation. */
export function opByOpStep(tf: Tf, { model, objective, optimizer: declaration, seed }: StepOptions): TrainStep {
  const chain = chainOf(model);
  const variables = variablesOf(model);
  const optimizer = optimizerOf(tf, declaration);
  const loss = lossFunction(objective.loss);
  const state = () => [
    ...model.weights.map((weight) => weight.read() as Variable),
    ...optimizer.slots.flatMap((slots) => variables.map((variable) => slots.of(variable))),
  ];
  return {
    read: () => valuesOf(state()),
    write: (values) => setValues(tf, state(), values),
    run: (batch, step) =>
      tf.tidy(() => {
        const features = tf.tensor(batch.features, [batch.count, ...batch.exampleShape]);
        let targets: Tensor2D | undefined;
        let predictions: Tensor2D | undefined;
        const { value, grads } = tf.variableGrads(() => {
          predictions = tf.keep(forward(tf, chain, features, { seed, step }));
          targets ??= tf.keep(targetsOf(tf, objective, predictions.shape[1], batch.labels));
          return loss(tf, targets, predictions);
        }, variables);
        optimizer.apply(
          variables.flatMap((variable): Gradient[] => gradientOf(variable, grads)),
          step,
        );
        const values: BatchValues = { loss: value.dataSync()[0] ?? NaN };
        if (targets === undefined || predictions === undefined) return values;
        for (const metric of objective.metrics) {
          values[metric] = metricOf(tf, metric, targets, predictions).dataSync()[0] ?? NaN;
        }
        targets.dispose();
        predictions.dispose();
        return values;
      }),
    dispose: () => optimizer.dispose(),
  };
}

function gradientOf(variable: Variable, gradients: Record<string, Tensor>): Gradient[] {
  const gradient = gradients[variable.name];
  return gradient === undefined ? [] : [{ variable, gradient }];
}
