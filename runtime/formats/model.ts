/** Finds out in which format a folder holds a model, and loads it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { buildKerasModel, readKerasArchive, readKerasHdf5 } from "./keras/keras-model.ts";
import { signatureOf } from "./signature.ts";
import { buildGraphModel } from "./tfjs-graph.ts";
import { buildLayersModel, loadLayersModel, MODEL_FILE, readTfjsModel } from "./tfjs-layers.ts";
import { unsupported } from "./unsupported.ts";

const KERAS_FILE = "model.keras";
const HDF5_FILE = "model.h5";
export const ONNX_FILE = "model.onnx";
export const SAVED_MODEL_FILE = "saved_model.pb";
const FILES = [MODEL_FILE, KERAS_FILE, HDF5_FILE, ONNX_FILE, SAVED_MODEL_FILE] as const;

type Format = ArtefactManifest["format"];

/** A model that answers. */
export interface LoadedModel {
  format: Format;
  signature: ArtefactManifest["signature"];
  /** Present when it has layers, which can be compiled. */
  layers?: LayersModel;
  /** Outputs in the signature's order. Inputs and outputs are the caller's to dispose. */
  predict: (inputs: Tensor[]) => Tensor[] | Promise<Tensor[]>;
}

/** The file that holds the folder's model. Throws Failure: ModelUnsupported, InputMissing. */
export async function modelFileIn(dir: string, shownAs: string): Promise<(typeof FILES)[number]> {
  const names = await readdir(dir).catch((cause: unknown) => {
    throw new Failure("InputMissing", `${shownAs} cannot be listed; correct the URI`, { cause });
  });
  const found = FILES.filter((file) => names.includes(file));
  const [file] = found;
  if (file === undefined)
    throw unsupported(shownAs, `has none of ${FILES.join(", ")}; put a model there under one of these names`);
  if (found.length > 1)
    throw unsupported(shownAs, `has ${found.join(" and ")}; keep one of them, so that it is clear which is meant`);
  return file;
}

async function layersModel(tf: Tf, dir: string, file: (typeof FILES)[number], shownAs: string): Promise<LayersModel> {
  if (file === MODEL_FILE) return loadLayersModel(tf, dir, shownAs);
  const name = `${shownAs}/${file}`;
  if (file === ONNX_FILE) {
    throw unsupported(name, "is an ONNX model, which can be served only, by ONNX Runtime; give a Keras or tfjs model");
  }
  if (file === SAVED_MODEL_FILE) {
    throw unsupported(name, "is a SavedModel, which can be served only, by TensorFlow; give a Keras or tfjs model");
  }
  const read = file === HDF5_FILE ? readKerasHdf5 : readKerasArchive;
  return buildKerasModel(tf, await read(join(dir, file), name), name);
}

/** Loads the Keras or tfjs layers model in the folder `dir`. Throws Failure: ModelUnsupported, InputMissing. */
export async function loadLayers(tf: Tf, dir: string, shownAs = dir): Promise<LayersModel> {
  return layersModel(tf, dir, await modelFileIn(dir, shownAs), shownAs);
}

function answering(tf: Tf, model: LayersModel, format: Format): LoadedModel {
  return {
    format,
    signature: signatureOf(model),
    layers: model,
    predict: (inputs) => {
      const [only] = inputs;
      return tf.tidy(() => [model.predictOnBatch(inputs.length === 1 && only !== undefined ? only : inputs)].flat());
    },
  };
}

async function tfjsModel(tf: Tf, dir: string, shownAs: string): Promise<LoadedModel> {
  const stored = await readTfjsModel(dir, shownAs);
  if (stored.graph === undefined) return answering(tf, await buildLayersModel(tf, stored, shownAs), "TfjsLayers");
  const { model, signature, awaited } = await buildGraphModel(tf, stored, shownAs);
  return {
    format: "TfjsGraph",
    signature,
    predict: async (inputs) => {
      const byName = Object.fromEntries(
        model.inputs.map(({ name }, index) => [name, inputs[index]] as [string, Tensor]),
      );
      const names = model.outputs.map(({ name }) => name);
      return [awaited ? await model.executeAsync(byName, names) : model.execute(byName, names)].flat();
    },
  };
}

/** Loads the model in the folder `dir`, whatever its format. Throws Failure: ModelUnsupported, InputMissing. */
export async function loadModel(tf: Tf, dir: string, shownAs = dir): Promise<LoadedModel> {
  const file = await modelFileIn(dir, shownAs);
  if (file === MODEL_FILE) return tfjsModel(tf, dir, shownAs);
  return answering(tf, await layersModel(tf, dir, file, shownAs), file === KERAS_FILE ? "Keras" : "KerasH5");
}
