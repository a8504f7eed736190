/** A graph that TensorFlow runs: the signatures of a SavedModel, which share its variables. */
import type { NamedTensorMap } from "@tensorflow/tfjs";
import type { Tf } from "./backend.ts";

/** One signature. */
export interface Signature {
  /** Inputs and outputs by name; both are the caller's to dispose. */
  run(inputs: NamedTensorMap): NamedTensorMap;
  dispose(): void;
}

interface SavedModel {
  predict(inputs: NamedTensorMap): NamedTensorMap;
  dispose(): void;
}

/** What tfjs-node adds to the tfjs namespace. */
interface NodeTf {
  node: { loadSavedModel(path: string, tags: string[], signature: string): Promise<SavedModel> };
}

/** Can this engine run graphs? */
export function runsGraphs(tf: Tf): boolean {
  return tf.getBackend() === "tensorflow" && "node" in tf;
}

/** The signature `name` of the SavedModel in `folder`. Signatures of one folder share its variables until all are disposed. */
export async function openSignature(tf: Tf, folder: string, tag: string, name: string): Promise<Signature> {
  const { node } = tf as unknown as NodeTf;
  const model = await node.loadSavedModel(folder, [tag], name);
  return { run: (inputs) => model.predict(inputs), dispose: () => model.dispose() };
}
