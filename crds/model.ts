/** Steps before the model, as a manifest declares them. */
import { z } from "zod";
import { oneOf } from "./schema.ts";

export { Layer } from "./layers.ts";

export const PreprocessingStep = oneOf(
  {
    rescale: z
      .strictObject({
        scale: z.number().meta({ description: "Factor" }),
        offset: z.number().default(0).meta({ description: "Added after scaling" }),
      })
      .meta({ description: "features * scale + offset" }),
    standardize: z.strictObject({}).meta({
      description:
        "(features - mean) / deviation, for each feature (place in the last dimension), both of the training data without what is held out",
    }),
    minMax: z.strictObject({}).meta({
      description: "From 0 for the smallest to 1 for the largest value of each feature in the training data",
    }),
    reshape: z
      .strictObject({
        shape: z.array(z.int().min(1).max(65536)).min(1).max(4).meta({ description: "Shape of one example" }),
      })
      .meta({ description: "Gives each example a shape" }),
    oneHot: z
      .strictObject({ classes: z.int().min(2).max(65536).meta({ description: "Number of classes" }) })
      .meta({ description: "Turns integer labels into one-hot vectors" }),
  },
  "One step before the model. Steps on features become the model's first layers, so serving applies the same",
);

export type PreprocessingStep = z.output<typeof PreprocessingStep>;
