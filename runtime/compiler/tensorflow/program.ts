/** A graph that is loaded into TensorFlow: its functions can be called, and its variables read and set. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NamedTensorMap, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";
import { type Signature, openSignature } from "../../engine/session.ts";
import { type SavedModelWriter, TAG, accessName } from "./saved-model.ts";

interface Callable {
  inputs: readonly string[];
  signature: Signature;
}

export class Program {
  readonly #tf: Tf;
  readonly #signatures: ReadonlyMap<string, Callable>;

  private constructor(tf: Tf, signatures: ReadonlyMap<string, Callable>) {
    this.#tf = tf;
    this.#signatures = signatures;
  }

  /** Loads what `writer` writes. The file is not needed after that. */
  static async load(tf: Tf, writer: SavedModelWriter): Promise<Program> {
    const folder = await mkdtemp(join(tmpdir(), "graph-"));
    try {
      await writer.save(folder);
      const signatures = new Map<string, Callable>();
      for (const { name, inputs } of writer.signatures) {
        signatures.set(name, { inputs, signature: await openSignature(tf, folder, TAG, name) });
      }
      return new Program(tf, signatures);
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  /** Calls the function `name` with those of `given` that it takes. Inputs and outputs are the caller's to dispose. */
  call(name: string, given: NamedTensorMap): NamedTensorMap {
    const callable = this.#signatures.get(name);
    if (callable === undefined) throw new RangeError(`the graph has no function ${name}`);
    const taken = callable.inputs.map((input): [string, Tensor] => {
      const tensor = given[input];
      if (tensor === undefined) throw new RangeError(`the function ${name} is not given ${input}`);
      return [input, tensor];
    });
    return callable.signature.run(Object.fromEntries(taken));
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
    for (const { signature } of this.#signatures.values()) signature.dispose();
  }
}
