/** Does what was compiled answer as the model that it was made from? */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";
import { allLayers } from "../formats/computable.ts";
import { signatureOf } from "../formats/signature.ts";

/**
 * Largest difference of an answer, scaled by max(1, |y|), that may be only rounding: ResNet50 in float32 is 8e-5 from itself
 * in float64. What is compiled wrong (an epsilon, a padding, an axis) is off by far more.
 */
export const TOLERANCE = 2e-4;

const ROWS = 2;
/** Of dimensions besides the batch that are open. */
const OPEN = 4;

/**
 * Numbers as inputs have them: about 0 and 1 in size; whole ones are 0 and 1, which every index may be. Models that look
 * up parts of a table get whole ones only, as tfjs takes indices as float32, too.
 */
export function sampleInputs(tf: Tf, source: LayersModel): Tensor[] {
  const indices = allLayers(source.layers).some((layer) => layer.getClassName() === "Embedding");
  return signatureOf(source).inputs.map(({ datatype, shape }, index) => {
    const sizes = shape.map((size, axis) => (size !== -1 ? size : axis === 0 ? ROWS : OPEN));
    if (datatype === "FP32" && indices) return tf.randomUniformInt(sizes, 0, 2, index + 1).cast("float32");
    if (datatype === "FP32") return tf.randomNormal(sizes, 0, 1, "float32", index + 1);
    return tf.randomUniformInt(sizes, 0, 2, index + 1).cast(datatype === "BOOL" ? "bool" : "int32");
  });
}

/** Largest difference, scaled by max(1, |y|); Infinity when shapes or what is no number differ. */
export function differenceOf(found: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  if (found.length !== expected.length) return Infinity;
  let largest = 0;
  for (const [index, values] of expected.entries()) {
    const own = found[index] ?? [];
    if (own.length !== values.length) return Infinity;
    for (let at = 0; at < values.length; at++) {
      const [x = NaN, y = NaN] = [own[at], values[at]];
      if (Object.is(x, y) || x === y) continue;
      const difference = Math.abs(x - y) / Math.max(1, Math.abs(y));
      if (!(difference < Infinity)) return Infinity;
      if (difference > largest) largest = difference;
    }
  }
  return largest;
}
