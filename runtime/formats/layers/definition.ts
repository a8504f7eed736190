/** Layers that tfjs lacks are described by what makes them differ; this makes tfjs layers of the descriptions. */
import type { Shape, Tensor, serialization } from "@tensorflow/tfjs";
import type { LayerArgs } from "@tensorflow/tfjs-layers/dist/engine/topology.js";
import type { Kwargs } from "@tensorflow/tfjs-layers/dist/types.js";
import type { LayerVariable } from "@tensorflow/tfjs-layers/dist/variables.js";
import type { z } from "zod";
import type { Tf } from "../../engine/backend.ts";

export interface WeightShape {
  name: string;
  shape: number[];
  trainable?: boolean;
}

export interface Computation<S> {
  tf: Tf;
  settings: S;
  /** float32, unless the definition keeps datatypes. */
  inputs: Tensor[];
  weight: (name: string) => Tensor;
  /** Which steps of the first input count: [batch, steps]. */
  mask?: Tensor | undefined;
  training: boolean;
  /** What random layers draw by in this step. */
  seed: number | undefined;
}

export interface Definition<S> {
  /** Its name in a topology. */
  className: string;
  /** The layer's configuration; what it has no field for is for training only. */
  settings: z.ZodType<S>;
  /** In the order in which Keras stores them. */
  weights?: (shapes: Shape[], settings: S) => WeightShape[];
  outputShape: (shapes: Shape[], settings: S) => Shape;
  compute: (computation: Computation<S>) => Tensor;
  /** Steps that do not count stay out of account in the layers that follow. */
  passesMask?: boolean;
}

/** A tfjs class that can be registered. */
export type LayerClass = serialization.SerializableConstructor<serialization.Serializable>;

export function shapesOf(shape: Shape | Shape[]): Shape[] {
  // A list of shapes has lists in it, one shape has numbers and null.
  return (Array.isArray(shape[0]) ? shape : [shape]) as Shape[];
}

/** Size of a dimension that must be known. Throws RangeError naming `what`. */
export function known(size: number | null | undefined, what: string): number {
  if (typeof size === "number") return size;
  throw new RangeError(`${what} must be known when the model is built`);
}

export function only<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined) throw new RangeError("a layer has no input");
  return first;
}

/** `size` of an open dimension stays open. */
export function resized(size: number | null | undefined, change: (size: number) => number): number | null {
  return typeof size === "number" ? change(size) : null;
}

/** The tfjs class of `definition`. */
export function layerClass<S>(tf: Tf, definition: Definition<S>): LayerClass {
  return class extends tf.layers.Layer {
    static readonly className = definition.className;
    /** Set for each step by who trains. */
    seed: number | undefined;
    readonly #settings: S;
    readonly #config: serialization.ConfigDict;
    readonly #weights = new Map<string, LayerVariable>();

    constructor(config: LayerArgs & serialization.ConfigDict) {
      super(config);
      this.#config = config;
      this.#settings = definition.settings.parse(config);
      this.supportsMasking = definition.passesMask ?? false;
    }

    override build(inputShape: Shape | Shape[]): void {
      const shapes = shapesOf(inputShape);
      for (const { name, shape, trainable = true } of definition.weights?.(shapes, this.#settings) ?? []) {
        this.#weights.set(name, this.addWeight(name, shape, "float32", tf.initializers.zeros(), undefined, trainable));
      }
      super.build(inputShape);
    }

    override computeOutputShape(inputShape: Shape | Shape[]): Shape {
      return definition.outputShape(shapesOf(inputShape), this.#settings);
    }

    override call(inputs: Tensor | Tensor[], kwargs: Kwargs): Tensor {
      const list = Array.isArray(inputs) ? inputs : [inputs];
      const weight = (name: string): Tensor => {
        const found = this.#weights.get(name);
        if (found === undefined) throw new RangeError(`${this.name} has no weight ${name}`);
        return found.read();
      };
      return tf.tidy(() =>
        definition.compute({
          tf,
          settings: this.#settings,
          inputs: list.map((input) => tf.cast(input, "float32")),
          weight,
          mask: kwargs["mask"] instanceof tf.Tensor ? kwargs["mask"] : undefined,
          training: kwargs["training"] === true,
          seed: this.seed,
        }),
      );
    }

    override computeMask(_: Tensor | Tensor[], mask?: Tensor | Tensor[]): Tensor | Tensor[] {
      const [first] = definition.passesMask === true ? [mask ?? []].flat() : [];
      // tfjs declares that there is always a mask, and takes null where there is none.
      return (first ?? null) as Tensor;
    }

    override getConfig(): serialization.ConfigDict {
      return { ...this.#config, ...super.getConfig() };
    }
  };
}
