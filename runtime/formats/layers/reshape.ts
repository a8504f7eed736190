/** Reshape with one size that follows from the others. */
import type { Shape } from "@tensorflow/tfjs";
import { z } from "zod";
import { type Definition, only } from "./definition.ts";

const Settings = z.object({ targetShape: z.array(z.int().min(-1)).max(8) });

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1);

function outputShape(shapes: Shape[], targetShape: readonly number[]): Shape {
  const [batch = null, ...sizes] = only(shapes);
  const known = sizes.filter((size) => size !== null);
  const rest =
    known.length === sizes.length ? product(known) / product(targetShape.filter((size) => size !== -1)) : null;
  return [batch, ...targetShape.map((size) => (size === -1 ? rest : size))];
}

export const openReshape: Definition<z.output<typeof Settings>> = {
  className: "OpenReshape",
  settings: Settings,
  outputShape: (shapes, { targetShape }) => outputShape(shapes, targetShape),
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    return tf.reshape(x, [x.shape[0] ?? 1, ...settings.targetShape]);
  },
};
