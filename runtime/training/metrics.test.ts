import "../engine/test-realm.ts";
import type { Loss, Metric } from "../../crds/objective.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { Averages } from "./averages.ts";
import { metricValues, statisticValues } from "./metrics.ts";

describe.each(["TensorFlow", "Wasm"] as const)("Metrics on %s", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  /** Over batches of one example each. */
  function value(metric: Metric, y: number[][], p: number[][], loss: Loss = "meanSquaredError"): number | undefined {
    const output = { loss, size: p[0]?.length ?? 1 };
    const averages = new Averages();
    y.forEach((row, index) => {
      const [targets, predictions] = [tf.tensor2d([row]), tf.tensor2d([p[index] ?? []])];
      averages.add(statisticValues(tf, [metric], targets, predictions, output), 1);
      tf.dispose([targets, predictions]);
    });
    return metricValues([metric], averages.values(), output)[metric];
  }

  const classes = [
    [0, 0, 1],
    [0, 1, 0],
    [1, 0, 0],
  ];
  const chances = [
    [0.1, 0.2, 0.7],
    [0.3, 0.4, 0.3],
    [0.2, 0.7, 0.1],
  ];
  const [yes, answers] = [
    [[1], [1], [0], [0], [1]],
    [[0.9], [0.4], [0.6], [0.2], [0.8]],
  ];

  it.each<[Metric, number[][], number[][], number, Loss?]>([
    ["accuracy", classes, chances, 2 / 3, "categoricalCrossentropy"],
    ["categoricalAccuracy", classes, chances, 2 / 3],
    ["accuracy", yes, answers, 0.6, "binaryCrossentropy"],
    ["binaryAccuracy", yes, answers, 0.6],
    ["precision", yes, answers, 2 / 3],
    ["recall", yes, answers, 2 / 3],
    ["f1Score", yes, answers, 2 / 3],
    ["precision", [[0]], [[0.1]], 0],
    ["meanSquaredError", [[1], [2]], [[2], [4]], 2.5],
    ["rootMeanSquaredError", [[1], [2]], [[2], [4]], Math.sqrt(2.5)],
    ["meanAbsoluteError", [[1], [2]], [[2], [4]], 1.5],
    ["meanAbsolutePercentageError", [[1], [2]], [[2], [4]], 100],
    ["cosineSimilarity", [[0, 1]], [[0, 3]], 1],
    ["r2Score", [[1], [2], [3]], [[1], [2], [4]], 0.5],
    ["binaryCrossentropy", [[1]], [[0.5]], Math.log(2)],
    ["categoricalCrossentropy", [[0, 1]], [[0.75, 0.25]], Math.log(4)],
  ])("%s is that of all examples, not the mean of its batches", (metric, y, p, expected, ...[loss]) => {
    expect(value(metric, y, p, loss)).toBeCloseTo(expected, 5);
  });

  it("the right class may be the fifth", () => {
    const row = [0.3, 0.25, 0.2, 0.15, 0.06, 0.04];
    const right = (index: number) => row.map((_, i) => (i === index ? 1 : 0));
    expect(value("top5Accuracy", [right(4), right(5)], [row, row])).toBe(0.5);
  });

  it("answers of a binary loss on logits are split at zero", () => {
    const output = { loss: "binaryCrossentropy", lossOptions: { fromLogits: true }, size: 1 } as const;
    const [y, p] = [tf.tensor2d([[1], [0]]), tf.tensor2d([[0.2], [-0.2]])];
    expect(statisticValues(tf, ["accuracy"], y, p, output)).toEqual({ binaryAccuracy: 1 });
  });
});
