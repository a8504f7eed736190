/** A model that learns on: a trained one, part of which may stay as it is, with declared layers behind it. */
import type { LayersModel, SymbolicTensor, layers } from "@tensorflow/tfjs";
import type { TrainingRun } from "../../crds/contract/run.ts";
import type { Examples } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { loadLayers } from "../formats/model.ts";
import { allowsDerivatives } from "../optimization/licence.ts";
import { exampleShapeOf, lastActivation } from "../optimization/objective.ts";
import { type Artefact, openArtefact } from "../store/artefact.ts";
import { resolveInput } from "../store/uri.ts";
import { applied, checkLayers, declaredLayers, objectiveOf } from "./layers.ts";
import { type ModelOutput, checkObjective } from "./objective.ts";

type Training = TrainingRun["training"];
type Base = NonNullable<Training["model"]["base"]>;

export interface BegunModel {
  model: LayersModel;
  output: ModelOutput;
  /** Digest of the model that it was made from. */
  parent?: string;
}

const show = (shape: readonly number[]) => `[${shape.join(", ")}]`;

function namesOf(model: LayersModel): string {
  const names = model.layers.map(({ name }) => name);
  return names.length > 20 ? `${names.slice(0, 20).join(", ")}, …` : names.join(", ");
}

/** Throws Failure InvalidSpec when the model has no layer of this name. */
function layerOf(model: LayersModel, name: string, field: string): layers.Layer {
  const found = model.layers.find((layer) => layer.name === name);
  if (found !== undefined) return found;
  throw new Failure("InvalidSpec", `${field}: the base has no layer ${name}; it has ${namesOf(model)}`);
}

/** What the base answers after the last layer that is kept. */
function keptOutput(model: LayersModel, { upTo }: Base): SymbolicTensor {
  const [whole] = model.outputs;
  const output = upTo === undefined ? whole : layerOf(model, upTo, "spec.model.base.upTo").output;
  if (output !== undefined && !Array.isArray(output)) return output;
  throw new Failure("InvalidSpec", "spec.model.base.upTo: the layer has several outputs; name one with one output");
}

/** Throws Failure: InvalidSpec, ModelUnsupported. */
function freeze(tf: Tf, model: LayersModel, { freeze: names }: Base): void {
  for (const [index, name] of names.entries()) {
    const field = `spec.model.base.freeze[${index}]`;
    const layer = layerOf(model, name, field);
    if (tf.getBackend() === "wasm" && layer.getClassName() === "BatchNormalization") {
      throw new Failure(
        "ModelUnsupported",
        `${field}: the Wasm engine cannot freeze a BatchNormalization layer; set spec.runtime.engine: TensorFlow`,
      );
    }
    layer.trainable = false;
  }
  if (model.trainableWeights.length > 0) return;
  throw new Failure("InvalidSpec", "spec.model.base.freeze: nothing is left to learn; freeze fewer layers");
}

function checkLicence({ manifest }: Artefact, uri: string): void {
  const licence = manifest?.licence;
  if (licence === undefined || allowsDerivatives(licence)) return;
  throw new Failure(
    "LicenceForbidsDerivatives",
    `${uri} is licensed under ${licence}, which forbids derivatives such as one that has learned on; use another model`,
  );
}

/** Throws Failure DataRejected when the model takes examples of another shape. */
export function checkExamples(
  model: LayersModel,
  { exampleShape, source }: Pick<Examples, "exampleShape" | "source">,
  uri: string,
): void {
  const wanted = exampleShapeOf(model);
  const fits =
    wanted.length === exampleShape.length && wanted.every((size, i) => size === -1 || size === exampleShape[i]);
  if (fits) return;
  throw new Failure(
    "DataRejected",
    `${source} has examples of shape ${show(exampleShape)}, but ${uri} takes ${show(wanted)}; use data of the form that it was trained on`,
  );
}

/** What the model answers: by the declared layers, or by the base's own last one. */
function outputOf(
  training: Training,
  model: LayersModel,
  kept: SymbolicTensor,
  { labelShape = [] }: Examples,
): ModelOutput {
  const labelSize = labelShape.reduce((product, size) => product * size, 1);
  const shape = kept.shape.slice(1).map((size) => size ?? -1);
  if (training.model.layers !== undefined) return checkLayers(training, shape, labelShape);
  const activation = training.model.base?.upTo === undefined ? lastActivation(model) : "linear";
  const output = { size: shape.at(-1) ?? 1, activation, labelSize };
  checkObjective(objectiveOf(training), output, "spec.model.base");
  return output;
}

/**
 * Loads the base and puts the declared layers behind it.
 * Throws Failure: InputMissing, DigestMismatch, ModelUnsupported, InvalidSpec, DataRejected, LicenceForbidsDerivatives.
 */
export async function modelFromBase(
  tf: Tf,
  training: Training,
  base: Base,
  { train, volumes }: { train: Examples; volumes: string },
): Promise<BegunModel> {
  const { uri } = base;
  if (uri === undefined) throw new Failure("InvalidSpec", "spec.model.base.uri is missing; set it");
  const folder = await resolveInput(uri, volumes, base);
  const artefact = await openArtefact(folder, { digest: base.digest, shownAs: uri });
  checkLicence(artefact, uri);
  const loaded = await loadLayers(tf, folder, uri);
  checkExamples(loaded, train, uri);
  const kept = keptOutput(loaded, base);
  const output = outputOf(training, loaded, kept, train);
  const taken = new Set(loaded.layers.map(({ name }) => name));
  const added = declaredLayers(tf, training.model.layers ?? [], training.seed, taken);
  const model = tf.model({ inputs: loaded.inputs, outputs: applied(added, kept), name: "model" });
  freeze(tf, model, base);
  return { model, output, parent: artefact.digest };
}
