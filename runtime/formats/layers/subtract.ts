import { z } from "zod";
import { type Definition, only } from "./definition.ts";

export const subtract: Definition<object> = {
  className: "Subtract",
  settings: z.object({}),
  outputShape: (shapes) => broadcast(shapes),
  compute: ({ tf, inputs }) => {
    const [a, b] = inputs;
    if (a === undefined || b === undefined) throw new RangeError("Subtract needs two inputs");
    return tf.sub(a, b);
  },
};

/** The shape of what is computed element by element; missing dimensions are at the front. */
export function broadcast(shapes: readonly (number | null)[][]): (number | null)[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, index) => {
    const found = shapes.map((shape) =>
      index < rank - shape.length ? 1 : (shape[index - rank + shape.length] ?? null),
    );
    const sized = found.find((size) => size !== 1);
    return sized === undefined ? only(found) : sized;
  });
}
