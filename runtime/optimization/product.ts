/** A model on its way, and how it becomes files. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { Method, Quantize } from "../../crds/optimization-methods.ts";
import type { Tf } from "../engine/backend.ts";
import { ONNX_FILE, modelFileIn } from "../formats/model.ts";
import { readOnnx } from "../formats/onnx/model-file.ts";
import { signatureOf } from "../formats/signature.ts";
import {
  type StoredModel,
  buildLayersModel,
  loadLayersModel,
  quantizeStored,
  readLayersModel,
  writeLayersModel,
} from "../formats/tfjs-layers.ts";
import { unsupported } from "../formats/unsupported.ts";
import { type Int8Options, int8Onnx } from "./int8.ts";

export interface Product {
  /** The layers, with float32 weights. */
  stored: StoredModel;
  /** Single weights were set to zero, and stay so. */
  sparse: boolean;
  /** How the files keep weights; absent: as they are. */
  quantize?: Quantize | undefined;
}

/** Writes the product's files into the folder `dir`. Throws Failure. */
export async function writeProduct(
  tf: Tf,
  { stored, quantize }: Product,
  dir: string,
  options: Int8Options,
): Promise<void> {
  if (quantize === undefined) return writeLayersModel(stored, dir);
  if (quantize.weights !== "Int8") return writeLayersModel(quantizeStored(stored, quantize.weights), dir);
  const model = await buildLayersModel(tf, stored, "the model");
  try {
    const bytes = await int8Onnx(model, quantize, options);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, ONNX_FILE), bytes);
  } finally {
    model.dispose();
  }
}

/** What writeProduct wrote after these methods, none of which was quantize. */
export async function readProduct(dir: string, methods: readonly Method[]): Promise<Product> {
  const since = methods.slice(methods.findLastIndex(({ distil }) => distil !== undefined) + 1);
  const sparse = since.some(({ prune }) => prune !== undefined && prune.structured === undefined);
  return { stored: await readLayersModel(dir), sparse };
}

/** What the files that writeProduct wrote are. */
export async function describeProduct(
  tf: Tf,
  dir: string,
  shownAs: string,
): Promise<Pick<ArtefactManifest, "format" | "signature">> {
  if ((await modelFileIn(dir, shownAs)) === ONNX_FILE) {
    const { inputs, outputs } = readOnnx(await readFile(join(dir, ONNX_FILE)), shownAs);
    const named = outputs.map(({ shape, ...output }) => {
      if (shape === undefined) throw unsupported(shownAs, `does not tell the shape of ${output.name}`);
      return { ...output, shape: [...shape] };
    });
    return { format: "Onnx", signature: { inputs: [...inputs], outputs: named } };
  }
  const model = await loadLayersModel(tf, dir, shownAs);
  const signature = signatureOf(model);
  model.dispose();
  return { format: "TfjsLayers", signature };
}
