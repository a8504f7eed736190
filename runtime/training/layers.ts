/** The declared model, made of tfjs layers. Steps on features become its first layers, so that it takes raw inputs. */
import type { LayersModel, SymbolicTensor, layers } from "@tensorflow/tfjs";
import type { Layer, PreprocessingStep } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import { type Examples, sizeOf } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { layerClass } from "../formats/layers/definition.ts";
import { normalization } from "../formats/layers/normalization.ts";
import { registerLayers } from "../formats/layers/register.ts";
import { Draws, declaredLayer } from "./declared-layer.ts";
import type { FittedSteps, Statistics } from "./preprocessing.ts";
import { type ModelOutput, type Objective, checkObjective } from "./objective.ts";
import { shapeAfterLayer, shapeAfterStep } from "./shapes.ts";

type TfLayer = layers.Layer;

/** The part of a specification that the model depends on. */
export interface ModelDeclaration {
  preprocessing: readonly PreprocessingStep[];
  model: { layers?: readonly Layer[] | undefined };
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
  return checkLayers(declaration, shapeOfPrepared(declaration.preprocessing, exampleShape), labelShape);
}

/** Shape of an example after the steps on features. Throws Failure InvalidSpec naming the field. */
export function shapeOfPrepared(steps: readonly PreprocessingStep[], exampleShape: readonly number[]): number[] {
  return steps.reduce<number[]>(
    (before, step, index) => shapeAfterStep(step, before, `spec.preprocessing[${index}]`),
    [...exampleShape],
  );
}

/** As checkModel, for layers that get examples of this shape. */
export function checkLayers(
  declaration: ModelDeclaration,
  input: readonly number[],
  labelShape: readonly number[],
): ModelOutput {
  const { layers = [] } = declaration.model;
  layers.reduce<readonly number[]>(
    (before, layer, index) => shapeAfterLayer(layer, before, `spec.model.layers[${index}]`),
    input,
  );
  const field = `spec.model.layers[${layers.length - 1}]`;
  const dense = layers.at(-1)?.dense;
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

/** A layer of Keras: (x - mean) / sqrt(variance). */
function normalizationLayer(tf: Tf, name: string, { centre, spread }: Statistics): TfLayer {
  const Normalization = layerClass(tf, normalization);
  const variance = spread.map((one) => one * one);
  // tfjs declares registered classes as what can be saved; this one is a layer.
  return new Normalization({ name, axis: [-1], mean: centre, variance }) as TfLayer;
}

/** The steps on features as layers; `fitted`: what they have learned. */
export function preprocessingLayers(tf: Tf, steps: readonly PreprocessingStep[], fitted: FittedSteps): TfLayer[] {
  return steps.flatMap((step, index): TfLayer[] => {
    const [kind, settings] = only(step);
    const statistics = fitted[index];
    if (statistics !== undefined) return [normalizationLayer(tf, `${kind}_${index}`, statistics)];
    if (kind === "rescale") return [tf.layers.rescaling({ name: `rescale_${index}`, ...settings })];
    if (kind === "reshape") return [tf.layers.reshape({ name: `reshape_${index}`, targetShape: settings.shape })];
    return [];
  });
}

/** Layers whose gradients tfjs has not for wasm. */
const NOT_ON_WASM: readonly string[] = ["depthwiseConv2d", "separableConv2d", "embedding"];

/** Throws Failure ModelUnsupported for a layer that this engine cannot train. */
function checkEngine(tf: Tf, layers: readonly Layer[]): void {
  const index = layers.findIndex((layer) => NOT_ON_WASM.includes(only(layer)[0]));
  const [layer] = layers.slice(index, index + 1);
  if (tf.getBackend() !== "wasm" || index === -1 || layer === undefined) return;
  throw new Failure(
    "ModelUnsupported",
    `spec.model.layers[${index}].${only(layer)[0]}: the Wasm engine cannot train this layer; set spec.runtime.engine: TensorFlow`,
  );
}

/**
 * Builds the model with weights drawn by the seed: [batch, ...exampleShape] to [batch, size]. `fitted`: what the steps
 * have learned. Throws Failure ModelUnsupported.
 */
export function buildModel(
  tf: Tf,
  declaration: ModelDeclaration,
  exampleShape: readonly number[],
  seed: number,
  fitted: FittedSteps = [],
): LayersModel {
  registerLayers(tf);
  const input = tf.input({ shape: [...exampleShape], name: "input" });
  const { layers = [] } = declaration.model;
  const chain = [...preprocessingLayers(tf, declaration.preprocessing, fitted), ...declaredLayers(tf, layers, seed)];
  return tf.model({ inputs: input, outputs: applied(chain, input), name: "model" });
}

/** The layers with names of their own, the last one's `output`. Throws Failure ModelUnsupported. */
export function declaredLayers(
  tf: Tf,
  layers: readonly Layer[],
  seed: number,
  taken: ReadonlySet<string> = new Set(),
): TfLayer[] {
  checkEngine(tf, layers);
  return layers.map((layer, index) => {
    let name = index === layers.length - 1 ? "output" : `${only(layer)[0]}_${index}`;
    while (taken.has(name)) name += "_tuned";
    return declaredLayer(tf, layer, name, new Draws(tf, seed, index));
  });
}

/** What the layers make of the tensor, one after the other. */
export function applied(chain: readonly TfLayer[], input: SymbolicTensor): SymbolicTensor {
  // A layer applied to one symbolic tensor gives one.
  return chain.reduce<SymbolicTensor>((tensor, layer) => layer.apply(tensor) as SymbolicTensor, input);
}
