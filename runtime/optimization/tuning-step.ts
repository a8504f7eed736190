/** A step of training that may keep weights at zero, and that may learn from a teacher besides the labels. */
import type { LayersModel, Scalar, Tensor, Tensor2D, Variable } from "@tensorflow/tfjs";
import type { Teaching } from "../../crds/optimization-methods.ts";
import type { Batch } from "../data/batches.ts";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { lossFunction } from "../training/losses.ts";
import { type Objective, targetsOf } from "../training/objective.ts";
import { type Gradient, optimizerOf } from "../training/optimizer.ts";
import type { TrainStep } from "../training/train-step.ts";
import { type AnswerKind, distillationLoss, softLoss } from "./distillation/loss.ts";
import { type MaskPlan, Masks } from "./sparsity/masks.ts";

/** Both models answer as `kind` says: for classes, logits. */
export interface Teacher extends Teaching {
  model: LayersModel;
  kind: AnswerKind;
}

export interface TuningOptions {
  model: LayersModel;
  objective: Objective;
  learningRate: number;
  seed: number;
  masks?: MaskPlan | undefined;
  teacher?: Teacher | undefined;
}

/** Adam as Keras has it; only its step size can be chosen. */
const adamWith = (learningRate: number) => ({ adam: { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } });

/** A layer that draws: tfjs' own draws either without a seed, or the same in each step. */
interface RandomLayer {
  seed?: number;
}

/** Computes the model as training does; random layers draw by the seed and the step. */
function forward(model: LayersModel, input: Tensor, seed: number, step: number): Tensor {
  model.layers.forEach((layer, position) => {
    (layer as RandomLayer).seed = derivedSeed(seed, "dropout", position, step);
  });
  return model.apply(input, { training: true }) as Tensor;
}

/** What the loss on labels takes: probabilities of what a model with a teacher answers. */
function activated(tf: Tf, kind: AnswerKind | undefined, answer: Tensor): Tensor2D {
  if (kind === "Classes") return tf.softmax(answer) as Tensor2D;
  return (kind === "Binary" ? tf.sigmoid(answer) : answer) as Tensor2D;
}

function gradientsOf(
  tf: Tf,
  { model, objective, seed, teacher }: TuningOptions,
  variables: Variable[],
  batch: Batch,
  step: number,
): { loss: number; gradients: Gradient[] } {
  const features = tf.tensor(batch.features, [batch.count, ...batch.exampleShape]);
  // Once for the batch: nothing in it is learned.
  const taught = teacher?.model.predictOnBatch(features) as Tensor | undefined;
  const { value, grads } = tf.variableGrads((): Scalar => {
    const answer = forward(model, features, seed, step);
    const predictions = activated(tf, teacher?.kind, answer);
    const targets = targetsOf(tf, objective, predictions.shape[1], batch.labels);
    const hard = lossFunction(objective.loss)(tf, targets, predictions);
    if (teacher === undefined || taught === undefined) return hard;
    return distillationLoss(tf, teacher.alpha, softLoss(tf, teacher.kind, taught, answer, teacher.temperature), hard);
  }, variables);
  const gradients = variables.flatMap((variable): Gradient[] => {
    const gradient = grads[variable.name];
    return gradient === undefined ? [] : [{ variable, gradient }];
  });
  return { loss: value.dataSync()[0] ?? NaN, gradients };
}

/** As the steps of a training; the teacher stays its owner's. */
export function tuningStep(tf: Tf, options: TuningOptions): TrainStep {
  const { model, learningRate, masks: plan } = options;
  const variables = model.trainableWeights.map((weight) => weight.read() as Variable);
  const optimizer = optimizerOf(tf, adamWith(learningRate));
  const masks = plan === undefined ? undefined : new Masks(tf, model, plan);
  const state = () => [
    ...model.weights.map((weight) => weight.read() as Variable),
    ...optimizer.slots.flatMap((slots) => variables.map((variable) => slots.of(variable))),
  ];
  return {
    run: (batch, step) => {
      masks?.before(step);
      const loss = tf.tidy(() => {
        const computed = gradientsOf(tf, options, variables, batch, step);
        optimizer.apply(computed.gradients, step);
        return computed.loss;
      });
      masks?.apply();
      return { loss };
    },
    read: () => [
      ...state().map((variable) => Float32Array.from(variable.dataSync())),
      ...(masks === undefined ? [] : masks.read()),
    ],
    write: (values) => {
      const own = state();
      const fits = own.every((variable, index) => variable.size === values[index]?.length);
      if (!fits || values.length !== own.length + (masks?.count ?? 0)) throw new RangeError("it is of another model");
      own.forEach((variable, index) =>
        tf.tidy(() => variable.assign(tf.tensor(values[index] ?? [], variable.shape, "float32"))),
      );
      masks?.write(values.slice(own.length));
    },
    dispose: () => {
      optimizer.dispose();
      masks?.dispose();
    },
  };
}
