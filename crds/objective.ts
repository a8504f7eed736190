/** What training minimizes and reports, by the names of Keras. */
import { z } from "zod";

export const Loss = z.enum([
  "sparseCategoricalCrossentropy",
  "categoricalCrossentropy",
  "binaryCrossentropy",
  "meanSquaredError",
  "meanAbsoluteError",
  "meanAbsolutePercentageError",
  "meanSquaredLogarithmicError",
  "huber",
  "logCosh",
  "poisson",
  "kullbackLeiblerDivergence",
  "cosineSimilarity",
  "hinge",
  "squaredHinge",
  "categoricalHinge",
]);

export const LossOptions = z
  .strictObject({
    fromLogits: z.boolean().optional().meta({
      description: "The model answers logits, and the loss applies softmax or sigmoid; crossentropies only",
    }),
    labelSmoothing: z.number().min(0).lt(1).optional().meta({
      description: "Takes this share of a label's weight and spreads it over all classes; not with sparse labels",
    }),
    delta: z.number().gt(0).lte(1e6).optional().meta({
      description: "huber: where the loss goes over from squares to a line; default 1",
    }),
  })
  .meta({ description: "How the loss is computed" });

export const Metric = z.enum([
  "accuracy",
  "binaryAccuracy",
  "categoricalAccuracy",
  "sparseCategoricalAccuracy",
  "top5Accuracy",
  "precision",
  "recall",
  "f1Score",
  "meanSquaredError",
  "rootMeanSquaredError",
  "meanAbsoluteError",
  "meanAbsolutePercentageError",
  "cosineSimilarity",
  "r2Score",
  "binaryCrossentropy",
  "categoricalCrossentropy",
]);

/** A rule of a specification that has a loss and its options, offline and for the API server. */
interface ObjectiveSpec {
  loss: Loss;
  lossOptions?: LossOptions | undefined;
}

export const lossRules = [
  {
    rule: "!has(self.lossOptions) || !has(self.lossOptions.fromLogits) || self.loss.endsWith('rossentropy')",
    message: "fromLogits belongs to crossentropies; remove it, or change loss",
    fieldPath: ".lossOptions",
    holds: ({ loss, lossOptions }: ObjectiveSpec) =>
      lossOptions?.fromLogits === undefined || loss.endsWith("rossentropy"),
  },
  {
    rule: "!has(self.lossOptions) || !has(self.lossOptions.labelSmoothing) || self.loss in ['categoricalCrossentropy', 'binaryCrossentropy']",
    message: "labelSmoothing belongs to categoricalCrossentropy and binaryCrossentropy; remove it, or change loss",
    fieldPath: ".lossOptions",
    holds: ({ loss, lossOptions }: ObjectiveSpec) =>
      lossOptions?.labelSmoothing === undefined || loss === "categoricalCrossentropy" || loss === "binaryCrossentropy",
  },
  {
    rule: "!has(self.lossOptions) || !has(self.lossOptions.delta) || self.loss == 'huber'",
    message: "delta belongs to huber; remove it, or change loss",
    fieldPath: ".lossOptions",
    holds: ({ loss, lossOptions }: ObjectiveSpec) => lossOptions?.delta === undefined || loss === "huber",
  },
] as const;

export type Loss = z.output<typeof Loss>;
export type LossOptions = z.output<typeof LossOptions>;
export type Metric = z.output<typeof Metric>;
