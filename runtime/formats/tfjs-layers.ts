/** The tfjs layers format: `model.json` with the topology, and shards with the weights. */
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LayersModel, io } from "@tensorflow/tfjs";
import { z } from "zod";
import { fieldErrors } from "../../crds/kinds.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure, systemCode } from "../failure.ts";
import { requireComputable } from "./computable.ts";
import { requireConnected } from "./connected.ts";
import { parseJson } from "./json.ts";
import { registerLayers } from "./layers/register.ts";
import { quantizeUint16, quantizeUint8, toFloat16 } from "./quantization.ts";
import { unsupported } from "./unsupported.ts";
import { withinBudget } from "./weight-budget.ts";

export const MODEL_FILE = "model.json";

/** A model as it is stored, without an engine. */
export interface StoredModel {
  /** Present for a graph model, whose `signature` names its inputs and outputs. */
  graph?: { signature: unknown };
  topology: object;
  weightSpecs: io.WeightsManifestEntry[];
  /** The weights one after the other, in the order of `weightSpecs`. */
  weightData: ArrayBuffer;
}

const TOPOLOGY_LIMIT = 64 * 1024 * 1024;
const WEIGHTS_LIMIT = 2 ** 32;
const SHARD_BYTES = 4 * 1024 * 1024;

const BYTES = { float32: 4, int32: 4, bool: 1, uint8: 1, uint16: 2, float16: 2 } as const;

const QuantizationEntry = z.object({
  dtype: z.enum(["uint8", "uint16", "float16"]),
  min: z.number().optional(),
  scale: z.number().optional(),
  original_dtype: z.enum(["float32", "int32"]).optional(),
});

const ModelJson = z.object({
  format: z.string().nullish(),
  signature: z.unknown().optional(),
  modelTopology: z.record(z.string(), z.unknown()),
  weightsManifest: z.array(
    z.object({
      paths: z.array(z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, "must be a plain file name")).max(4096),
      weights: z.array(
        z.object({
          name: z.string(),
          shape: z.array(z.int().min(0)).max(8),
          dtype: z.enum(["float32", "int32", "bool"]),
          quantization: QuantizationEntry.optional(),
        }),
      ),
    }),
  ),
});

type ModelJson = z.output<typeof ModelJson>;
type StoredWeight = ModelJson["weightsManifest"][number]["weights"][number];

function storedBytes(weight: StoredWeight): number {
  const count = weight.shape.reduce((product, size) => product * size, 1);
  return count * BYTES[weight.quantization?.dtype ?? weight.dtype];
}

async function readLimited(path: string, limit: number, shownAs: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > limit) throw unsupported(shownAs, `has ${size} bytes; at most ${limit} are read`);
    return await readFile(path);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw unsupported(shownAs, `cannot be read (${systemCode(error) ?? "unknown"}); restore the file`, error);
  }
}

function parseModelJson(text: Uint8Array, shownAs: string): ModelJson {
  const json = parseJson(text, shownAs);
  const parsed = ModelJson.safeParse(json);
  if (parsed.success) return parsed.data;
  const [first] = fieldErrors(parsed.error);
  throw unsupported(shownAs, `is no tfjs model: ${first?.field ?? ""} ${first?.message ?? ""}; save the model again`);
}

/** As readTfjsModel; throws Failure ModelUnsupported for a graph model, too. */
export async function readLayersModel(dir: string, shownAs = dir): Promise<StoredModel> {
  const stored = await readTfjsModel(dir, shownAs);
  if (stored.graph === undefined) return stored;
  throw unsupported(
    `${shownAs}/${MODEL_FILE}`,
    "is a graph model, which can be served only; save it as a layers model",
  );
}

/**
 * Reads the layers or graph model in the folder `dir`. Weights keep the form in which they are stored.
 * Throws Failure ModelUnsupported for files that are damaged.
 */
export async function readTfjsModel(dir: string, shownAs = dir): Promise<StoredModel> {
  const name = `${shownAs}/${MODEL_FILE}`;
  const text = await readLimited(join(dir, MODEL_FILE), TOPOLOGY_LIMIT, name);
  const { format, signature, modelTopology, weightsManifest } = parseModelJson(text, name);
  const weights = weightsManifest.flatMap((group) => group.weights);
  const expected = weights.reduce((sum, weight) => sum + storedBytes(weight), 0);
  if (expected > WEIGHTS_LIMIT)
    throw unsupported(name, `declares ${expected} bytes of weights; at most ${WEIGHTS_LIMIT} are read`);
  const shards: Buffer[] = [];
  for (const path of weightsManifest.flatMap((group) => group.paths)) {
    shards.push(await readLimited(join(dir, path), expected, `${shownAs}/${path}`));
  }
  const data = Buffer.concat(shards);
  if (data.length !== expected) {
    throw unsupported(
      shownAs,
      `has ${data.length} bytes of weights where ${MODEL_FILE} declares ${expected}; save the model again`,
    );
  }
  return {
    ...(format === "graph-model" ? { graph: { signature } } : {}),
    topology: modelTopology,
    // tfjs checks nothing more of these entries than the schema above did.
    weightSpecs: weights as io.WeightsManifestEntry[],
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.length),
  };
}

/** The outermost model's configuration: tfjs writes it bare, its converter under `model_config`. */
function configOf(topology: object): unknown {
  const model: unknown = "model_config" in topology ? topology.model_config : topology;
  return typeof model === "object" && model !== null && "config" in model ? model.config : undefined;
}

/** Makes the stored model ready to compute. Throws Failure ModelUnsupported naming the reason. */
export async function buildLayersModel(tf: Tf, stored: StoredModel, shownAs = "the model"): Promise<LayersModel> {
  const artifacts = {
    modelTopology: stored.topology,
    weightSpecs: stored.weightSpecs,
    weightData: stored.weightData,
  };
  requireConnected(configOf(stored.topology), shownAs);
  registerLayers(tf);
  const numbers = stored.weightSpecs.reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  );
  const before = tf.memory().numTensors;
  try {
    const model = await withinBudget(tf, numbers, () => tf.loadLayersModel({ load: () => Promise.resolve(artifacts) }));
    requireComputable(tf, model, shownAs);
    return model;
  } catch (error) {
    if (error instanceof Failure) throw error;
    const left = tf.memory().numTensors - before;
    const message = error instanceof Error ? error.message : String(error);
    const rest = left > 0 ? ` (${left} tensors stay in memory)` : "";
    throw unsupported(shownAs, `cannot be built: ${message.split("\n")[0] ?? ""}${rest}`, error);
  }
}

/** Loads the tfjs layers model in the folder `dir`. Throws Failure ModelUnsupported. */
export async function loadLayersModel(tf: Tf, dir: string, shownAs = dir): Promise<LayersModel> {
  return buildLayersModel(tf, await readLayersModel(dir, shownAs), shownAs);
}

/** The model with float32 weights, as it would be stored. */
export async function storeLayersModel(tf: Tf, model: LayersModel): Promise<StoredModel> {
  let stored: StoredModel | undefined;
  await model.save({
    save: ({ modelTopology, weightSpecs, weightData }) => {
      if (modelTopology === undefined || modelTopology instanceof ArrayBuffer || weightData === undefined) {
        throw new TypeError("tfjs did not hand over the topology and the weights");
      }
      stored = {
        topology: modelTopology,
        weightSpecs: weightSpecs ?? [],
        weightData: tf.io.CompositeArrayBuffer.join(weightData),
      };
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } });
    },
  });
  if (stored === undefined) throw new TypeError("tfjs did not save the model");
  return stored;
}

/** Types that weights can be stored in, by their names in a manifest. */
export type StoredType = "Uint8" | "Uint16" | "Float16";

type Quantization = NonNullable<io.WeightsManifestEntry["quantization"]>;

function quantizeValues(values: Float32Array, type: StoredType): { data: ArrayBufferView; quantization: Quantization } {
  if (type === "Float16") return { data: toFloat16(values), quantization: { dtype: "float16" } };
  const dtype = type === "Uint8" ? "uint8" : "uint16";
  const { data, min, scale } = type === "Uint8" ? quantizeUint8(values) : quantizeUint16(values);
  return { data, quantization: { dtype, min, scale } };
}

/**
 * The same model with every float32 weight stored as `type`. Throws Failure ModelUnsupported naming a weight that the
 * type does not hold.
 */
export function quantizeStored(stored: StoredModel, type: StoredType): StoredModel {
  let offset = 0;
  const parts: Uint8Array[] = [];
  const weightSpecs = stored.weightSpecs.map((spec): io.WeightsManifestEntry => {
    const bytes = storedBytes(spec as StoredWeight);
    const raw = stored.weightData.slice(offset, offset + bytes);
    offset += bytes;
    if (spec.dtype !== "float32" || spec.quantization !== undefined) {
      parts.push(new Uint8Array(raw));
      return spec;
    }
    try {
      const { data, quantization } = quantizeValues(new Float32Array(raw), type);
      parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return { ...spec, quantization };
    } catch (error) {
      if (error instanceof RangeError) throw unsupported(`weight ${spec.name}`, `${error.message}; use another type`);
      throw error;
    }
  });
  const joined = Buffer.concat(parts);
  return {
    topology: stored.topology,
    weightSpecs,
    weightData: joined.buffer.slice(joined.byteOffset, joined.byteOffset + joined.length),
  };
}

/** Writes the model into the folder `dir`: the same model gives the same bytes. */
export async function writeLayersModel(stored: StoredModel, dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const data = Buffer.from(stored.weightData);
  const count = Math.max(1, Math.ceil(data.length / SHARD_BYTES));
  const paths = Array.from({ length: count }, (_, index) => `weights-${index + 1}-of-${count}.bin`);
  for (const [index, path] of paths.entries()) {
    await writeFile(join(dir, path), data.subarray(index * SHARD_BYTES, (index + 1) * SHARD_BYTES));
  }
  const json = {
    format: "layers-model",
    generatedBy: "modelwright",
    convertedBy: null,
    modelTopology: stored.topology,
    weightsManifest: [{ paths, weights: stored.weightSpecs }],
  };
  await writeFile(join(dir, MODEL_FILE), JSON.stringify(json));
}

/** Saves `model` into the folder `dir`; with `quantization`, weights are stored in that type. */
export async function saveLayersModel(
  tf: Tf,
  model: LayersModel,
  dir: string,
  { quantization }: { quantization?: StoredType | undefined } = {},
): Promise<void> {
  const stored = await storeLayersModel(tf, model);
  await writeLayersModel(quantization === undefined ? stored : quantizeStored(stored, quantization), dir);
}
