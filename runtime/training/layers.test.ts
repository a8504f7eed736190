import { Layer, PreprocessingStep } from "../../crds/model.ts";
import { type ModelDeclaration, checkModel, objectiveOf } from "./layers.ts";
import { checkLabels } from "./objective.ts";

const FLAT = { exampleShape: [64] };
const softmax = { dense: { units: 10, activation: "softmax" } };

function declaration(layers: object[], change: Partial<ModelDeclaration> = {}, steps: object[] = []): ModelDeclaration {
  return {
    preprocessing: steps.map((step) => PreprocessingStep.parse(step)),
    model: { layers: layers.map((layer) => Layer.parse(layer)) },
    loss: "sparseCategoricalCrossentropy",
    metrics: ["accuracy"],
    ...change,
  };
}

const image = [{ rescale: { scale: 0.0625 } }, { reshape: { shape: [8, 8, 1] } }];
const convolution = { conv2d: { filters: 4, kernelSize: [3, 3] } };

it("accepts a model that fits, and tells what it answers", () => {
  const layers = [convolution, { maxPooling2d: {} }, { flatten: {} }, { dropout: { rate: 0.5 } }, softmax];
  expect(checkModel(declaration(layers, {}, image), FLAT)).toEqual({ size: 10, activation: "softmax", labelSize: 1 });
});

const oneHot = [{ oneHot: { classes: 10 } }];
const squared: Partial<ModelDeclaration> = { loss: "meanSquaredError", metrics: [] };

it.each([
  [
    "a convolution of flat input",
    declaration([convolution, softmax]),
    "spec.model.layers[0].conv2d: needs an input of shape",
  ],
  [
    "dense without flatten",
    declaration([convolution, softmax], {}, image),
    "spec.model.layers[1].dense: needs a flat input, but it gets [6, 6, 4]",
  ],
  [
    "a window larger than its input",
    declaration([{ maxPooling2d: { poolSize: [9, 9] } }], {}, image),
    "spec.model.layers[0].maxPooling2d: a window of [9, 9] does not fit into [8, 8]",
  ],
  [
    "a shape of another size",
    declaration([softmax], {}, [{ reshape: { shape: [9, 7] } }]),
    "spec.preprocessing[0].reshape.shape: [9, 7] has 63 values, but an example has 64",
  ],
  ["two oneHot", declaration([softmax], {}, [...oneHot, ...oneHot]), "spec.preprocessing[1].oneHot"],
  ["a last layer that is not dense", declaration([{ dropout: { rate: 0.1 } }]), "spec.model.layers[0]: the last layer"],
  [
    "classes without softmax",
    declaration([{ dense: { units: 10 } }]),
    "spec.model.layers[0].dense: loss sparseCategoricalCrossentropy needs probabilities",
  ],
  ["one class", declaration([{ dense: { units: 1, activation: "softmax" } }]), "spec.model.layers[0].dense"],
  [
    "sparse loss of one-hot labels",
    declaration([softmax], {}, oneHot),
    "spec.loss: sparseCategoricalCrossentropy takes labels as they are",
  ],
  [
    "categorical loss of plain labels",
    declaration([softmax], { loss: "categoricalCrossentropy" }),
    "spec.loss: categoricalCrossentropy needs one-hot",
  ],
  [
    "as many classes as units do not fit",
    declaration([softmax], { loss: "categoricalCrossentropy" }, [{ oneHot: { classes: 3 } }]),
    "gives 10 numbers where a label has 3",
  ],
  [
    "binary loss without sigmoid",
    declaration([{ dense: { units: 1 } }], { loss: "binaryCrossentropy" }),
    "give it activation sigmoid",
  ],
  ["two values for one label", declaration([{ dense: { units: 2 } }], squared), "gives 2 numbers where a label has 1"],
  [
    "accuracy of values",
    declaration([{ dense: { units: 1 } }], { ...squared, metrics: ["accuracy"] }),
    "spec.metrics[0]: loss meanSquaredError has no classes",
  ],
  ["an error of class numbers", declaration([softmax], { metrics: ["meanSquaredError"] }), "spec.metrics[0]"],
])("refuses %s, naming the field", (_, model, message) => {
  expect(() => checkModel(model, FLAT)).toThrow(message);
  expect(() => checkModel(model, FLAT)).toThrow(expect.objectContaining({ reason: "InvalidSpec" }));
});

const labelled = (...labels: number[]) => ({
  features: new Float32Array(labels.length),
  labels: Float32Array.from(labels),
  exampleShape: [1],
  count: labels.length,
  source: "pvc://models/a.csv",
});

describe("Labels", () => {
  const classes = objectiveOf(declaration([softmax]));

  it.each([[0.5], [-1], [10]])("reject %d as one of ten classes, without quoting it", (label) => {
    const check = () => checkLabels(classes, 10, labelled(0, label));
    expect(check).toThrow("pvc://models/a.csv: the label of example 2 is no whole number from 0 to 9");
    expect(check).toThrow(expect.objectContaining({ exitCode: 65 }));
  });

  it("may be any number when values are learned, and 0 or 1 for the binary loss", () => {
    expect(() => checkLabels(objectiveOf(declaration([softmax], squared)), 1, labelled(0.5, -7))).not.toThrow();
    const binary = objectiveOf(declaration([softmax], { loss: "binaryCrossentropy" }));
    expect(() => checkLabels(binary, 1, labelled(0, 1))).not.toThrow();
    expect(() => checkLabels(binary, 1, labelled(2))).toThrow(/from 0 to 1/);
  });
});
