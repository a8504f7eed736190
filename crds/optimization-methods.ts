/** What can be done to a model to make it smaller and faster. */
import { z } from "zod";
import { Layer } from "./model.ts";
import { oneOf, withRule } from "./schema.ts";

const training = {
  epochs: z.int().min(1).max(1000).meta({ description: "How often training sees dataset.train" }),
  batchSize: z.int().min(1).max(65536).default(32).meta({ description: "Examples in a step" }),
  learningRate: z.number().gt(0).lte(1).default(0.001).meta({ description: "Step size (Adam)" }),
};

const teaching = {
  temperature: z.number().gt(0).lte(100).default(3).meta({
    description: "Softens the answers of teacher and student: logits are divided by it",
  }),
  alpha: z.number().gt(0).lte(1).default(0.5).meta({
    description: "Weight of the teacher's answers in the loss; the labels have the rest",
  }),
};

const FineTune = z
  .strictObject({
    ...training,
    distillation: z
      .strictObject(teaching)
      .optional()
      .meta({ description: "Learns from the answers of the model as it was before, besides the labels" }),
  })
  .meta({ description: "Training after pruning, with the loss that the model was trained with" });

const sparsity = (description: string) => z.number().gt(0).lt(1).meta({ description });

const Structured = z
  .strictObject({
    sparsity: sparsity("Share of units and filters removed from each layer but those that give the answer"),
    criterion: z.enum(["L1Norm", "L2Norm", "BatchNormScale"]).default("L2Norm").meta({
      description:
        "What tells how much a unit or filter matters: the norm of its kernel, or the scale of the batch normalization behind it (the L2 norm where there is none)",
    }),
  })
  .meta({ description: "Removes whole units and filters, so that the model really computes less" });

const Magnitude = withRule(
  z
    .strictObject({
      sparsity: sparsity("Share of the weights of each kernel that become zero, those of the smallest magnitude"),
      initialSparsity: z.number().min(0).lt(1).default(0).meta({ description: "Share at the first step" }),
      schedule: z.enum(["Polynomial", "Constant"]).default("Polynomial").meta({
        description:
          "Polynomial: the share grows in fine-tuning, fast at first. Constant: all become zero at the first step",
      }),
      power: z.number().min(1).max(10).default(3).meta({ description: "Polynomial: how fast at first" }),
      frequency: z.int().min(1).max(1_000_000).optional().meta({
        description: "Polynomial: steps between two choices of the weights; default 100, or a tenth of all if fewer",
      }),
      endStep: z.int().min(0).max(1_000_000_000).optional().meta({
        description: "Polynomial: step at which the share is reached; default: after three quarters of fine-tuning",
      }),
    })
    .meta({
      description: "Sets single weights to zero: the files compress better; nothing computes faster by that alone",
    }),
  {
    rule: "self.initialSparsity <= self.sparsity",
    message: "initialSparsity must not be above sparsity; lower it",
    fieldPath: ".initialSparsity",
    holds: ({ initialSparsity, sparsity: final }) => initialSparsity <= final,
  },
);

const Pattern = withRule(
  z
    .strictObject({
      n: z.int().min(1).max(31).meta({ description: "Weights that stay, the largest" }),
      m: z.int().min(2).max(32).meta({ description: "Of how many that follow each other in a kernel's inputs" }),
    })
    .meta({ description: "Keeps n of each m weights (2 of 4: what sparse tensor cores of GPUs take)" }),
  {
    rule: "self.n < self.m",
    message: "n must be below m; lower it",
    fieldPath: ".n",
    holds: ({ n, m }) => n < m,
  },
);

/** Exactly one of them. */
const WAYS = ["structured", "magnitude", "pattern"] as const;

const Prune = withRule(
  z
    .strictObject({
      structured: Structured.optional(),
      magnitude: Magnitude.optional(),
      pattern: Pattern.optional(),
      fineTune: FineTune.optional(),
    })
    .meta({ description: "Pruning: exactly one of structured, magnitude and pattern" }),
  {
    rule: `[${WAYS.map((way) => `has(self.${way})`).join(", ")}].filter(way, way).size() == 1`,
    message: "exactly one of structured, magnitude and pattern must be set; remove the others",
    holds: (prune) => WAYS.filter((way) => prune[way] !== undefined).length === 1,
  },
);

const Student = oneOf(
  {
    scale: z.number().gt(0).lt(1).meta({
      description: "The teacher with this share of its units and filters, the strongest, to begin with",
    }),
    layers: z.array(Layer).min(1).max(64).meta({
      description:
        "Layers of its own, after those of the teacher that prepare features (Rescaling, Reshape, Normalization)",
    }),
  },
  "The smaller model that learns",
);

const Distil = z
  .strictObject({ student: Student, ...teaching, ...training })
  .meta({ description: "Distillation: a smaller model learns the answers of this one" });

const Calibration = withRule(
  z
    .strictObject({
      method: z.enum(["MinMax", "Percentile", "Entropy"]).default("MinMax").meta({
        description:
          "MinMax: all values that were seen. Percentile: the middle part of them. Entropy: the range that loses the least information",
      }),
      percentile: z.number().min(50).lt(100).optional().meta({
        description: "Percentile: how much of the values is in range, in percent; default 99.99",
      }),
      examples: z.int().min(1).max(65536).default(512).meta({
        description: "How many examples are looked at, drawn by the seed",
      }),
    })
    .meta({ description: "How ranges of activations are found" }),
  {
    rule: "!has(self.percentile) || self.method == 'Percentile'",
    message: "percentile belongs to method Percentile; remove it, or change method",
    fieldPath: ".percentile",
    holds: ({ method, percentile }) => percentile === undefined || method === "Percentile",
  },
);

const QuantizeFields = z
  .strictObject({
    weights: z.enum(["Int8", "Uint8", "Uint16", "Float16"]).meta({
      description:
        "Int8: weights are integers, each output channel with its own scale, and are computed with as such, by ONNX Runtime. The others are types of files in the tfjs format, four times (Uint8) or twice smaller, whose weights are float32 again once loaded",
    }),
    activations: z.enum(["Dynamic", "Static"]).optional().meta({
      description:
        "Int8: how what is computed becomes integers, too. Dynamic (default): by the range of each batch. Static: by ranges found beforehand, with examples",
    }),
    calibration: Calibration.optional(),
  })
  .meta({ description: "Quantization; nothing but quantize may follow it, as that would undo it" });

type QuantizeFields = z.output<typeof QuantizeFields>;

const QUANTIZE_RULES = [
  {
    rule: "!has(self.activations) || self.weights == 'Int8'",
    message: "activations become integers with weights Int8 only; remove it, or set weights to Int8",
    fieldPath: ".activations",
    holds: ({ weights, activations }: QuantizeFields) => activations === undefined || weights === "Int8",
  },
  {
    rule: "!has(self.calibration) || (has(self.activations) && self.activations == 'Static')",
    message: "calibration belongs to activations Static; remove it, or change activations",
    fieldPath: ".calibration",
    holds: ({ activations, calibration }: QuantizeFields) => calibration === undefined || activations === "Static",
  },
] as const;

const Quantize = QUANTIZE_RULES.reduce((schema, rule) => withRule(schema, rule), QuantizeFields);

export const Method = oneOf({ distil: Distil, prune: Prune, quantize: Quantize }, "One method");

export type Method = z.output<typeof Method>;
export type Prune = z.output<typeof Prune>;
export type Distil = z.output<typeof Distil>;
export type Quantize = z.output<typeof Quantize>;
export type FineTune = z.output<typeof FineTune>;
export type Magnitude = z.output<typeof Magnitude>;
export type Teaching = z.output<z.ZodObject<typeof teaching>>;
