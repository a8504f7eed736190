/**
 * Metrics, made of statistics: means over examples that are added up over batches. What a metric is follows from the
 * means of all examples, so precision is not a mean of the batches' precisions.
 */
import type { Tensor } from "@tensorflow/tfjs";
import type { Metric } from "../../crds/objective.ts";
import type { Tf } from "../engine/backend.ts";
import { type Arithmetic, eager } from "./arithmetic.ts";
import { LOSSES, type LossDeclaration } from "./losses.ts";

/** What a statistic depends on besides targets and predictions. */
interface Output extends LossDeclaration {
  /** Size of the last axis. */
  size: number;
}

/** A number for each place: the last axis is gone. Targets are in the form of the output. */
type StatisticFormula = <T>(m: Arithmetic<T>, targets: T, predictions: T, output: Output) => T;

/** Above it, an answer is yes: half, or its logit. */
const threshold = ({ loss, lossOptions }: Output) =>
  loss === "binaryCrossentropy" && lossOptions?.fromLogits ? 0 : 0.5;

const yes = <T>(m: Arithmetic<T>, predictions: T, output: Output) => m.greater(predictions, threshold(output));

const loss =
  (name: LossDeclaration["loss"], sign = 1): StatisticFormula =>
  (m, targets, predictions) =>
    m.mul(LOSSES[name](m, targets, predictions, {}), sign);

const binaryAccuracy: StatisticFormula = (m, targets, predictions, output) =>
  m.meanLast(m.equal(yes(m, predictions, output), targets));

const categoricalAccuracy: StatisticFormula = (m, targets, predictions) =>
  m.equal(m.argMaxLast(predictions), m.argMaxLast(targets));

/** The right class is among the five with the largest values: fewer than five are larger. */
const top5Accuracy: StatisticFormula = (m, targets, predictions) => {
  const right = m.sumLast(m.mul(targets, predictions), true);
  const larger = m.sumLast(m.greater(m.sub(predictions, right), 0), true);
  return m.sub(1, m.maxLast(m.greater(larger, 4.5)));
};

const STATISTICS = {
  binaryAccuracy,
  categoricalAccuracy,
  top5Accuracy,
  truePositives: (m, targets, predictions, output) => m.meanLast(m.mul(yes(m, predictions, output), targets)),
  predictedPositives: (m, _, predictions, output) => m.meanLast(yes(m, predictions, output)),
  positives: (m, targets) => m.meanLast(targets),
  meanSquaredError: loss("meanSquaredError"),
  meanAbsoluteError: loss("meanAbsoluteError"),
  meanAbsolutePercentageError: loss("meanAbsolutePercentageError"),
  cosineSimilarity: loss("cosineSimilarity", -1),
  binaryCrossentropy: loss("binaryCrossentropy"),
  categoricalCrossentropy: loss("categoricalCrossentropy"),
  targets: (m, targets) => m.meanLast(targets),
  squaredTargets: (m, targets) => m.meanLast(m.square(targets)),
} satisfies Record<string, StatisticFormula>;

export type Statistic = keyof typeof STATISTICS;

/** Means over examples; the loss under `loss`. */
export type Means = Record<string, number>;

interface Definition {
  statistics: (output: Output) => readonly Statistic[];
  value: (means: (statistic: Statistic) => number, output: Output) => number;
}

const mean = (statistic: Statistic): Definition => ({
  statistics: () => [statistic],
  value: (means) => means(statistic),
});

/** Of classes: of two by one number, else of the largest of many. */
const accuracyOf = ({ size, loss: name }: Output): Statistic =>
  size === 1 || name === "binaryCrossentropy" || name === "hinge" || name === "squaredHinge"
    ? "binaryAccuracy"
    : "categoricalAccuracy";

const ratio = (above: number, below: number) => (below === 0 ? 0 : above / below);

const METRICS: Record<Metric, Definition> = {
  accuracy: {
    statistics: (output) => [accuracyOf(output)],
    value: (means, output) => means(accuracyOf(output)),
  },
  binaryAccuracy: mean("binaryAccuracy"),
  categoricalAccuracy: mean("categoricalAccuracy"),
  sparseCategoricalAccuracy: mean("categoricalAccuracy"),
  top5Accuracy: mean("top5Accuracy"),
  precision: {
    statistics: () => ["truePositives", "predictedPositives"],
    value: (means) => ratio(means("truePositives"), means("predictedPositives")),
  },
  recall: {
    statistics: () => ["truePositives", "positives"],
    value: (means) => ratio(means("truePositives"), means("positives")),
  },
  f1Score: {
    statistics: () => ["truePositives", "predictedPositives", "positives"],
    value: (means) => ratio(2 * means("truePositives"), means("predictedPositives") + means("positives")),
  },
  meanSquaredError: mean("meanSquaredError"),
  rootMeanSquaredError: {
    statistics: () => ["meanSquaredError"],
    value: (means) => Math.sqrt(means("meanSquaredError")),
  },
  meanAbsoluteError: mean("meanAbsoluteError"),
  meanAbsolutePercentageError: mean("meanAbsolutePercentageError"),
  cosineSimilarity: mean("cosineSimilarity"),
  r2Score: {
    statistics: () => ["meanSquaredError", "targets", "squaredTargets"],
    value: (means) => 1 - ratio(means("meanSquaredError"), means("squaredTargets") - means("targets") ** 2),
  },
  binaryCrossentropy: mean("binaryCrossentropy"),
  categoricalCrossentropy: mean("categoricalCrossentropy"),
};

/** The statistics that `metrics` are made of, each once, in a fixed order. */
export function statisticsOf(metrics: readonly Metric[], output: Output): Statistic[] {
  return [...new Set(metrics.flatMap((metric) => METRICS[metric].statistics(output)))];
}

/** The mean of a statistic over all places of a batch. */
export function meanStatistic<T>(
  m: Arithmetic<T>,
  statistic: Statistic,
  targets: T,
  predictions: T,
  output: Output,
): T {
  const formula: StatisticFormula = STATISTICS[statistic];
  return m.meanAll(formula(m, targets, predictions, output));
}

/** What is reported: `means` without the statistics, with the metrics made of them. */
export function metricValues(metrics: readonly Metric[], means: Means, output: Output): Means {
  const statistics = statisticsOf(metrics, output);
  const others = Object.entries(means).filter(([name]) => !(statistics as string[]).includes(name));
  const of = (statistic: Statistic) => means[statistic] ?? NaN;
  return {
    ...Object.fromEntries(others),
    ...Object.fromEntries(metrics.map((metric) => [metric, METRICS[metric].value(of, output)])),
  };
}

/** The means of the statistics of a batch, computed operation by operation. */
export function statisticValues(
  tf: Tf,
  metrics: readonly Metric[],
  targets: Tensor,
  predictions: Tensor,
  output: Output,
): Means {
  const values = statisticsOf(metrics, output).map((statistic): [string, number] => {
    const tensor = tf.tidy(() => meanStatistic(eager(tf), statistic, targets, predictions, output));
    const [value = NaN] = tensor.dataSync();
    tensor.dispose();
    return [statistic, value];
  });
  return Object.fromEntries(values);
}
