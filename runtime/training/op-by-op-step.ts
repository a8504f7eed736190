/** A step that calls the engine operation by operation: what every layer can do, and what compiled steps are held to. */
import type { LayersModel, Scalar, Tensor, Variable } from "@tensorflow/tfjs";
import type { Update } from "../../crds/optimizer.ts";
import type { Batch } from "../data/batches.ts";
import type { Tf } from "../engine/backend.ts";
import { forward } from "./forward.ts";
import { lossFunction } from "./losses.ts";
import { statisticValues } from "./metrics.ts";
import { type Objective, outputOf, targetsOf } from "./objective.ts";
import { type Gradient, type Optimizer, optimizerOf } from "./optimizer.ts";
import { penaltyOf } from "./penalty.ts";
import type { BatchValues, LocalStep, TrainStep } from "./train-step.ts";

export interface StepOptions extends Update {
  model: LayersModel;
  objective: Objective;
  seed: number;
  /** What is learned besides labels: made once of a batch's features, it mixes in what it says of the model's answer. */
  lesson?: ((features: Tensor) => (answer: Tensor, loss: Scalar) => Scalar) | undefined;
}

/** Trainable variables of the model, in order. */
function variablesOf(model: LayersModel): Variable[] {
  return model.trainableWeights.map((weight) => weight.read() as Variable);
}

/** The values of variables, as copies. */
export function valuesOf(variables: readonly Variable[]): Float32Array[] {
  return variables.map((variable) => Float32Array.from(variable.dataSync()));
}

export function setValues(tf: Tf, variables: readonly Variable[], values: readonly Float32Array[]): void {
  const fits = (variable: Variable, index: number) => variable.size === values[index]?.length;
  if (values.length !== variables.length || !variables.every(fits)) throw new RangeError("it is of another model");
  for (const [index, variable] of variables.entries()) {
    tf.tidy(() => variable.assign(tf.tensor(values[index] ?? [], variable.shape, "float32")));
  }
}

/** Puts averages into variables, and the former values back. */
function swapping(tf: Tf, variables: readonly Variable[], optimizer: Optimizer) {
  let trained: Float32Array[] | undefined;
  return {
    publish(): void {
      const averages = optimizer.averages(variables);
      if (averages === undefined || trained !== undefined) return;
      trained = valuesOf(variables);
      setValues(tf, variables, valuesOf(averages));
    },
    withdraw(): void {
      if (trained !== undefined) setValues(tf, variables, trained);
      trained = undefined;
    },
  };
}

export interface Computed {
  gradients: Gradient[];
  values: BatchValues;
}

/** Gradients and values of one batch; to be called within tf.tidy. */
export type GradientSource = (variables: Variable[], batch: Batch, step: number) => Computed;

/** Gradients of the mean loss. */
function ofMeanLoss(
  tf: Tf,
  { model, objective, seed, lesson }: StepOptions,
  variables: Variable[],
  batch: Batch,
  step: number,
): Computed {
  const loss = lossFunction(objective.loss, objective.lossOptions);
  const features = tf.tensor(batch.features, [batch.count, ...batch.exampleShape]);
  const weights = batch.weights === undefined ? undefined : tf.tensor1d(batch.weights);
  const mixed = lesson?.(features) ?? ((_: Tensor, mean: Scalar) => mean);
  let targets: Tensor | undefined;
  let predictions: Tensor | undefined;
  const { value, grads } = tf.variableGrads(() => {
    const answer = forward(tf, model, features, { seed, step });
    predictions = tf.keep(answer);
    targets ??= tf.keep(targetsOf(tf, objective, answer.shape, batch.labels));
    const penalty = penaltyOf(tf, model);
    const mean = mixed(answer, loss(tf, targets, answer, weights));
    return penalty === undefined ? mean : tf.add<Scalar>(mean, penalty);
  }, variables);
  const values: BatchValues = { loss: value.dataSync()[0] ?? NaN };
  if (targets !== undefined && predictions !== undefined) {
    const output = outputOf(model, objective);
    Object.assign(values, statisticValues(tf, objective.metrics, targets, predictions, output));
    tf.dispose([targets, predictions]);
  }
  return { gradients: variables.flatMap((variable) => gradientOf(variable, grads)), values };
}

function gradientOf(variable: Variable, gradients: Record<string, Tensor>): Gradient[] {
  const gradient = gradients[variable.name];
  return gradient === undefined ? [] : [{ variable, gradient }];
}

/** What a step is made of. */
export interface OpByOp extends Omit<TrainStep, "run" | "several"> {
  /** To be called within tf.tidy. */
  compute: (batch: Batch, step: number) => Computed;
  /** Changes the weights. */
  apply: (gradients: readonly Gradient[], step: number, rateFactor?: number) => void;
}

export function opByOp(tf: Tf, options: StepOptions, gradientsOf?: GradientSource): OpByOp {
  const { model } = options;
  const source: GradientSource = gradientsOf ?? ((...of) => ofMeanLoss(tf, options, ...of));
  const variables = variablesOf(model);
  const optimizer = optimizerOf(tf, options);
  const state = () => [...model.weights.map((weight) => weight.read() as Variable), ...optimizer.memory(variables)];
  return {
    compute: (batch, step) => source(variables, batch, step),
    apply: (gradients, step, rateFactor) => optimizer.apply(gradients, step, rateFactor),
    learningRate: (step) => optimizer.learningRate(step),
    ...swapping(tf, variables, optimizer),
    read: () => valuesOf(state()),
    write: (values) => setValues(tf, state(), values),
    dispose: () => optimizer.dispose(),
  };
}

/** `gradientsOf`: default, those of the mean loss. */
export function opByOpStep(tf: Tf, options: StepOptions, gradientsOf?: GradientSource): LocalStep {
  const { compute, apply, ...rest } = opByOp(tf, options, gradientsOf);
  return {
    ...rest,
    run: (batch, step, rateFactor) =>
      tf.tidy(() => {
        const { gradients, values } = compute(batch, step);
        apply(gradients, step, rateFactor);
        return values;
      }),
  };
}
