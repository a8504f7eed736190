/** A model on its way, and how it becomes files. */
import type { Method, Quantize } from "../../crds/optimization-methods.ts";
import { type StoredModel, quantizeStored, readLayersModel, writeLayersModel } from "../formats/tfjs-layers.ts";

export interface Product {
  /** The layers, with float32 weights. */
  stored: StoredModel;
  /** Single weights were set to zero, and stay so. */
  sparse: boolean;
  /** How the files keep weights; absent: as they are. */
  quantize?: Quantize | undefined;
}

/** Writes the product's files into the folder `dir`. Throws Failure. */
export async function writeProduct({ stored, quantize }: Product, dir: string): Promise<void> {
  await writeLayersModel(quantize === undefined ? stored : quantizeStored(stored, quantize.weights), dir);
}

/** What writeProduct wrote after these methods, none of which was quantize. */
export async function readProduct(dir: string, methods: readonly Method[]): Promise<Product> {
  const since = methods.slice(methods.findLastIndex(({ distil }) => distil !== undefined) + 1);
  const sparse = since.some(({ prune }) => prune !== undefined && prune.structured === undefined);
  return { stored: await readLayersModel(dir), sparse };
}
