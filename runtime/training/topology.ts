/** A model by Keras' JSON, with weights that begin as its initializers say. */
import type { TrainingRun } from "../../crds/contract/run.ts";
import { type Examples, sizeOf } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { parseJson } from "../formats/json.ts";
import { buildKerasTopology } from "../formats/keras/keras-model.ts";
import { unsupported } from "../formats/unsupported.ts";
import { lastActivation } from "../optimization/objective.ts";
import { type BegunModel, checkExamples } from "./base.ts";
import { initialize } from "./initial-weights.ts";
import { applied, objectiveOf, preprocessingLayers, shapeOfPrepared } from "./layers.ts";
import { checkObjective } from "./objective.ts";
import { fitSteps } from "./preprocessing.ts";

const FIELD = "spec.model.topology";

/**
 * Builds the declared model; steps on features come before its own layers.
 * Throws Failure: InvalidSpec, ModelUnsupported, DataRejected.
 */
export async function modelFromTopology(
  tf: Tf,
  training: TrainingRun["training"],
  topology: string,
  train: Examples,
): Promise<BegunModel> {
  const { preprocessing, seed } = training;
  const exampleShape = shapeOfPrepared(preprocessing, train.exampleShape);
  const { model: own, serialized } = await buildKerasTopology(tf, parseJson(Buffer.from(topology), FIELD), FIELD);
  if (own.inputs.length !== 1 || own.outputs.length !== 1)
    throw unsupported(FIELD, "has several inputs or outputs; a training has one of each");
  initialize(tf, own, serialized, seed, FIELD);
  checkExamples(own, { exampleShape, source: train.source }, FIELD);
  const size = own.outputs[0]?.shape.at(-1) ?? 1;
  const output = { size, activation: lastActivation(own), labelSize: sizeOf(train.labelShape ?? []) };
  checkObjective(objectiveOf(training), output, FIELD);
  const steps = preprocessingLayers(tf, preprocessing, fitSteps(preprocessing, train));
  if (steps.length === 0) return { model: own, output };
  const input = tf.input({ shape: [...train.exampleShape], name: "examples" });
  // A model is a layer, and its own layers stay in it.
  return { model: tf.model({ inputs: input, outputs: applied([...steps, own], input), name: "prepared" }), output };
}
