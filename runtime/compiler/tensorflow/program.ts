/** A graph that is loaded into TensorFlow: its functions can be called, and its variables read and set. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NamedTensorMap, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";
import { type Signature, openSignature } from "../../engine/session.ts";
import { type SavedModelWriter, TAG, accessName } from "./saved-model.ts";

export class Program {
  readonly #tf: Tf;
  readonly #signatures: ReadonlyMap<string, Signature>;

  private constructor(tf: Tf, signatures: ReadonlyMap<string, Signature>) {
    this.#tf = tf;
    this.#signatures = signatures;
  }

  /** Loads what `writer` writes. The file is not needed after that. */
  static async load(tf: Tf, writer: SavedModelWriter): Promise<Program> {
    const folder = await mkdtemp(join(tmpdir(), "graph-"));
    try {
      await writer.save(folder);
      const signatures = new Map<string, Signature>();
      for (const name of writer.signatures) signatures.set(name, await openSignature(tf, folder, TAG, name));
      return new Program(tf, signatures);
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  /** Calls the function `name`. Inputs and outputs are the caller's to dispose. */
  call(name: string, inputs: NamedTensorMap): NamedTensorMap {
    const signature = this.#signatures.get(name);
    if (signature === undefined) throw new RangeError(`the graph has no function ${name}`);
    return signature.run(inputs);
  }

  /** Values of all variables, as copies, in their order. */
  read(): Float32Array[] {
    const tensors = this.call("get", {});
    // The map's order is that of the names.
    const values = Object.keys(tensors).map((_, index) =>
      Float32Array.from(tensors[accessName(index)]?.dataSync() ?? []),
    );
    this.#tf.dispose(tensors);
    return values;
  }

  /** Gives all variables values, in their order. */
  write(values: readonly Tensor[]): void {
    const inputs = Object.fromEntries(values.map((tensor, index) => [accessName(index), tensor]));
    this.#tf.dispose(this.call("set", inputs));
  }

  dispose(): void {
    for (const signature of this.#signatures.values()) signature.dispose();
  }
}
