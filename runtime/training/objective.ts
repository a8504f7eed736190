/** What training minimizes and reports, and what that asks of the last layer and of the labels. */
import type { Tensor2D } from "@tensorflow/tfjs";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";

/** Loss, metrics and form of the labels, as an artefact records them. */
export type Objective = NonNullable<ArtefactManifest["training"]>;

export interface ModelOutput {
  /** Numbers that the model answers for one example. */
  size: number;
  /** Activation of the last layer, by its Keras name. */
  activation: string;
}

function invalid(field: string, message: string): Failure {
  return new Failure("InvalidSpec", `${field}: ${message}`);
}

/** Are there classes to be right or wrong about? */
export function hasAccuracy(objective: Objective): boolean {
  const { loss, oneHotClasses } = objective;
  return loss.endsWith("Crossentropy") || oneHotClasses !== undefined;
}

/** Are labels numbers of the output's form, rather than numbers of classes? */
function labelsAreClasses(objective: Objective): boolean {
  return objective.loss === "sparseCategoricalCrossentropy" || objective.oneHotClasses !== undefined;
}

function checkLoss({ loss, oneHotClasses }: Objective, output: ModelOutput, lastLayer: string): void {
  const { size, activation } = output;
  if (loss === "sparseCategoricalCrossentropy" && oneHotClasses !== undefined) {
    throw invalid(
      "spec.loss",
      "sparseCategoricalCrossentropy takes labels as they are; remove oneHot, or use categoricalCrossentropy",
    );
  }
  if (loss === "categoricalCrossentropy" && oneHotClasses === undefined) {
    throw invalid("spec.loss", "categoricalCrossentropy needs one-hot labels; add oneHot to spec.preprocessing");
  }
  if (loss.endsWith("ategoricalCrossentropy") && (activation !== "softmax" || size < 2)) {
    throw invalid(
      lastLayer,
      `loss ${loss} needs probabilities of at least two classes; give it activation softmax and a unit for each class`,
    );
  }
  if (loss === "binaryCrossentropy" && activation !== "sigmoid" && activation !== "hardSigmoid") {
    throw invalid(lastLayer, "loss binaryCrossentropy needs probabilities; give it activation sigmoid");
  }
}

/** Throws Failure InvalidSpec when the last layer, named `lastLayer`, does not fit loss, labels and metrics. */
export function checkObjective(objective: Objective, output: ModelOutput, lastLayer: string): void {
  checkLoss(objective, output, lastLayer);
  const expected = objective.oneHotClasses ?? (labelsAreClasses(objective) ? output.size : 1);
  if (output.size !== expected) {
    throw invalid(lastLayer, `gives ${output.size} numbers where a label has ${expected}; give it ${expected} units`);
  }
  for (const [index, metric] of objective.metrics.entries()) {
    const field = `spec.metrics[${index}]`;
    if (metric === "accuracy" && !hasAccuracy(objective)) {
      throw invalid(field, `loss ${objective.loss} has no classes; use meanSquaredError or meanAbsoluteError`);
    }
    if (metric !== "accuracy" && objective.loss === "sparseCategoricalCrossentropy") {
      throw invalid(
        field,
        "needs labels in the form of the output; use accuracy, or oneHot with categoricalCrossentropy",
      );
    }
  }
}

/** Throws Failure DataRejected when a label does not fit the objective. */
export function checkLabels(objective: Objective, outputSize: number, dataset: Dataset): void {
  const classes = labelsAreClasses(objective) ? outputSize : objective.loss === "binaryCrossentropy" ? 2 : undefined;
  if (classes === undefined) return;
  const wrong = dataset.labels.findIndex((label) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (wrong === -1) return;
  throw new Failure(
    "DataRejected",
    `${dataset.source}: the label of example ${wrong + 1} is no whole number from 0 to ${classes - 1}; correct it, or the number of classes`,
  );
}

/** Labels in the form of the model's output: [count, size]. */
export function targetsOf(tf: Tf, objective: Objective, outputSize: number, labels: Float32Array): Tensor2D {
  if (!labelsAreClasses(objective)) return tf.tensor2d(labels, [labels.length, 1]);
  const targets = new Float32Array(labels.length * outputSize);
  labels.forEach((label, index) => {
    targets[index * outputSize + label] = 1;
  });
  return tf.tensor2d(targets, [labels.length, outputSize]);
}
