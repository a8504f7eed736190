/** Optimizers, schedules of the learning rate, and what is done to gradients, with the names and defaults of Keras. */
import { z } from "zod";
import { oneOf, withRule } from "./schema.ts";

const number = (description: string) => z.number().meta({ description });
const LearningRate = (value: number) => z.number().gt(0).lte(10).default(value).meta({ description: "Step size" });
const Decay = (value: number, description: string) => z.number().min(0).lt(1).default(value).meta({ description });
const Epsilon = z.number().gt(0).lte(10).default(1e-7).meta({ description: "Keeps the division finite" });
const Momentum = Decay(0, "Momentum");

const moments = (rate: number, beta2 = 0.999) => ({
  learningRate: LearningRate(rate),
  beta1: Decay(0.9, "Decay of the first moment"),
  beta2: Decay(beta2, "Decay of the second moment"),
});

const amsgrad = z.boolean().optional().meta({
  description: "AMSGrad: divides by the largest second moment so far",
});

const WeightDecay = (value: number) =>
  z.number().min(0).lte(1).default(value).meta({
    description: "Share of each weight that a step of size 1 takes away, apart from the gradient",
  });

const Sgd = withRule(
  z.strictObject({
    learningRate: LearningRate(0.01),
    momentum: Momentum,
    nesterov: z
      .boolean()
      .default(false)
      .meta({ description: "Nesterov's form of momentum: the step is taken from where the momentum leads" }),
  }),
  {
    rule: "!self.nesterov || self.momentum > 0.0",
    message: "nesterov needs momentum above 0; set it, or remove nesterov",
    fieldPath: ".nesterov",
    holds: ({ momentum, nesterov }) => !nesterov || momentum > 0,
  },
);

export const Optimizer = oneOf(
  {
    sgd: Sgd,
    rmsprop: z.strictObject({
      learningRate: LearningRate(0.001),
      rho: Decay(0.9, "Decay of the mean of squared gradients"),
      momentum: Momentum,
      epsilon: Epsilon,
      centered: z.boolean().default(false).meta({ description: "Divides by the deviation instead of the mean square" }),
    }),
    adam: z.strictObject({ ...moments(0.001), epsilon: Epsilon, amsgrad }),
    adamw: z.strictObject({ ...moments(0.001), epsilon: Epsilon, amsgrad, weightDecay: WeightDecay(0.004) }),
    adagrad: z.strictObject({
      learningRate: LearningRate(0.001),
      initialAccumulator: z.number().min(0).default(0.1).meta({ description: "Sum of squares at the start" }),
      epsilon: Epsilon,
    }),
    adadelta: z.strictObject({
      learningRate: LearningRate(0.001),
      rho: Decay(0.95, "Decay of both means"),
      epsilon: Epsilon,
    }),
    adamax: z.strictObject({ ...moments(0.001), epsilon: Epsilon }),
    nadam: z.strictObject({ ...moments(0.001), epsilon: Epsilon }),
    lion: z.strictObject(moments(0.001, 0.99)),
  },
  "The optimizer, by its Keras name",
);

const Steps = (description: string) => z.int().min(1).max(1_000_000_000).meta({ description });
const Rate = (description: string) => z.number().min(0).lte(10).meta({ description });

/** Every schedule starts from the optimizer's `learningRate`; steps are updates of the weights, from 0. */
export const LearningRateSchedule = oneOf(
  {
    exponentialDecay: z.strictObject({
      decaySteps: Steps("Steps in which the rate is multiplied by decayRate once"),
      decayRate: z.number().gt(0).lte(1).meta({ description: "Factor" }),
      staircase: z.boolean().default(false).meta({ description: "Changes only after whole decaySteps" }),
    }),
    piecewiseConstantDecay: withRule(
      z.strictObject({
        boundaries: z.array(z.int().min(0)).min(1).max(64).meta({ description: "Last steps of each rate, rising" }),
        values: z.array(Rate("Rate")).min(1).max(64).meta({ description: "The rates after each boundary" }),
      }),
      {
        rule: "size(self.values) == size(self.boundaries)",
        message: "values needs a rate for each of boundaries; the first rate is the optimizer's learningRate",
        fieldPath: ".values",
        holds: ({ boundaries, values }) => values.length === boundaries.length,
      },
    ),
    polynomialDecay: z.strictObject({
      decaySteps: Steps("Steps to the end of the decay"),
      endLearningRate: Rate("Rate at the end").default(0.0001),
      power: z.number().gt(0).lte(100).default(1).meta({ description: "Power of the polynomial" }),
      cycle: z.boolean().default(false).meta({ description: "Begins anew beyond decaySteps, with longer decays" }),
    }),
    inverseTimeDecay: z.strictObject({
      decaySteps: Steps("Steps that count as one unit of time"),
      decayRate: number("Factor of time").gt(0),
      staircase: z.boolean().default(false).meta({ description: "Changes only after whole decaySteps" }),
    }),
    cosineDecay: z.strictObject({
      decaySteps: Steps("Steps from the full rate to the end"),
      alpha: z.number().min(0).lte(1).default(0).meta({ description: "Share of the rate that is left at the end" }),
      warmupSteps: z.int().min(0).max(1_000_000_000).default(0).meta({
        description: "Steps before the decay in which the rate rises in a line to the optimizer's learningRate",
      }),
      warmupFrom: Rate("Rate at the first step of the warm-up").default(0),
    }),
    cosineDecayRestarts: z.strictObject({
      firstDecaySteps: Steps("Steps of the first decay"),
      timeFactor: z.number().min(1).lte(10).default(2).meta({ description: "Makes each decay longer" }),
      rateFactor: z.number().gt(0).lte(1).default(1).meta({ description: "Makes each restart lower" }),
      alpha: z.number().min(0).lte(1).default(0).meta({ description: "Share of the rate that is never gone below" }),
    }),
  },
  "How the learning rate changes from step to step",
);

export const Callbacks = z
  .strictObject({
    earlyStopping: z
      .strictObject({
        monitor: z.string().min(1).max(64).default("val_loss").meta({
          description: "What is watched: loss, a metric, or one of validation as val_loss, val_accuracy",
        }),
        minDelta: z.number().min(0).default(0).meta({ description: "A smaller change is no improvement" }),
        patience: z.int().min(0).max(100000).default(0).meta({ description: "Epochs without improvement to wait" }),
        baseline: z.number().optional().meta({ description: "A value that must be passed for an improvement" }),
        startFromEpoch: z.int().min(0).max(100000).default(0).meta({ description: "Epochs before it is looked at" }),
        restoreBestWeights: z.boolean().default(true).meta({
          description: "The model gets the weights of its best epoch; false: those of the last",
        }),
      })
      .optional()
      .meta({ description: "Ends the training when what is watched does not improve any more" }),
    reduceLearningRateOnPlateau: z
      .strictObject({
        monitor: z.string().min(1).max(64).default("val_loss").meta({ description: "What is watched" }),
        factor: z.number().gt(0).lt(1).default(0.1).meta({ description: "What the rate is multiplied by" }),
        patience: z.int().min(0).max(100000).default(10).meta({ description: "Epochs without improvement to wait" }),
        minDelta: z.number().min(0).default(0.0001).meta({ description: "A smaller change is no improvement" }),
        cooldown: z.int().min(0).max(100000).default(0).meta({ description: "Epochs to wait after a change" }),
        minLearningRate: Rate("The rate never goes below").default(0),
      })
      .optional()
      .meta({ description: "Lowers the learning rate when what is watched does not improve any more" }),
    terminateOnNaN: z.boolean().default(true).meta({
      description: "Fails as soon as the loss is not finite; false: goes on, and leaves such values out of means",
    }),
  })
  .meta({ description: "What happens on the way" });

/** What is done to gradients and weights around the optimizer's step. */
export const updateShape = {
  optimizer: Optimizer,
  learningRateSchedule: LearningRateSchedule.optional(),
  weightDecay: z.number().gt(0).lte(1).optional().meta({
    description: "Share of each weight that a step of size 1 takes away, with any optimizer (adamw has its own)",
  }),
  clipNorm: z.number().gt(0).optional().meta({ description: "Largest norm of the gradient of each weight" }),
  clipValue: z.number().gt(0).optional().meta({ description: "Largest absolute value in a gradient" }),
  globalClipNorm: z.number().gt(0).optional().meta({ description: "Largest norm of all gradients together" }),
  gradientAccumulation: z.int().min(1).max(65536).default(1).meta({
    description: "Batches whose mean gradient makes one update",
  }),
  movingAverage: z
    .strictObject({
      decay: z.number().gt(0).lt(1).default(0.99).meta({ description: "What is kept of the average at each update" }),
    })
    .optional()
    .meta({ description: "The model, also in validation, gets an exponential moving average of its weights" }),
};

export type Optimizer = z.output<typeof Optimizer>;
export type LearningRateSchedule = z.output<typeof LearningRateSchedule>;
export type Callbacks = z.output<typeof Callbacks>;

/** A declared update. What is absent is not done. */
export interface Update {
  optimizer: Optimizer;
  learningRateSchedule?: LearningRateSchedule | undefined;
  weightDecay?: number | undefined;
  clipNorm?: number | undefined;
  clipValue?: number | undefined;
  globalClipNorm?: number | undefined;
  gradientAccumulation?: number | undefined;
  movingAverage?: { decay: number } | undefined;
}

interface UpdateSpec extends Update {
  callbacks: Callbacks;
  dataset: { validation?: unknown };
}

/** Do all monitors of callbacks that name validation have one? */
const monitorsOf = ({ callbacks }: UpdateSpec) =>
  [callbacks.earlyStopping?.monitor, callbacks.reduceLearningRateOnPlateau?.monitor].filter(
    (monitor) => monitor !== undefined,
  );

const present = (field: string) => `has(self.${field})`;
const watched = (callback: string) => `self.callbacks.${callback}`;

export const updateRules = [
  {
    rule: `[${["clipNorm", "clipValue", "globalClipNorm"].map(present).join(", ")}].filter(set, set).size() <= 1`,
    message: "only one of clipNorm, clipValue and globalClipNorm may be set; remove the others",
    holds: ({ clipNorm, clipValue, globalClipNorm }: UpdateSpec) =>
      [clipNorm, clipValue, globalClipNorm].filter((clip) => clip !== undefined).length <= 1,
  },
  {
    rule: "!has(self.weightDecay) || !has(self.optimizer.adamw)",
    message: "adamw has a weightDecay of its own; set it there, and remove this one",
    fieldPath: ".weightDecay",
    holds: ({ weightDecay, optimizer }: UpdateSpec) => weightDecay === undefined || optimizer.adamw === undefined,
  },
  {
    rule: `!has(self.learningRateSchedule) || !has(${watched("reduceLearningRateOnPlateau")})`,
    message: "reduceLearningRateOnPlateau changes a fixed rate; remove it, or learningRateSchedule",
    fieldPath: ".callbacks.reduceLearningRateOnPlateau",
    holds: ({ learningRateSchedule, callbacks }: UpdateSpec) =>
      learningRateSchedule === undefined || callbacks.reduceLearningRateOnPlateau === undefined,
  },
  {
    rule: ["earlyStopping", "reduceLearningRateOnPlateau"]
      .map(
        (callback) =>
          `(has(self.dataset.validation) || !has(${watched(callback)}) || !${watched(callback)}.monitor.startsWith('val_'))`,
      )
      .join(" && "),
    message: "a monitor that begins with val_ needs dataset.validation; set it, or watch loss or a metric",
    fieldPath: ".callbacks",
    holds: (spec: UpdateSpec) =>
      spec.dataset.validation !== undefined || monitorsOf(spec).every((monitor) => !monitor.startsWith("val_")),
  },
];
