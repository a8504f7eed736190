/** A step that is a graph of TensorFlow: forward, loss, gradients and update of all weights in one call. */
import type { NamedTensorMap } from "@tensorflow/tfjs";
import { gather } from "../compiler/expressions/shaping.ts";
import { Graph, type GraphFunction, nodesFor } from "../compiler/graph.ts";
import { type NotCompiled, expressed } from "../compiler/lowering/model.ts";
import { Program } from "../compiler/tensorflow/program.ts";
import { SavedModelWriter, type Variable } from "../compiler/tensorflow/saved-model.ts";
import { INPUTS, type TrainFunctions, trainFunctions } from "../compiler/training/train-function.ts";
import type { Batch } from "../data/batches.ts";
import type { Examples } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { type CompiledStepOptions, CompiledTraining, trainingOf, variablesOf } from "./compiled-training.ts";
import type { BatchValues, LocalStep, SeveralSteps } from "./train-step.ts";

/** Steps of one call. More of them gain little. */
const STEPS = 8;

/** A function of more nodes is called step by step: TensorFlow takes seconds to prepare a graph that has it many times. */
const NODES_LIMIT = 300;

/** Features of more bytes stay where they are, and are fed batch by batch. */
const RESIDENT_LIMIT = 512 * 1024 * 1024;

export type StepCompilation = { step: LocalStep; notCompiled?: never } | { step?: never; notCompiled: NotCompiled };

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
  const { train, accumulate } = functions;
  const kept = variablesOf(functions);
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

class CompiledStep extends CompiledTraining implements LocalStep {
  readonly several?: SeveralSteps;

  constructor(tf: Tf, options: CompiledStepOptions, functions: TrainFunctions, loaded: Program, resident: boolean) {
    super(tf, options, functions, loaded);
    if (!resident) return;
    const examples = this.fedOfBatch(options.examples);
    tf.dispose([loaded.call("load", examples), examples]);
    this.several = {
      count: stepsOf(functions),
      run: (rows, step, rateFactor) =>
        rows.length === 1
          ? rows.map((one) => this.#runRows(one, step, rateFactor))
          : this.#runSeveral(rows, step, rateFactor),
    };
  }

  run(batch: Batch, step: number, rateFactor?: number): BatchValues {
    const signature = this.accumulates(step) ? "accumulate" : "train";
    return this.#once(signature, this.fedOfBatch(batch), step, rateFactor);
  }

  #runRows(rows: Uint32Array, step: number, rateFactor?: number): BatchValues {
    const picked = { rows: this.tf.tensor1d(Int32Array.from(rows), "int32") };
    return this.#once(this.accumulates(step) ? "accumulateRows" : "trainRows", picked, step, rateFactor);
  }

  #runSeveral(rows: readonly Uint32Array[], step: number, rateFactor?: number): BatchValues[] {
    const size = rows[0]?.length ?? 0;
    const all = new Int32Array(size * rows.length);
    rows.forEach((one, index) => all.set(one, index * size));
    const picked = { rows: this.tf.tensor2d(all, [rows.length, size], "int32") };
    return this.#call("trainSeveral", picked, step, rateFactor, rows.length);
  }

  #once(signature: string, examples: NamedTensorMap, step: number, rateFactor?: number): BatchValues {
    return this.#call(signature, examples, step, rateFactor)[0] ?? {};
  }

  #call(signature: string, examples: NamedTensorMap, step: number, rateFactor?: number, times = 1): BatchValues[] {
    const fed = { ...examples, ...this.fedSeeds(step, times), ...this.fedScalars(step, rateFactor, times) };
    return this.valuesOf(signature, fed);
  }
}

/** The step as a graph, or why it cannot be one. The engine must be TensorFlow. */
export async function compileStep(tf: Tf, options: CompiledStepOptions): Promise<StepCompilation> {
  const { examples } = options;
  const compiled = expressed(() => ({ functions: trainFunctions(trainingOf(options)) }));
  if (compiled.notCompiled !== undefined) return { notCompiled: compiled.notCompiled };
  const { functions } = compiled;
  const resident = isResident(examples);
  const loaded = await program(tf, functions, examples, resident);
  return { step: new CompiledStep(tf, options, functions, loaded, resident) };
}
