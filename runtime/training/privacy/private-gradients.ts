/**
 * Gradients of DP-SGD (Abadi et al., "Deep Learning with Differential Privacy", 2016): those of each example are clipped
 * to a norm, noise is added to their sum, and the sum is divided by the number of examples that is expected.
 */
import type { LayersModel, Scalar, Tensor, Variable, layers } from "@tensorflow/tfjs";
import type { DifferentialPrivacy } from "../../../crds/training-job.ts";
import type { Batch } from "../../data/batches.ts";
import { derivedSeed } from "../../data/random.ts";
import type { Tf } from "../../engine/backend.ts";
import { chainOf } from "../chain.ts";
import { lossFunction } from "../losses.ts";
import { statisticValues } from "../metrics.ts";
import { type Objective, outputOf, targetsOf } from "../objective.ts";
import type { GradientSource } from "../op-by-op-step.ts";
import { penaltyOf } from "../penalty.ts";
import type { BatchValues } from "../train-step.ts";
import { clippedGradients, privateLayers } from "./clipped-gradients.ts";
import { gaussian } from "./secure-random.ts";

type TfLayer = layers.Layer;

interface PrivateOptions {
  model: LayersModel;
  objective: Objective;
  seed: number;
  /** Examples that are expected in a batch. */
  expected: number;
}

/** Computes a layer without weights as training does; what is dropped depends on step and place alone. */
function passing(seed: number, step: number): (layer: TfLayer, input: Tensor, position: number) => Tensor {
  return (layer, input, position) => {
    // Dropout and ours read their seed each time that they are called.
    (layer as { seed?: number }).seed = derivedSeed(seed, "dropout", position, step);
    return layer.apply(input, { training: true }) as Tensor;
  };
}

/** Throws Failure InvalidSpec for a model with layers whose gradients cannot be told apart by example. */
export function privateGradients(tf: Tf, options: PrivateOptions, declared: DifferentialPrivacy): GradientSource {
  const { model, objective, seed, expected } = options;
  const { noiseMultiplier, l2NormClip } = declared;
  const steps = privateLayers(tf, chainOf(model));
  const lossOf = lossFunction(objective.loss, objective.lossOptions);

  function ofExamples(batch: Batch, step: number): { sums: Tensor[]; values: BatchValues } {
    const { count } = batch;
    if (count === 0) return { sums: [], values: {} };
    const features = tf.tensor(batch.features, [count, ...batch.exampleShape]);
    const weights = batch.weights === undefined ? undefined : tf.tensor1d(batch.weights);
    const mean = (answer: Tensor) => lossOf(tf, targetsOf(tf, objective, answer.shape, batch.labels), answer, weights);
    const { predictions, gradients } = clippedGradients(tf, {
      layers: steps,
      features,
      loss: (answer) => tf.mul<Scalar>(mean(answer), count),
      norm: l2NormClip,
      pass: passing(seed, step),
    });
    const targets = targetsOf(tf, objective, predictions.shape, batch.labels);
    const statistics = statisticValues(tf, objective.metrics, targets, predictions, outputOf(model, objective));
    return { sums: gradients, values: { loss: mean(predictions).dataSync()[0] ?? NaN, ...statistics } };
  }

  /** Weights alone decide on a penalty: it needs no noise. */
  function ofPenalty(variables: Variable[]): Record<string, Tensor> {
    if (tf.tidy(() => penaltyOf(tf, model) === undefined)) return {};
    return tf.variableGrads(() => penaltyOf(tf, model) ?? tf.scalar(0), variables).grads;
  }

  return (variables, batch, step) => {
    const { sums, values } = ofExamples(batch, step);
    const penalties = ofPenalty(variables);
    const gradients = variables.map((variable, index) => {
      const noise = tf.tensor(gaussian(variable.size, noiseMultiplier * l2NormClip), variable.shape, "float32");
      const sum = sums[index];
      const mean = tf.div(sum === undefined ? noise : tf.add(sum, noise), expected);
      const penalty = penalties[variable.name];
      return { variable, gradient: penalty === undefined ? mean : tf.add(mean, penalty) };
    });
    return { gradients, values };
  };
}
