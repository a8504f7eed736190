/** Models that Keras saved: `model.h5`, and `model.keras` of Keras 3. */
import { readFile, stat } from "node:fs/promises";
import type { LayersModel } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";
import { Failure, systemCode } from "../../failure.ts";
import { requireConnected } from "../connected.ts";
import { parseJson } from "../json.ts";
import { allLayers, requireComputable } from "../computable.ts";
import { registerLayers } from "../layers/register.ts";
import { unsupported } from "../unsupported.ts";
import { withinBudget } from "../weight-budget.ts";
import type { Serialized } from "./config.ts";
import type { Weight } from "./hdf5.ts";
import { readHdf5 } from "./hdf5.ts";
import type { Origin, TranslatedLayer } from "./layer-translation.ts";
import { parseSerialized, translateModel } from "./topology.ts";
import { type LayerWeights, weightsOfArchive, weightsOfHdf5 } from "./weights.ts";
import { openZip } from "./zip.ts";

/** A model as Keras stored it, without an engine. */
export interface KerasModel {
  topology: TranslatedLayer;
  weights: LayerWeights;
}

const CONFIG_LIMIT = 64 * 1024 * 1024;
/** The largest file that Node reads into one buffer. */
const FILE_LIMIT = 2 ** 31 - 1;

function majorOf(version: unknown): number {
  return typeof version === "string" ? Number.parseInt(version, 10) || 3 : 3;
}

function modelName(config: { config: Record<string, unknown> }): string {
  return typeof config.config["name"] === "string" ? config.config["name"] : "model";
}

/** Reads a `.keras` archive. Throws Failure ModelUnsupported. */
export async function readKerasArchive(path: string, shownAs = path, read = readHdf5): Promise<KerasModel> {
  const zip = await openZip(path, shownAs);
  try {
    const metadata = parseJson(await zip.read("metadata.json", CONFIG_LIMIT), `${shownAs}/metadata.json`);
    const version =
      typeof metadata === "object" && metadata !== null && "keras_version" in metadata
        ? metadata.keras_version
        : undefined;
    const origin: Origin = { shownAs, major: majorOf(version) };
    const serialized = parseSerialized(
      parseJson(await zip.read("config.json", CONFIG_LIMIT), `${shownAs}/config.json`),
      origin,
    );
    // Before the weights, which take longer to read than to refuse.
    const topology = translateModel(serialized, modelName(serialized), origin);
    const content = await read(await zip.read("model.weights.h5", FILE_LIMIT), `${shownAs}/model.weights.h5`);
    return { topology, weights: weightsOfArchive(serialized, content, origin) };
  } finally {
    await zip.close();
  }
}

async function readWhole(path: string, shownAs: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > FILE_LIMIT) throw unsupported(shownAs, `has ${size} bytes; at most ${FILE_LIMIT} are read`);
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    throw unsupported(shownAs, `cannot be read (${systemCode(error)}); restore the file`, error);
  }
}

/** Reads a `.h5` file. Throws Failure ModelUnsupported. */
export async function readKerasHdf5(path: string, shownAs = path, read = readHdf5): Promise<KerasModel> {
  const content = await read(await readWhole(path, shownAs), shownAs);
  const [json] = content.attributes["@model_config"] ?? [];
  if (json === undefined) {
    throw unsupported(shownAs, "has weights only, and no model_config; save the whole model with model.save");
  }
  if (json.length > CONFIG_LIMIT) throw unsupported(shownAs, `has a model_config of more than ${CONFIG_LIMIT} bytes`);
  const [version] = content.attributes["model_weights@keras_version"] ?? content.attributes["@keras_version"] ?? [];
  const origin: Origin = { shownAs, major: majorOf(version) };
  const serialized = parseSerialized(parseJson(Buffer.from(json), `${shownAs}: model_config`), origin);
  return {
    topology: translateModel(serialized, modelName(serialized), origin),
    weights: weightsOfHdf5(serialized, content, origin),
  };
}

type Layer = LayersModel["layers"][number];

const shapes = (list: readonly { shape: readonly (number | null)[] }[]) =>
  list.map(({ shape }) => `[${shape.join(", ")}]`).join(", ") || "none";

function fill(tf: Tf, layer: Layer, weights: readonly Weight[], shownAs: string): void {
  const [found, wanted] = [shapes(weights), shapes(layer.weights)];
  if (found !== wanted) {
    throw unsupported(
      shownAs,
      `layer ${layer.name} has weights of shapes ${found}, but takes ${wanted}; save the model again`,
    );
  }
  const tensors = weights.map(({ data, shape }) => tf.tensor(data, shape, "float32"));
  layer.setWeights(tensors);
  tf.dispose(tensors);
}

function fillAll(tf: Tf, model: LayersModel, weights: LayerWeights, shownAs: string): void {
  const layers = new Map(allLayers(model.layers).map((layer) => [layer.name, layer]));
  const filled = new Set<object>();
  for (const [name, list] of weights) {
    const layer = layers.get(name);
    if (layer === undefined) {
      if (list.length > 0)
        throw unsupported(shownAs, `has weights for a layer ${name} that is not there; save the model again`);
      continue;
    }
    fill(tf, layer, list, shownAs);
    for (const weight of layer.weights) filled.add(weight);
  }
  const empty = model.layers.find((layer) => layer.weights.some((weight) => !filled.has(weight)));
  if (empty !== undefined) throw unsupported(shownAs, `has no weights for layer ${empty.name}; save the model again`);
}

/** Weights of a topology that comes without them: 1 GiB of float32. */
const FRESH_LIMIT = 2 ** 28;

/**
 * Builds the model that Keras' JSON (model.to_json()) describes; all its weights are zeros.
 * Throws Failure ModelUnsupported.
 */
export async function buildKerasTopology(
  tf: Tf,
  json: unknown,
  shownAs: string,
): Promise<{ model: LayersModel; serialized: Serialized }> {
  const version = typeof json === "object" && json !== null && "keras_version" in json ? json.keras_version : undefined;
  const origin: Origin = { shownAs, major: majorOf(version) };
  const serialized = parseSerialized(json, origin);
  const topology = translateModel(serialized, modelName(serialized), origin);
  return { model: await build(tf, topology, { numbers: FRESH_LIMIT, shownAs }, () => undefined), serialized };
}

/** Makes the model ready to compute. Throws Failure ModelUnsupported naming the reason. */
export async function buildKerasModel(
  tf: Tf,
  { topology, weights }: KerasModel,
  shownAs = "the model",
): Promise<LayersModel> {
  const numbers = [...weights.values()].flat().reduce((sum, { data }) => sum + data.length, 0);
  return build(tf, topology, { numbers, shownAs }, (model) => fillAll(tf, model, weights, shownAs));
}

/** `numbers`: how many its weights may have. */
async function build(
  tf: Tf,
  topology: TranslatedLayer,
  { numbers, shownAs }: { numbers: number; shownAs: string },
  complete: (model: LayersModel) => void,
): Promise<LayersModel> {
  requireConnected(topology.config, shownAs);
  registerLayers(tf);
  let model: LayersModel | undefined;
  try {
    model = await withinBudget(tf, numbers, () =>
      tf.loadLayersModel({ load: () => Promise.resolve({ modelTopology: { model_config: topology } }) }),
    );
    requireComputable(tf, model, shownAs);
    complete(model);
    return model;
  } catch (error) {
    model?.dispose();
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Failure) throw error;
    throw unsupported(shownAs, `cannot be built: ${message.split("\n")[0] ?? ""}`, error);
  }
}
