/**
 * Losses as Keras defines them: a number for each example from targets and predictions of shape [batch, …, size], mean
 * over all axes but the first. Sparse labels are made one-hot before they get here, which gives the same values.
 */
import type { Scalar, Tensor } from "@tensorflow/tfjs";
import type { Loss, LossOptions } from "../../crds/objective.ts";
import type { Tf } from "../engine/backend.ts";
import { type Arithmetic, eager } from "./arithmetic.ts";

/** Keeps logarithms and divisions finite; Keras' for float32. */
const EPSILON = 1e-7;

/** The loss of each place: the last axis is gone. */
type LossFormula = <T>(m: Arithmetic<T>, targets: T, predictions: T, options: LossOptions) => T;

const clip = <T>(m: Arithmetic<T>, x: T, low: number, high: number) => m.min(m.max(x, low), high);

/** log p: of probabilities normalized first and clipped, or of logits. */
function logProbabilities<T>(m: Arithmetic<T>, predictions: T, { fromLogits = false }: LossOptions): T {
  if (fromLogits) return m.logSoftmaxLast(predictions);
  return m.log(clip(m, m.div(predictions, m.sumLast(predictions, true)), EPSILON, 1 - EPSILON));
}

/** Smoothing gives each class an equal part of the labels' weight. */
const categoricalCrossentropy: LossFormula = (m, targets, predictions, options) => {
  const { labelSmoothing: share = 0 } = options;
  const logarithms = logProbabilities(m, predictions, options);
  const hard = m.neg(m.sumLast(m.mul(targets, logarithms)));
  return share === 0 ? hard : m.sub(m.mul(hard, 1 - share), m.mul(m.meanLast(logarithms), share));
};

/** log(1 + exp(x)), finite for large x. */
const softplus = <T>(m: Arithmetic<T>, x: T) => m.add(m.max(x, 0), m.log(m.add(m.exp(m.neg(m.abs(x))), 1)));

const binaryCrossentropy: LossFormula = (
  m,
  targets,
  predictions,
  { fromLogits = false, labelSmoothing: share = 0 },
) => {
  const soft = share === 0 ? targets : m.add(m.mul(targets, 1 - share), 0.5 * share);
  if (fromLogits) return m.meanLast(m.sub(softplus(m, predictions), m.mul(predictions, soft)));
  const clipped = clip(m, predictions, EPSILON, 1 - EPSILON);
  const ones = m.mul(soft, m.log(clipped));
  const zeros = m.mul(m.sub(1, soft), m.log(m.sub(1, clipped)));
  return m.neg(m.meanLast(m.add(ones, zeros)));
};

const huber: LossFormula = (m, targets, predictions, { delta = 1 }) => {
  const error = m.abs(m.sub(targets, predictions));
  const small = m.min(error, delta);
  return m.meanLast(m.add(m.mul(m.square(small), 0.5), m.mul(m.sub(error, small), delta)));
};

/** log(cosh(x)) = x + log(1 + exp(-2x)) - log 2. */
const logCosh: LossFormula = (m, targets, predictions) => {
  const error = m.sub(predictions, targets);
  return m.meanLast(m.sub(m.add(error, softplus(m, m.mul(error, -2))), Math.LN2));
};

/** Of unit length. */
const unit = <T>(m: Arithmetic<T>, x: T) => m.div(x, m.sqrt(m.max(m.sumLast(m.square(x), true), EPSILON ** 2)));

/** The negative cosine, from -1 (the same direction) to 1. */
const cosineSimilarity: LossFormula = (m, targets, predictions) =>
  m.neg(m.sumLast(m.mul(unit(m, targets), unit(m, predictions))));

const kullbackLeiblerDivergence: LossFormula = (m, targets, predictions) => {
  const y = clip(m, targets, EPSILON, 1);
  const p = clip(m, predictions, EPSILON, 1);
  return m.sumLast(m.mul(y, m.log(m.div(y, p))));
};

/** Labels 0 and 1 become -1 and 1. */
const signed = <T>(m: Arithmetic<T>, targets: T) => m.sub(m.mul(targets, 2), 1);

const hingeOf = <T>(m: Arithmetic<T>, targets: T, predictions: T) =>
  m.max(m.sub(1, m.mul(signed(m, targets), predictions)), 0);

const logOf = <T>(m: Arithmetic<T>, x: T) => m.log(m.add(m.max(x, EPSILON), 1));

/** The formula of each loss. Labels of hinge losses are 0 and 1. */
export const LOSSES: Record<Loss, LossFormula> = {
  categoricalCrossentropy,
  sparseCategoricalCrossentropy: categoricalCrossentropy,
  binaryCrossentropy,
  meanSquaredError: (m, targets, predictions) => m.meanLast(m.square(m.sub(targets, predictions))),
  meanAbsoluteError: (m, targets, predictions) => m.meanLast(m.abs(m.sub(targets, predictions))),
  meanAbsolutePercentageError: (m, targets, predictions) =>
    m.mul(m.meanLast(m.abs(m.div(m.sub(targets, predictions), m.max(m.abs(targets), EPSILON)))), 100),
  meanSquaredLogarithmicError: (m, targets, predictions) =>
    m.meanLast(m.square(m.sub(logOf(m, predictions), logOf(m, targets)))),
  huber,
  logCosh,
  poisson: (m, targets, predictions) =>
    m.meanLast(m.sub(predictions, m.mul(targets, m.log(m.add(predictions, EPSILON))))),
  kullbackLeiblerDivergence,
  cosineSimilarity,
  hinge: (m, targets, predictions) => m.meanLast(hingeOf(m, targets, predictions)),
  squaredHinge: (m, targets, predictions) => m.meanLast(m.square(hingeOf(m, targets, predictions))),
  categoricalHinge: (m, targets, predictions) => {
    const right = m.sumLast(m.mul(targets, predictions));
    const wrong = m.maxLast(m.mul(m.sub(1, targets), predictions));
    return m.max(m.add(m.sub(wrong, right), 1), 0);
  },
};

/** A declared loss. */
export interface LossDeclaration {
  loss: Loss;
  lossOptions?: LossOptions | undefined;
}

/** Mean loss over all places of a batch; `weights` [batch] multiply the loss of each example, as Keras' sample weights do. */
export function meanLoss<T>(
  m: Arithmetic<T>,
  { loss, lossOptions = {} }: LossDeclaration,
  targets: T,
  predictions: T,
  weights?: T,
): T {
  const losses = m.meanOfEach(LOSSES[loss](m, targets, predictions, lossOptions));
  return m.meanAll(weights === undefined ? losses : m.mul(losses, weights));
}

export type LossFunction = (tf: Tf, targets: Tensor, predictions: Tensor, weights?: Tensor) => Scalar;

/** The mean loss of a batch, computed operation by operation. */
export function lossFunction(loss: Loss, lossOptions?: LossOptions): LossFunction {
  // A mean over all axes is a scalar.
  return (tf, targets, predictions, weights) =>
    tf.tidy(() => meanLoss(eager(tf), { loss, lossOptions }, targets, predictions, weights) as Scalar);
}
