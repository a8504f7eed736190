/** What training minimizes and reports, and what that asks of the last layer and of the labels. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { Metric } from "../../crds/objective.ts";
import type { Examples } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";

/** Loss, metrics and form of the labels, as an artefact records them. */
export type Objective = NonNullable<ArtefactManifest["training"]>;

export interface ModelOutput {
  /** Numbers that the model answers for one example. */
  size: number;
  /** Activation of the last layer, by its Keras name. */
  activation: string;
  /** Numbers in the label of one example; default 1. */
  labelSize?: number;
}

function invalid(field: string, message: string): Failure {
  return new Failure("InvalidSpec", `${field}: ${message}`);
}

const BINARY = ["binaryCrossentropy", "hinge", "squaredHinge"];

/** Are there classes to be right or wrong about? */
export function hasAccuracy({ loss, oneHotClasses }: Objective): boolean {
  return loss.endsWith("rossentropy") || loss.endsWith("inge") || oneHotClasses !== undefined;
}

/** Are labels numbers of classes that become vectors of the output's size? */
export function labelsAreClasses({ loss, oneHotClasses }: Objective): boolean {
  return loss === "sparseCategoricalCrossentropy" || oneHotClasses !== undefined;
}

/** What losses and metrics depend on besides targets and predictions. */
export function outputOf({ outputs }: LayersModel, { loss, lossOptions }: Objective) {
  return { loss, lossOptions, size: outputs[0]?.shape.at(-1) ?? 1 };
}

const SQUASHED = ["softmax", "sigmoid", "hardSigmoid", "logSoftmax"];

function checkActivation({ loss, lossOptions }: Objective, { size, activation }: ModelOutput, lastLayer: string): void {
  const categorical = loss.endsWith("ategoricalCrossentropy");
  if (categorical && size < 2) {
    throw invalid(lastLayer, `loss ${loss} needs at least two classes; give it a unit for each class`);
  }
  if (lossOptions?.fromLogits === true) {
    if (!SQUASHED.includes(activation)) return;
    throw invalid(lastLayer, `lossOptions.fromLogits takes logits, and ${activation} gives none; remove either`);
  }
  if (categorical && activation !== "softmax") {
    throw invalid(
      lastLayer,
      `loss ${loss} needs probabilities of at least two classes; give it activation softmax, or set lossOptions.fromLogits`,
    );
  }
  if (loss === "binaryCrossentropy" && activation !== "sigmoid" && activation !== "hardSigmoid") {
    throw invalid(
      lastLayer,
      "loss binaryCrossentropy needs probabilities; give it activation sigmoid, or set lossOptions.fromLogits",
    );
  }
}

function checkLoss(objective: Objective, output: ModelOutput, lastLayer: string): void {
  const { loss, oneHotClasses } = objective;
  if (loss === "sparseCategoricalCrossentropy" && oneHotClasses !== undefined) {
    throw invalid(
      "spec.loss",
      "sparseCategoricalCrossentropy takes labels as they are; remove oneHot, or use categoricalCrossentropy",
    );
  }
  if (loss === "categoricalCrossentropy" && oneHotClasses === undefined && (output.labelSize ?? 1) === 1) {
    throw invalid("spec.loss", "categoricalCrossentropy needs one-hot labels; add oneHot to spec.preprocessing");
  }
  checkActivation(objective, output, lastLayer);
}

const OF_CLASSES: Metric[] = ["accuracy", "top5Accuracy"];

/** Why the metric says nothing about this objective. */
function metricProblem(metric: Metric, objective: Objective, { size }: ModelOutput): string | undefined {
  const sparse = objective.loss === "sparseCategoricalCrossentropy";
  if (OF_CLASSES.includes(metric) && !hasAccuracy(objective)) {
    return `loss ${objective.loss} has no classes; use meanSquaredError or meanAbsoluteError`;
  }
  if ((metric === "top5Accuracy" || metric === "categoricalAccuracy") && size < 2) {
    return "needs an output for each class; use accuracy or binaryAccuracy";
  }
  if (metric === "sparseCategoricalAccuracy" && !sparse)
    return "needs loss sparseCategoricalCrossentropy; use accuracy";
  if (sparse && !OF_CLASSES.includes(metric) && metric !== "sparseCategoricalAccuracy") {
    return "needs labels in the form of the output; use accuracy, or oneHot with categoricalCrossentropy";
  }
  return undefined;
}

/** Throws Failure InvalidSpec when the last layer, named `lastLayer`, does not fit loss, labels and metrics. */
export function checkObjective(objective: Objective, output: ModelOutput, lastLayer: string): void {
  checkLoss(objective, output, lastLayer);
  const expected = objective.oneHotClasses ?? (labelsAreClasses(objective) ? output.size : (output.labelSize ?? 1));
  if (output.size !== expected) {
    throw invalid(lastLayer, `gives ${output.size} numbers where a label has ${expected}; give it ${expected} units`);
  }
  for (const [index, metric] of objective.metrics.entries()) {
    const problem = metricProblem(metric, objective, output);
    if (problem !== undefined) throw invalid(`spec.metrics[${index}]`, problem);
  }
}

/** Throws Failure DataRejected when a label does not fit the objective. */
export function checkLabels(objective: Objective, outputSize: number, dataset: Examples): void {
  const classes = labelsAreClasses(objective) ? outputSize : BINARY.includes(objective.loss) ? 2 : undefined;
  if (classes === undefined) return;
  const wrong = dataset.labels.findIndex((label) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (wrong === -1) return;
  throw new Failure(
    "DataRejected",
    `${dataset.source}: the label of example ${wrong + 1} is no whole number from 0 to ${classes - 1}; correct it, or the number of classes`,
  );
}

/**
 * The examples, weighted by their classes besides their own weights. Throws Failure InvalidSpec when there are no
 * classes.
 */
export function withClassWeights(
  objective: Objective,
  examples: Examples,
  classWeights: Readonly<Record<string, number>> | undefined,
): Examples {
  if (classWeights === undefined) return examples;
  if (!hasAccuracy(objective) || (examples.labelShape ?? []).length > 0) {
    throw invalid("spec.classWeights", `loss ${objective.loss} has no classes; remove it`);
  }
  const { labels, weights } = examples;
  return { ...examples, weights: labels.map((label, index) => (classWeights[label] ?? 1) * (weights?.[index] ?? 1)) };
}

/** Labels in the form of the model's output: [count, …, size]. */
export function targetsOf(tf: Tf, objective: Objective, outputShape: readonly number[], labels: Float32Array): Tensor {
  const [count = 0, ...shape] = outputShape;
  if (!labelsAreClasses(objective)) return tf.tensor(labels, [count, ...shape], "float32");
  const size = shape.at(-1) ?? 1;
  const targets = new Float32Array(labels.length * size);
  labels.forEach((label, index) => {
    targets[index * size + label] = 1;
  });
  return tf.tensor(targets, [count, ...shape], "float32");
}
