/** Layers by their Keras names, as a manifest declares them. */
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

const span = (description: string) => z.int().min(1).max(1024).meta({ description });
const Filters = z.int().min(1).max(65536).meta({ description: "Number of output channels" });
const Units = z.int().min(1).max(65536).meta({ description: "Number of outputs" });

const Rate = z.number().min(0).lt(1).meta({ description: "As the share of a dropout" });

const described = <S extends z.ZodRawShape>(shape: S, description: string) =>
  z.strictObject(shape).meta({ description });

const Dense = described({ units: Units, activation: Activation, useBias: UseBias }, "Fully connected layer");

const kernel2d = {
  kernelSize: window("Size of the kernel"),
  strides: window("Strides").default([1, 1]),
  padding: Padding,
  activation: Activation,
  useBias: UseBias,
};

const Conv1d = described(
  {
    filters: Filters,
    kernelSize: span("Size of the kernel, in steps"),
    strides: span("Stride").default(1),
    padding: Padding,
    activation: Activation,
    useBias: UseBias,
  },
  "Convolution over [steps, channels]",
);
const Conv2d = described({ filters: Filters, ...kernel2d }, "Convolution over [height, width, channels]");
const SeparableConv2d = described(
  { filters: Filters, ...kernel2d },
  "A convolution of each channel by itself, and one of single pixels over all channels",
);
const DepthwiseConv2d = described(
  {
    depthMultiplier: z.int().min(1).max(1024).default(1).meta({ description: "Output channels of each input channel" }),
    ...kernel2d,
  },
  "A convolution of each channel by itself",
);
const Conv2dTranspose = described(
  { filters: Filters, ...kernel2d },
  "Transposed convolution: strides make the image larger",
);

const pool2d = {
  poolSize: window("Size of the pool").default([2, 2]),
  strides: window("Strides; default: poolSize").optional(),
  padding: Padding,
};
const pool1d = {
  poolSize: span("Size of the pool, in steps").default(2),
  strides: span("Stride; default: poolSize").optional(),
  padding: Padding,
};

const recurrent = {
  units: Units,
  returnSequences: z.boolean().default(false).meta({ description: "Answers every step, not the last only" }),
};

const Lstm = described(recurrent, "Long short-term memory over [steps, features]");
const Gru = described(recurrent, "Gated recurrent unit over [steps, features]");

const SimpleRnn = described(
  {
    ...recurrent,
    activation: Activation.removeDefault().default("tanh").meta({ description: "Activation function" }),
  },
  "A recurrent layer whose state is its last answer, over [steps, features]",
);

/** What a bidirectional layer may hold: CRDs cannot recurse. */
const Recurrent = oneOf({ lstm: Lstm, gru: Gru, simpleRnn: SimpleRnn }, "The recurrent layer that goes both ways");

export const Layer = oneOf(
  {
    dense: Dense,
    conv1d: Conv1d,
    conv2d: Conv2d,
    separableConv2d: SeparableConv2d,
    depthwiseConv2d: DepthwiseConv2d,
    conv2dTranspose: Conv2dTranspose,
    maxPooling1d: described(pool1d, "Maximum over parts of [steps, channels]"),
    maxPooling2d: described(pool2d, "Maximum over windows"),
    averagePooling1d: described(pool1d, "Mean over parts of [steps, channels]"),
    averagePooling2d: described(pool2d, "Mean over windows"),
    globalMaxPooling1d: described({}, "Maximum over all steps"),
    globalMaxPooling2d: described({}, "Maximum over the image, for each channel"),
    globalAveragePooling1d: described({}, "Mean over all steps"),
    globalAveragePooling2d: described({}, "Mean over the image, for each channel"),
    flatten: described({}, "Flattens each example"),
    reshape: described(
      {
        shape: z.array(z.int().min(1).max(65536)).min(1).max(4).meta({ description: "Shape of one example" }),
      },
      "Gives each example another shape",
    ),
    zeroPadding2d: described({ padding: window("Rows and columns on each side") }, "A border of zeros"),
    upSampling2d: described({ size: window("How many times higher and wider") }, "Repeats rows and columns"),
    cropping2d: described(
      { cropping: window("Rows and columns that are left out on each side") },
      "A part of an image",
    ),
    permute: described(
      {
        dims: z.array(z.int().min(1).max(4)).min(1).max(4).meta({
          description: "The dimensions of an example in their new order, from 1: [2, 1] changes rows for columns",
        }),
      },
      "Another order of dimensions",
    ),
    repeatVector: described(
      { n: z.int().min(1).max(65536).meta({ description: "How many steps there are then" }) },
      "The same numbers at each of several steps",
    ),
    timeDistributed: described(
      { dense: Dense.meta({ description: "The layer" }) },
      "A dense layer at each step by itself, over [steps, features]",
    ),
    gaussianNoise: described(
      { stddev: z.number().min(0).max(1000).meta({ description: "Standard deviation of the noise" }) },
      "Adds noise while training",
    ),
    gaussianDropout: described({ rate: Rate }, "Regularization by noise that inputs are multiplied with"),
    alphaDropout: described({ rate: Rate }, "Dropout that keeps mean and variance, for selu"),
    dropout: described(
      { rate: z.number().min(0).lt(1).meta({ description: "Share of inputs set to zero while training" }) },
      "Regularization by dropping inputs",
    ),
    batchNormalization: described(
      {
        momentum: z.number().gt(0).lt(1).default(0.99).meta({ description: "What the moving statistics keep" }),
        epsilon: z.number().gt(0).lte(1).default(0.001).meta({ description: "Added to the variance" }),
      },
      "Normalizes by the batch while training, by moving statistics afterwards",
    ),
    layerNormalization: described(
      { epsilon: z.number().gt(0).lte(1).default(0.001).meta({ description: "Added to the variance" }) },
      "Normalizes the last dimension of each example",
    ),
    activation: described(
      { activation: Activation.removeDefault().meta({ description: "Activation function" }) },
      "An activation function by itself",
    ),
    leakyReLU: described(
      { alpha: z.number().min(0).max(1).default(0.3).meta({ description: "Slope where the input is negative" }) },
      "ReLU with a slope",
    ),
    embedding: described(
      {
        inputDim: z.int().min(1).max(10000000).meta({ description: "Number of tokens: inputs are 0 to inputDim - 1" }),
        outputDim: z.int().min(1).max(65536).meta({ description: "Numbers for each token" }),
      },
      "Vectors for the tokens of [steps]",
    ),
    lstm: Lstm,
    gru: Gru,
    simpleRnn: SimpleRnn,
    bidirectional: described(
      {
        layer: Recurrent,
        mergeMode: z.enum(["concat", "sum", "mul", "ave"]).default("concat").meta({
          description: "How the answers of both directions become one",
        }),
      },
      "A recurrent layer that reads forward and backward",
    ),
  },
  "One layer, by its Keras name",
);

export type Layer = z.output<typeof Layer>;
