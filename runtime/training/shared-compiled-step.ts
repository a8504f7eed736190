/** A step of several workers as two graphs of TensorFlow: gradients of a part, and the update by those of all parts. */
import type { Tensor } from "@tensorflow/tfjs";
import { type NotCompiled, expressed } from "../compiler/lowering/model.ts";
import { Program } from "../compiler/tensorflow/program.ts";
import { SavedModelWriter } from "../compiler/tensorflow/saved-model.ts";
import { PARCEL, type SharedFunctions, sharedFunctions } from "../compiler/training/shared-functions.ts";
import type { Batch } from "../data/batches.ts";
import type { Tf } from "../engine/backend.ts";
import { type CompiledStepOptions, CompiledTraining, trainingOf, variablesOf } from "./compiled-training.ts";
import type { Exchange } from "./exchange.ts";
import type { BatchValues, TrainStep } from "./train-step.ts";

type SharedCompilation = { step: TrainStep; notCompiled?: never } | { step?: never; notCompiled: NotCompiled };

class SharedCompiledStep extends CompiledTraining implements TrainStep {
  readonly #exchange: Exchange;

  constructor(tf: Tf, options: CompiledStepOptions, functions: SharedFunctions, program: Program, exchange: Exchange) {
    super(tf, options, functions, program);
    this.#exchange = exchange;
  }

  async run(batch: Batch, step: number, rateFactor?: number): Promise<BatchValues> {
    const { part, count } = this.#exchange.partOf(batch);
    const parcel = this.#compute(part, step);
    await this.#exchange.mean(parcel, count);
    const fed = { [PARCEL]: this.tf.tensor1d(parcel), ...this.fedScalars(step, rateFactor) };
    return this.valuesOf(this.accumulates(step) ? "accumulate" : "train", fed)[0] ?? {};
  }

  #compute(part: Batch, step: number): Float32Array {
    const fed = { ...this.fedOfBatch(part), ...this.fedSeeds(step) };
    const outputs = this.program.call("compute", fed);
    // A copy: the engine's own numbers go with the tensor. It is float32, as gradients are.
    const numbers = (outputs[PARCEL] as Tensor).dataSync().slice() as Float32Array;
    this.tf.dispose([fed, outputs]);
    return numbers;
  }
}

/** The step as graphs, or why it cannot be that. The engine must be TensorFlow. */
export async function compileSharedStep(
  tf: Tf,
  options: CompiledStepOptions,
  exchange: Exchange,
): Promise<SharedCompilation> {
  const compiled = expressed(() => ({ functions: sharedFunctions(trainingOf(options)) }));
  if (compiled.notCompiled !== undefined) return { notCompiled: compiled.notCompiled };
  const { functions } = compiled;
  const variables = variablesOf(functions);
  const writer = new SavedModelWriter(variables);
  writer.add("compute", functions.compute);
  writer.add("train", functions.train);
  if (functions.accumulate !== undefined) writer.add("accumulate", functions.accumulate);
  writer.addAccess(variables);
  const program = await Program.load(tf, writer);
  return { step: new SharedCompiledStep(tf, options, functions, program, exchange) };
}
