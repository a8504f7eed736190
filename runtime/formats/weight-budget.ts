/** Keeps what a topology asks for within what its weights can fill. */
import type { layers } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";

type Layer = InstanceType<typeof layers.Layer>;
type AddWeight = (...parameters: [string, (number | null)[], ...unknown[]]) => unknown;

/** Numbers that may still be made; undefined outside of a build. */
let left: number | undefined;

/** By what they guard: namespaces of tfjs share their classes. */
const guarded = new WeakSet<object>();

/** Every layer makes its weights here; while a model is built, they are zeros, which the stored ones replace. */
function guard(tf: Tf): void {
  // The method is protected, for layers to call; it is the one place where all of them can be held to a limit.
  const prototype = tf.layers.Layer.prototype as unknown as { addWeight: AddWeight };
  if (guarded.has(prototype)) return;
  guarded.add(prototype);
  const original = prototype.addWeight;
  prototype.addWeight = function addWeight(this: Layer, name, shape, dtype, initializer, ...rest) {
    if (left === undefined) return original.call(this, name, shape, dtype, initializer, ...rest);
    const count = shape.reduce<number>((product, size) => product * (size ?? NaN), 1);
    left -= count;
    if (!(left >= 0)) {
      throw new RangeError(
        `layer ${this.name} asks for a ${name} of shape [${shape.join(", ")}], more than there are weights`,
      );
    }
    return original.call(this, name, shape, dtype, tf.initializers.zeros(), ...rest.slice(0, 3));
  };
}

/** Runs `build`, in which layers may make `numbers` numbers altogether. One at a time. */
export async function withinBudget<T>(tf: Tf, numbers: number, build: () => Promise<T>): Promise<T> {
  guard(tf);
  if (left !== undefined) throw new Error("a model is being built already");
  left = numbers;
  try {
    return await build();
  } finally {
    left = undefined;
  }
}
