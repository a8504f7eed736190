/** Models that Keras made, with what it answers to examples (test/corpus/keras), for tests. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../../../engine/backend.ts";
import { readContent } from "../hdf5-content.ts";
import { buildKerasModel, readKerasArchive, readKerasHdf5 } from "../keras-model.ts";

const FOLDER = join(import.meta.dirname, "../../../../test/corpus/keras");

interface Packed {
  shape: number[];
  dtype: "float32" | "int32";
  data: string;
}

interface Packs {
  inputs: Packed[];
  outputs: Packed[];
}

export interface Entry {
  name: string;
  formats: ("keras" | "h5")[];
  layers: string[];
}

const unpack = async (file: string) => gunzipSync(await readFile(join(FOLDER, `${file}.gz`)));

export async function readIndex(): Promise<Entry[]> {
  return (JSON.parse(await readFile(join(FOLDER, "index.json"), "utf8")) as { models: Entry[] }).models;
}

function numbers({ dtype, data }: Packed): Float32Array | Int32Array {
  const bytes = Uint8Array.from(Buffer.from(data, "base64")).buffer;
  return dtype === "float32" ? new Float32Array(bytes) : new Int32Array(bytes);
}

export interface Example {
  /** The caller's to dispose. */
  inputs: Tensor[];
  outputs: { shape: number[]; values: Float32Array | Int32Array }[];
}

export async function readExample(tf: Tf, name: string): Promise<Example> {
  const packs = JSON.parse((await unpack(`${name}.json`)).toString()) as Packs;
  return {
    inputs: packs.inputs.map((packed) => tf.tensor(numbers(packed), packed.shape, packed.dtype)),
    outputs: packs.outputs.map((packed) => ({ shape: packed.shape, values: numbers(packed) })),
  };
}

/** In this thread, which has the library in memory already. */
const readHere = (bytes: Uint8Array) => readContent({ bytes: bytes.slice(), bytesLimit: 64 * 1024 * 1024 });

export async function buildModel(tf: Tf, name: string, format: "keras" | "h5"): Promise<LayersModel> {
  const dir = await mkdtemp(join(tmpdir(), "corpus-"));
  try {
    const path = join(dir, `${name}.${format}`);
    await writeFile(path, await unpack(`${name}.${format}`));
    const read = format === "h5" ? readKerasHdf5 : readKerasArchive;
    return await buildKerasModel(tf, await read(path, name, readHere), name);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** Largest difference, scaled by max(1, |y|); NaN when one of the two is. */
export function difference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  return Math.max(
    ...Array.from(expected, (y, index) => Math.abs((found[index] ?? NaN) - y) / Math.max(1, Math.abs(y))),
  );
}
