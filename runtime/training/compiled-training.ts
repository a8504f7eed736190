/** What compiled steps of all forms share: a program, the training's state in it, and the numbers that it is fed. */
import type { NamedTensorMap, Tensor } from "@tensorflow/tfjs";
import type { Program } from "../compiler/tensorflow/program.ts";
import type { Variable } from "../compiler/tensorflow/saved-model.ts";
import { INPUTS, type Training, type TrainingState, scalarNames } from "../compiler/training/train-function.ts";
import type { Batch } from "../data/batches.ts";
import { type Examples, sizeOf } from "../data/dataset.ts";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import type { StepOptions } from "./op-by-op-step.ts";
import type { BatchValues } from "./train-step.ts";
import { type UpdatePlan, scalarsOf, updateOfStep, updatePlan } from "./update.ts";

export interface CompiledStepOptions extends StepOptions {
  /** What is trained on. */
  examples: Examples;
}

/** What is compiled. */
export function trainingOf(options: CompiledStepOptions): Training {
  const { model, objective, examples } = options;
  const { exampleShape, labelShape = [], weights } = examples;
  return { model, objective, plan: updatePlan(options), exampleShape, labelShape, weighted: weights !== undefined };
}

/** The variables of a training. */
export const variablesOf = ({ state }: TrainingState) =>
  state.map(({ name, shape }): Variable => ({ name, dtype: "float32", shape }));

export class CompiledTraining {
  protected readonly tf: Tf;
  protected readonly program: Program;
  protected readonly examples: Examples;
  readonly #state: TrainingState;
  readonly #plan: UpdatePlan;
  readonly #seed: number;

  constructor(tf: Tf, options: CompiledStepOptions, state: TrainingState, program: Program) {
    this.tf = tf;
    this.program = program;
    this.examples = options.examples;
    this.#state = state;
    this.#plan = updatePlan(options);
    this.#seed = derivedSeed(options.seed, "dropout");
    this.#begin();
  }

  learningRate(step: number): number {
    return this.#plan.schedule(Math.floor(step / this.#plan.accumulation));
  }

  publish(): void {
    const values = this.read();
    const { state, weights } = this.#state;
    const averages = state.findIndex(({ name }) => name === `average of ${weights[0]?.name ?? ""}`);
    weights.forEach(({ variable, trainable }, index) => {
      const value = values[averages >= 0 && trainable ? averages + index : index];
      if (value !== undefined) this.tf.tidy(() => variable.assign(this.tf.tensor(value, variable.shape)));
    });
  }

  /** The model is not trained on; nothing of it need be put back. */
  withdraw(): void {}

  read(): Float32Array[] {
    return this.program.read();
  }

  write(values: readonly Float32Array[]): void {
    const { state } = this.#state;
    const fits =
      values.length === state.length && state.every(({ shape }, index) => sizeOf(shape) === values[index]?.length);
    if (!fits) throw new RangeError("it is of another model");
    const tensors = state.map(({ shape }, index) => this.tf.tensor(values[index] ?? [], [...shape], "float32"));
    this.program.write(tensors);
    this.tf.dispose(tensors);
  }

  dispose(): void {
    this.program.dispose();
  }

  /** Does this step only add gradients up? */
  protected accumulates(step: number): boolean {
    return updateOfStep(this.#plan, step) === undefined;
  }

  /** Features, labels and weights of a batch. */
  protected fedOfBatch({ count, exampleShape, features, labels, weights }: Batch | Examples): NamedTensorMap {
    if (!(features instanceof Float32Array)) throw new TypeError("these features are read one by one");
    const { labelShape = [] } = this.examples;
    return {
      [INPUTS.features]: this.tf.tensor(features, [count, ...exampleShape]),
      [INPUTS.labels]: this.tf.tensor(labels, [count, ...labelShape]),
      ...(weights === undefined ? {} : { [INPUTS.weights]: this.tf.tensor1d(weights) }),
    };
  }

  /** What random layers draw by, for `times` steps; without that dimension for one. */
  protected fedSeeds(step: number, times = 1): NamedTensorMap {
    const seeds = new Int32Array(2 * times);
    for (let time = 0; time < times; time += 1) seeds.set([this.#seed, step + time], 2 * time);
    return { [INPUTS.seed]: this.tf.tensor(seeds, times === 1 ? [2] : [times, 2], "int32") };
  }

  /** What updates are fed, for `times` steps; without that dimension for one. */
  protected fedScalars(step: number, rateFactor: number | undefined, times = 1): NamedTensorMap {
    const names = scalarNames(this.#plan);
    const scalars = new Float32Array(names.length * times);
    for (let time = 0; time < times; time += 1) {
      const numbers = this.#scalars(step + time, rateFactor);
      names.forEach((name, index) => (scalars[time * names.length + index] = numbers[name] ?? 0));
    }
    const shape = times === 1 ? [names.length] : [times, names.length];
    return { [INPUTS.scalars]: this.tf.tensor(scalars, shape) };
  }

  /** Values of each step of a call. Disposes what was fed. */
  protected valuesOf(signature: string, fed: NamedTensorMap): BatchValues[] {
    const outputs = this.program.call(signature, fed);
    const values = (outputs["values"] as Tensor).dataSync();
    this.tf.dispose([fed, outputs]);
    const names = this.#state.values;
    return Array.from({ length: values.length / names.length }, (_, time) =>
      Object.fromEntries(names.map((name, index) => [name, values[time * names.length + index] ?? NaN])),
    );
  }

  /** Gives the engine the model's weights. */
  #begin(): void {
    const { state, weights } = this.#state;
    this.write(
      state.map(({ shape, initial = 0 }, index) => {
        const weight = weights[index];
        return weight === undefined
          ? new Float32Array(sizeOf(shape)).fill(initial)
          : Float32Array.from(weight.variable.dataSync());
      }),
    );
  }

  #scalars(step: number, rateFactor?: number): Record<string, number> {
    const update = updateOfStep(this.#plan, step);
    if (update === undefined) return {};
    // The first update's weights are the first average.
    const keeps = update === 0 ? 0 : (this.#plan.averageDecay ?? 0);
    return { ...scalarsOf(this.#plan, update, rateFactor), averageKeeps: keeps, averageTakes: 1 - keeps };
  }
}
