/** The declared model, made of tfjs layers. Steps on features become its first layers, so that it takes raw inputs. */
import type { LayersModel, SymbolicTensor, layers } from "@tensorflow/tfjs";
import type { Layer, PreprocessingStep } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import { type Examples, sizeOf } from "../data/dataset.ts";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { type ModelOutput, type Objective, checkObjective } from "./objective.ts";
import { shapeAfterLayer, shapeAfterStep } from "./shapes.ts";

type TfLayer = layers.Layer;

/** The part of a specification that the model depends on. */
export interface ModelDeclaration {
  preprocessing: readonly PreprocessingStep[];
  model: { layers: readonly Layer[] };
  loss: Objective["loss"];
  lossOptions?: Objective["lossOptions"];
  metrics: Objective["metrics"];
}

export function objectiveOf({ preprocessing, loss, lossOptions, metrics }: ModelDeclaration): Objective {
  const steps = preprocessing.flatMap((step, index) => (step.oneHot === undefined ? [] : [{ ...step.oneHot, index }]));
  const [oneHot, second] = steps;
  if (second !== undefined) {
    throw new Failure(
      "InvalidSpec",
      `spec.preprocessing[${second.index}].oneHot: labels are one-hot already; remove it`,
    );
  }
  return {
    loss,
    ...(lossOptions === undefined ? {} : { lossOptions }),
    metrics: [...metrics],
    ...(oneHot === undefined ? {} : { oneHotClasses: oneHot.classes }),
  };
}

/**
 * Checks the declaration against the shape of an example, and returns what the model answers.
 * Throws Failure InvalidSpec naming the field.
 */
export function checkModel(
  declaration: ModelDeclaration,
  { exampleShape, labelShape = [] }: Pick<Examples, "exampleShape" | "labelShape">,
): ModelOutput {
  const { preprocessing, model } = declaration;
  let shape = [...exampleShape];
  for (const [index, step] of preprocessing.entries())
    shape = shapeAfterStep(step, shape, `spec.preprocessing[${index}]`);
  for (const [index, layer] of model.layers.entries())
    shape = shapeAfterLayer(layer, shape, `spec.model.layers[${index}]`);
  const field = `spec.model.layers[${model.layers.length - 1}]`;
  const last = model.layers.at(-1);
  const dense = last?.dense;
  if (dense === undefined) {
    throw new Failure(
      "InvalidSpec",
      `${field}: the last layer gives the answer that the loss judges; make it a dense layer`,
    );
  }
  const output = { size: dense.units, activation: dense.activation, labelSize: sizeOf(labelShape) };
  checkObjective(objectiveOf(declaration), output, `${field}.dense`);
  return output;
}

function initializer(tf: Tf, seed: number, position: number) {
  return tf.initializers.glorotUniform({ seed: derivedSeed(seed, "weights", position) });
}

function tfLayer(tf: Tf, layer: Layer, name: string, seed: number, position: number): TfLayer {
  const [kind, settings] = only(layer);
  switch (kind) {
    case "dense": {
      const { units, activation, useBias } = settings;
      return tf.layers.dense({ name, units, activation, useBias, kernelInitializer: initializer(tf, seed, position) });
    }
    case "conv2d": {
      const { filters, kernelSize, strides, padding, activation, useBias } = settings;
      const kernelInitializer = initializer(tf, seed, position);
      return tf.layers.conv2d({
        name,
        filters,
        kernelSize,
        strides: pair(strides),
        padding,
        activation,
        useBias,
        kernelInitializer,
      });
    }
    case "maxPooling2d": {
      const { poolSize, strides = poolSize, padding } = settings;
      return tf.layers.maxPooling2d({ name, poolSize: pair(poolSize), strides: pair(strides), padding });
    }
    case "flatten":
      return tf.layers.flatten({ name });
    case "dropout":
      return tf.layers.dropout({ name, rate: settings.rate });
  }
}

function pair([height = 1, width = 1]: readonly number[]): [number, number] {
  return [height, width];
}

function preprocessingLayers(tf: Tf, steps: readonly PreprocessingStep[]): TfLayer[] {
  return steps.flatMap((step, index): TfLayer[] => {
    const [kind, settings] = only(step);
    if (kind === "rescale") return [tf.layers.rescaling({ name: `rescale_${index}`, ...settings })];
    if (kind === "reshape") return [tf.layers.reshape({ name: `reshape_${index}`, targetShape: settings.shape })];
    return [];
  });
}

/** Builds the model with weights drawn by the seed: [batch, ...exampleShape] to [batch, size]. */
export function buildModel(
  tf: Tf,
  declaration: ModelDeclaration,
  exampleShape: readonly number[],
  seed: number,
): LayersModel {
  const input = tf.input({ shape: [...exampleShape], name: "input" });
  const declared = declaration.model.layers.map((layer, index, all) => {
    const name = index === all.length - 1 ? "output" : `${only(layer)[0]}_${index}`;
    return tfLayer(tf, layer, name, seed, index);
  });
  const chain = [...preprocessingLayers(tf, declaration.preprocessing), ...declared];
  // A layer applied to one symbolic tensor gives one.
  const output = chain.reduce<SymbolicTensor>((tensor, layer) => layer.apply(tensor) as SymbolicTensor, input);
  return tf.model({ inputs: input, outputs: output, name: "model" });
}
