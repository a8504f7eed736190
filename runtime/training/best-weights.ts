/** The weights of the best epoch so far: what early stopping gives back at the end. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";
import type { Memory } from "./checkpoint.ts";

export class BestWeights implements Memory {
  readonly #tf: Tf;
  readonly #model: LayersModel;
  #values: Float32Array[] = [];

  constructor(tf: Tf, model: LayersModel) {
    this.#tf = tf;
    this.#model = model;
  }

  /** Remembers the weights that the model has now. */
  take(): void {
    this.#values = this.#model.getWeights().map((weight) => Float32Array.from(weight.dataSync()));
  }

  /** Gives the model the remembered weights; without any, it keeps its own. */
  restore(): void {
    if (this.#values.length === 0) return;
    const weights: Tensor[] = this.#model
      .getWeights()
      .map((weight, index) => this.#tf.tensor(this.#values[index] ?? [], weight.shape, "float32"));
    this.#model.setWeights(weights);
    this.#tf.dispose(weights);
  }

  /** What is remembered: nothing, or an array for each weight of the model. */
  read(): Float32Array[] {
    return this.#values;
  }

  /** Puts back what `read` gave. Throws RangeError when it was another model's. */
  write(values: readonly Float32Array[]): void {
    const fits = this.#model.getWeights().every((weight, index) => weight.size === values[index]?.length);
    if (values.length > 0 && !fits) throw new RangeError("it is of another model");
    this.#values = [...values];
  }
}

/** What a step remembers, and the best weights behind it. */
export function together(step: Memory, best: BestWeights): Memory {
  return {
    read: () => [...step.read(), ...best.read()],
    write(values) {
      const own = step.read().length;
      step.write(values.slice(0, own));
      best.write(values.slice(own));
    },
  };
}
