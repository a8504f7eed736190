/** Dropout of whole channels. */
import { z } from "zod";
import { slice } from "../expressions/shaping.ts";
import { type AnyLowering, inputOf, lowering } from "./definition.ts";
import { dropped } from "./core.ts";

const spatialDropout = lowering({
  settings: z.object({ rate: z.number(), dataFormat: z.literal("channelsLast").nullish() }),
  lower: (call) => {
    const x = inputOf(call);
    const { rate } = call.settings;
    if (call.training === undefined || rate === 0) return x;
    const size = x.shape.map((_, axis) => (axis === 0 || axis === x.shape.length - 1 ? -1 : 1));
    const channels = slice(
      x,
      x.shape.map(() => 0),
      size,
    );
    return dropped(x, call.training.uniform(channels), rate);
  },
});

export const spatialDropoutLowerings: Record<string, AnyLowering> = {
  SpatialDropout1D: spatialDropout,
  SpatialDropout2D: spatialDropout,
  SpatialDropout3D: spatialDropout,
};
