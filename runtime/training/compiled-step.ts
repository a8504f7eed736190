/** A step that is a graph of TensorFlow: forward, loss, gradients and update of all weights in one call. */
import type { NamedTensorMap, Tensor } from "@tensorflow/tfjs";
import { gather } from "../compiler/expressions/shaping.ts";
import { Graph, type GraphFunction, nodesFor } from "../compiler/graph.ts";
import { type NotCompiled, expressed } from "../compiler/lowering/model.ts";
import { Program } from "../compiler/tensorflow/program.ts";
import { SavedModelWriter, type Variable } from "../compiler/tensorflow/saved-model.ts";
import { INPUTS, type TrainFunctions, scalarNames, trainFunctions } from "../compiler/training/train-function.ts";
import type { Batch } from "../data/batches.ts";
import { type Examples, sizeOf } from "../data/dataset.ts";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import type { StepOptions } from "./op-by-op-step.ts";
import type { BatchValues, SeveralSteps, TrainStep } from "./train-step.ts";
import { type UpdatePlan, scalarsOf, updateOfStep, updatePlan } from "./update.ts";

/** Steps of one call. More of them gain little. */
const STEPS = 8;

/** A function of more nodes is called step by step: TensorFlow takes seconds to prepare a graph that has it many times. */
const NODES_LIMIT = 300;

/** Features of more bytes stay where they are, and are fed batch by batch. */
const RESIDENT_LIMIT = 512 * 1024 * 1024;

export interface CompiledStepOptions extends StepOptions {
  /** What is trained on. */
  examples: Examples;
}

export type StepCompilation = { step: TrainStep; notCompiled?: never } | { step?: never; notCompiled: NotCompiled };

const isResident = ({ features }: Examples) =>
  features instanceof Float32Array && features.byteLength <= RESIDENT_LIMIT;

const variable = (name: string, shape: readonly number[]): Variable => ({
  name,
  dtype: "float32",
  shape: [-1, ...shape],
});

/** What the engine holds of the examples. */
function residentVariables({ exampleShape, labelShape = [], weights }: Examples): Variable[] {
  return [
    variable(INPUTS.features, exampleShape),
    variable(INPUTS.labels, labelShape),
    ...(weights === undefined ? [] : [variable(INPUTS.weights, [])]),
  ];
}

const held = (name: string) => `examples ${name}`;

/** Takes all examples. */
function loadFunction(examples: Examples): GraphFunction {
  const graph = new Graph();
  const inputs = residentVariables(examples).map(({ name, dtype, shape }) => ({
    name,
    value: graph.input(name, { dtype, shape }),
  }));
  return {
    inputs,
    outputs: [{ name: "done", value: graph.constant(1) }],
    updates: inputs.map(({ name, value }) => ({ name: held(name), value })),
  };
}

/** Picks a batch by the numbers of its examples. */
function pickFunction(examples: Examples): GraphFunction {
  const graph = new Graph();
  const rows = graph.input("rows", { dtype: "int32", shape: [-1] });
  return {
    inputs: [{ name: "rows", value: rows }],
    outputs: residentVariables(examples).map(({ name, ...type }) => ({
      name,
      value: gather(graph.weight(held(name), type), rows),
    })),
    updates: [],
  };
}

/** Steps of one call: several where all are of one kind, and small. */
function stepsOf({ train, accumulate }: TrainFunctions): number {
  const nodes = nodesFor([...train.outputs, ...train.updates].map(({ value }) => value));
  return accumulate === undefined && nodes.length <= NODES_LIMIT ? STEPS : 1;
}

function program(tf: Tf, functions: TrainFunctions, examples: Examples, resident: boolean): Promise<Program> {
  const { state, train, accumulate } = functions;
  const kept = state.map(({ name, shape }): Variable => ({ name, dtype: "float32", shape }));
  const data = resident ? residentVariables(examples).map((one) => ({ ...one, name: held(one.name) })) : [];
  const writer = new SavedModelWriter([...kept, ...data]);
  writer.add("train", train);
  if (accumulate !== undefined) writer.add("accumulate", accumulate);
  if (resident) {
    const pick = pickFunction(examples);
    writer.add("load", loadFunction(examples));
    writer.add("trainRows", train, pick);
    if (stepsOf(functions) > 1) writer.addRepeated("trainSeveral", train, STEPS, pick);
    if (accumulate !== undefined) writer.add("accumulateRows", accumulate, pick);
  }
  writer.addAccess(kept);
  return Program.load(tf, writer);
}

/** Calls the functions of a training, and keeps what they share with the model. */
class CompiledStep implements TrainStep {
  readonly several?: SeveralSteps;
  readonly #tf: Tf;
  readonly #options: CompiledStepOptions;
  readonly #plan: UpdatePlan;
  readonly #functions: TrainFunctions;
  readonly #program: Program;
  readonly #seed: number;

  constructor(tf: Tf, options: CompiledStepOptions, functions: TrainFunctions, loaded: Program, resident: boolean) {
    this.#tf = tf;
    this.#options = options;
    this.#plan = updatePlan(options);
    this.#functions = functions;
    this.#program = loaded;
    this.#seed = derivedSeed(options.seed, "dropout");
    if (!resident) return;
    this.several = {
      count: stepsOf(functions),
      run: (rows, step, rateFactor) =>
        rows.length === 1
          ? rows.map((one) => this.#runRows(one, step, rateFactor))
          : this.#runSeveral(rows, step, rateFactor),
    };
  }

  run(batch: Batch, step: number, rateFactor?: number): BatchValues {
    const { count, exampleShape, features, labels, weights } = batch;
    const { labelShape = [] } = this.#options.examples;
    const examples: NamedTensorMap = {
      [INPUTS.features]: this.#tf.tensor(features, [count, ...exampleShape]),
      [INPUTS.labels]: this.#tf.tensor(labels, [count, ...labelShape]),
      ...(weights === undefined ? {} : { [INPUTS.weights]: this.#tf.tensor1d(weights) }),
    };
    return (
      this.#call(this.#signature("train", "accumulate", step), { ...examples, ...this.#fed(step, 1, rateFactor) })[0] ??
      {}
    );
  }

  learningRate(step: number): number {
    return this.#plan.schedule(Math.floor(step / this.#plan.accumulation));
  }

  publish(): void {
    const values = this.read();
    const { state, weights } = this.#functions;
    const averages = state.findIndex(({ name }) => name === `average of ${weights[0]?.name ?? ""}`);
    weights.forEach(({ variable, trainable }, index) => {
      const value = values[averages >= 0 && trainable ? averages + index : index];
      if (value !== undefined) this.#tf.tidy(() => variable.assign(this.#tf.tensor(value, variable.shape)));
    });
  }

  /** The model is not trained on; nothing of it need be put back. */
  withdraw(): void {}

  read(): Float32Array[] {
    return this.#program.read();
  }

  write(values: readonly Float32Array[]): void {
    const { state } = this.#functions;
    const fits =
      values.length === state.length && state.every(({ shape }, index) => sizeOf(shape) === values[index]?.length);
    if (!fits) throw new RangeError("it is of another model");
    const tensors = state.map(({ shape }, index) => this.#tf.tensor(values[index] ?? [], [...shape], "float32"));
    this.#program.write(tensors);
    this.#tf.dispose(tensors);
  }

  /** Gives the engine the model's weights and the examples. */
  begin(): void {
    const { state, weights } = this.#functions;
    this.write(
      state.map(({ shape, initial = 0 }, index) => {
        const weight = weights[index];
        return weight === undefined
          ? new Float32Array(sizeOf(shape)).fill(initial)
          : Float32Array.from(weight.variable.dataSync());
      }),
    );
    const { features, labels, weights: shares, exampleShape, labelShape = [], count } = this.#options.examples;
    if (this.several === undefined || !(features instanceof Float32Array)) return;
    const tensors: NamedTensorMap = {
      [INPUTS.features]: this.#tf.tensor(features, [count, ...exampleShape]),
      [INPUTS.labels]: this.#tf.tensor(labels, [count, ...labelShape]),
      ...(shares === undefined ? {} : { [INPUTS.weights]: this.#tf.tensor1d(shares) }),
    };
    this.#tf.dispose([this.#program.call("load", tensors), tensors]);
  }

  dispose(): void {
    this.#program.dispose();
  }

  #signature(train: string, accumulate: string, step: number): string {
    return updateOfStep(this.#plan, step) === undefined ? accumulate : train;
  }

  #runRows(rows: Uint32Array, step: number, rateFactor?: number): BatchValues {
    const picked = { rows: this.#tf.tensor1d(Int32Array.from(rows), "int32") };
    const signature = this.#signature("trainRows", "accumulateRows", step);
    return this.#call(signature, { ...picked, ...this.#fed(step, 1, rateFactor) })[0] ?? {};
  }

  #runSeveral(rows: readonly Uint32Array[], step: number, rateFactor?: number): BatchValues[] {
    const size = rows[0]?.length ?? 0;
    const all = new Int32Array(size * rows.length);
    rows.forEach((one, index) => all.set(one, index * size));
    const picked = { rows: this.#tf.tensor2d(all, [rows.length, size], "int32") };
    return this.#call("trainSeveral", { ...picked, ...this.#fed(step, rows.length, rateFactor) });
  }

  /** What is fed besides examples, for `times` steps; without that dimension for one. */
  #fed(step: number, times: number, rateFactor?: number): NamedTensorMap {
    const names = scalarNames(this.#plan);
    const scalars = new Float32Array(names.length * times);
    const seeds = new Int32Array(2 * times);
    for (let time = 0; time < times; time += 1) {
      const numbers = this.#scalars(step + time, rateFactor);
      names.forEach((name, index) => (scalars[time * names.length + index] = numbers[name] ?? 0));
      seeds.set([this.#seed, step + time], 2 * time);
    }
    const shaped = (last: number) => (times === 1 ? [last] : [times, last]);
    return {
      [INPUTS.scalars]: this.#tf.tensor(scalars, shaped(names.length)),
      [INPUTS.seed]: this.#tf.tensor(seeds, shaped(2), "int32"),
    };
  }

  #scalars(step: number, rateFactor?: number): Record<string, number> {
    const update = updateOfStep(this.#plan, step);
    if (update === undefined) return {};
    // The first update's weights are the first average.
    const keeps = update === 0 ? 0 : (this.#plan.averageDecay ?? 0);
    return { ...scalarsOf(this.#plan, update, rateFactor), averageKeeps: keeps, averageTakes: 1 - keeps };
  }

  /** Values of each step. Disposes what was fed. */
  #call(signature: string, fed: NamedTensorMap): BatchValues[] {
    const outputs = this.#program.call(signature, fed);
    const values = (outputs["values"] as Tensor).dataSync();
    this.#tf.dispose([fed, outputs]);
    const names = this.#functions.values;
    return Array.from({ length: values.length / names.length }, (_, time) =>
      Object.fromEntries(names.map((name, index) => [name, values[time * names.length + index] ?? NaN])),
    );
  }
}

/** The step as a graph, or why it cannot be one. The engine must be TensorFlow. */
export async function compileStep(tf: Tf, options: CompiledStepOptions): Promise<StepCompilation> {
  const { model, objective, examples } = options;
  const { exampleShape, labelShape = [], weights } = examples;
  const training = {
    model,
    objective,
    plan: updatePlan(options),
    exampleShape,
    labelShape,
    weighted: weights !== undefined,
  };
  const compiled = expressed(() => ({ functions: trainFunctions(training) }));
  if (compiled.notCompiled !== undefined) return { notCompiled: compiled.notCompiled };
  const { functions } = compiled;
  const resident = isResident(examples);
  const loaded = await program(tf, functions, examples, resident);
  const step = new CompiledStep(tf, options, functions, loaded, resident);
  step.begin();
  return { step };
}
