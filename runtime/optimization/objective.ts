/** What a model that is to be optimized was trained for. */
import type { LayersModel } from "@tensorflow/tfjs";
import { Failure } from "../failure.ts";
import type { Artefact } from "../store/artefact.ts";
import { type Objective, hasAccuracy } from "../training/objective.ts";

/** Activation of the model's last layer, by its Keras name. */
export function lastActivation(model: LayersModel): string {
  const layer = model.layers.at(-1);
  if (layer?.getClassName() === "Softmax") return "softmax";
  const activation = layer?.getConfig()["activation"];
  return typeof activation === "string" ? activation : "linear";
}

function inferred(model: LayersModel, shownAs: string): Objective {
  const activation = lastActivation(model);
  if (activation === "softmax") return { loss: "sparseCategoricalCrossentropy", metrics: [] };
  if (activation === "sigmoid" && model.outputs[0]?.shape.at(-1) === 1)
    return { loss: "binaryCrossentropy", metrics: [] };
  throw new Failure(
    "ModelUnsupported",
    `${shownAs} does not say what it was trained for, and its last layer is no softmax or sigmoid; use the artefact of a TrainingJob`,
  );
}

/**
 * The loss of the artefact's manifest, or one that follows from the last layer; its one metric is accuracy, where there
 * are classes. Throws Failure ModelUnsupported.
 */
export function objectiveOf(artefact: Artefact, model: LayersModel, shownAs: string): Objective {
  const objective = artefact.manifest?.training ?? inferred(model, shownAs);
  return { ...objective, metrics: hasAccuracy(objective) ? ["accuracy"] : [] };
}

/** Shape of one example that `model` takes; -1: open. Throws Failure ModelUnsupported. */
export function exampleShapeOf(model: LayersModel): number[] {
  const [input] = model.inputs;
  if (input === undefined || model.inputs.length !== 1 || model.outputs.length !== 1) {
    throw new Failure(
      "ModelUnsupported",
      "The model has several inputs or outputs; only models with one of each can be optimized",
    );
  }
  return input.shape.slice(1).map((size) => size ?? -1);
}
