/** Layers and preprocessing by their Keras names, as a manifest declares them. */
import { z } from "zod";
import { oneOf } from "./schema.ts";

const Activation = z
  .enum(["linear", "relu", "relu6", "elu", "selu", "sigmoid", "hardSigmoid", "softplus", "softsign", "tanh", "softmax"])
  .default("linear")
  .meta({ description: "Activation function" });

const UseBias = z.boolean().default(true).meta({ description: "Whether the layer adds a bias" });
const Padding = z.enum(["valid", "same"]).default("valid").meta({ description: "Border handling" });
const window = (description: string) =>
  z
    .array(z.int().min(1).max(1024))
    .min(2)
    .max(2)
    .meta({ description: `${description}: [height, width]` });

export const Dense = z
  .strictObject({
    units: z.int().min(1).max(65536).meta({ description: "Number of outputs" }),
    activation: Activation,
    useBias: UseBias,
  })
  .meta({ description: "Fully connected layer" });
export const Conv2d = z
  .strictObject({
    filters: z.int().min(1).max(65536).meta({ description: "Number of output channels" }),
    kernelSize: window("Size of the kernel"),
    strides: window("Strides").default([1, 1]),
    padding: Padding,
    activation: Activation,
    useBias: UseBias,
  })
  .meta({ description: "Convolution over [height, width, channels]" });
export const MaxPooling2d = z
  .strictObject({
    poolSize: window("Size of the pool").default([2, 2]),
    strides: window("Strides; default: poolSize").optional(),
    padding: Padding,
  })
  .meta({ description: "Maximum over windows" });
export const Flatten = z.strictObject({}).meta({ description: "Flattens each example" });
export const Dropout = z
  .strictObject({
    rate: z.number().min(0).lt(1).meta({ description: "Share of inputs set to zero while training" }),
  })
  .meta({ description: "Regularization by dropping inputs" });

export const Layer = oneOf(
  { dense: Dense, conv2d: Conv2d, maxPooling2d: MaxPooling2d, flatten: Flatten, dropout: Dropout },
  "One layer, by its Keras name",
);

export const PreprocessingStep = oneOf(
  {
    rescale: z
      .strictObject({
        scale: z.number().meta({ description: "Factor" }),
        offset: z.number().default(0).meta({ description: "Added after scaling" }),
      })
      .meta({ description: "features * scale + offset" }),
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

export type Layer = z.output<typeof Layer>;
export type PreprocessingStep = z.output<typeof PreprocessingStep>;
