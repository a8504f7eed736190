/** A graph that TensorFlow runs: the signatures of a SavedModel, which share its variables. */
import type { NamedTensorMap, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "./backend.ts";
import { quietly } from "./compatibility.ts";

/** One signature. */
export interface Signature {
  /** Inputs and outputs by name; both are the caller's to dispose. */
  run(inputs: NamedTensorMap): NamedTensorMap;
  dispose(): void;
}

interface SavedModel {
  readonly signature: { readonly inputs: Readonly<Record<string, { tfDtype: string }>> };
  predict(inputs: NamedTensorMap): NamedTensorMap;
  dispose(): void;
}

/** What tfjs-node adds to the tfjs namespace. */
interface NodeTf {
  node: { loadSavedModel(path: string, tags: string[], signature: string): Promise<SavedModel> };
}

/** What tfjs-node's backend has of its own. */
interface NodeBackend {
  readonly binding: {
    readonly TF_INT64: number;
    createTensor(shape: number[], dtype: number, values: Int32Array): number;
  };
  createOutputTensor(tensor: { id: number; shape: number[]; dtype: number }): Tensor;
}

/** Can this engine run graphs? */
export function runsGraphs(tf: Tf): boolean {
  return tf.getBackend() === "tensorflow" && "node" in tf;
}

/**
 * The signature `name` of the SavedModel in `folder`. Signatures of one folder share its variables until all are
 * disposed. Inputs of whole numbers of 64 bits must be made by `int64Tensor`.
 */
export async function openSignature(tf: Tf, folder: string, tag: string, name: string): Promise<Signature> {
  const { node } = tf as unknown as NodeTf;
  const model = await node.loadSavedModel(folder, [tag], name);
  // tfjs-node would make them of int32 values, and lose the sign.
  for (const input of Object.values(model.signature.inputs)) {
    if (input.tfDtype === "DT_INT64") input.tfDtype = "";
  }
  return { run: (inputs) => quietly(() => model.predict(inputs)), dispose: () => model.dispose() };
}

/** A tensor of whole numbers of 64 bits, which tfjs calls int32; its values are read as BigInt64Array. */
export function int64Tensor(tf: Tf, values: BigInt64Array<ArrayBuffer>, shape: number[]): Tensor {
  // The engine is TensorFlow, or nothing asks for 64 bits.
  const backend = tf.backend() as unknown as NodeBackend;
  const { TF_INT64: dtype } = backend.binding;
  const words = new Int32Array(values.buffer, values.byteOffset, values.length * 2);
  const id = backend.binding.createTensor(shape, dtype, words);
  return quietly(() => backend.createOutputTensor({ id, shape, dtype }));
}
