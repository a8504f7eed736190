import "../engine/test-realm.ts";
import type { Loss, LossOptions } from "../../crds/objective.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { lossFunction } from "./losses.ts";

const IDENTITY = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];
const PROBABILITIES = [
  [0.9, 0.05, 0.05],
  [0.5, 0.89, 0.6],
  [0.05, 0.01, 0.94],
];
const LOGITS = [
  [8, 1, 1],
  [0, 9, 1],
  [2, 3, 5],
];
const Y = [
  [1, 9, 2],
  [-5, -2, 6],
];
const P = [
  [4, 8, 12],
  [8, 1, 3],
];
const ERRORS = [3, -1, 10, 13, 3, -3];
const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
const pairs = (compute: (y: number, p: number) => number, y: number[][], p: number[][]) =>
  mean(y.flat().map((one, index) => compute(one, p.flat()[index] ?? NaN)));

/** 0.3239 in the tests of Keras. */
const NORMALIZED = -mean([Math.log(0.9), Math.log(0.89 / 1.99), Math.log(0.94)]);

type Case = [what: string, loss: Loss, options: LossOptions, y: number[][], p: number[][], expected: number];

const CASES: Case[] = [
  ["mean squared error", "meanSquaredError", {}, Y, P, 49.5],
  ["mean absolute error", "meanAbsoluteError", {}, Y, P, 33 / 6],
  [
    "crossentropy of rows that are normalized first",
    "categoricalCrossentropy",
    {},
    IDENTITY,
    PROBABILITIES,
    NORMALIZED,
  ],
  ["sparse crossentropy", "sparseCategoricalCrossentropy", {}, IDENTITY, PROBABILITIES, NORMALIZED],
  ["crossentropy of logits", "categoricalCrossentropy", { fromLogits: true }, IDENTITY, LOGITS, 0.0573756299],
  [
    "sparse crossentropy of logits",
    "sparseCategoricalCrossentropy",
    { fromLogits: true },
    IDENTITY,
    LOGITS,
    0.0573756299,
  ],
  [
    "smoothed crossentropy",
    "categoricalCrossentropy",
    { labelSmoothing: 0.3 },
    [[1, 0]],
    [[0.8, 0.2]],
    -(0.85 * Math.log(0.8) + 0.15 * Math.log(0.2)),
  ],
  ["binary crossentropy", "binaryCrossentropy", {}, [[1], [0]], [[0.8], [0.4]], -mean([Math.log(0.8), Math.log(0.6)])],
  [
    "binary crossentropy of logits",
    "binaryCrossentropy",
    { fromLogits: true },
    [[1], [0]],
    [[2], [40]],
    mean([Math.log1p(Math.exp(-2)), 40]),
  ],
  [
    "smoothed binary crossentropy",
    "binaryCrossentropy",
    { labelSmoothing: 0.2 },
    [[1]],
    [[0.7]],
    -(0.9 * Math.log(0.7) + 0.1 * Math.log(0.3)),
  ],
  ["binary crossentropy of a wrong and certain answer", "binaryCrossentropy", {}, [[1]], [[0]], -Math.log(1e-7)],
  ["percentage error", "meanAbsolutePercentageError", {}, Y, P, 100 * pairs((y, p) => Math.abs((y - p) / y), Y, P)],
  [
    "logarithmic error, negative values counting as none",
    "meanSquaredLogarithmicError",
    {},
    Y,
    P,
    pairs((y, p) => (Math.log1p(Math.max(p, 0)) - Math.log1p(Math.max(y, 0))) ** 2, Y, P),
  ],
  ["huber", "huber", {}, Y, P, mean(ERRORS.map((e) => (Math.abs(e) > 1 ? Math.abs(e) - 0.5 : 0.5 * e * e)))],
  [
    "huber with delta",
    "huber",
    { delta: 3 },
    Y,
    P,
    mean(ERRORS.map((e) => (Math.abs(e) > 3 ? 3 * Math.abs(e) - 4.5 : 0.5 * e * e))),
  ],
  [
    "log cosh, finite for large errors",
    "logCosh",
    {},
    [[0, 0]],
    [[1, -300]],
    mean([Math.log(Math.cosh(1)), 300 - Math.LN2]),
  ],
  [
    "poisson",
    "poisson",
    {},
    [[1, 9, 2]],
    [[4, 8, 12]],
    mean([4 - Math.log(4), 8 - 9 * Math.log(8), 12 - 2 * Math.log(12)]),
  ],
  [
    "divergence, also of zeros",
    "kullbackLeiblerDivergence",
    {},
    [[0.5, 0.5, 0]],
    [[0.25, 0.25, 0.5]],
    Math.log(2) + 1e-7 * Math.log(1e-7 / 0.5),
  ],
  [
    "cosine of the same and of the opposite",
    "cosineSimilarity",
    {},
    [
      [1, 2],
      [1, 2],
    ],
    [
      [2, 4],
      [-3, -6],
    ],
    0,
  ],
  [
    "cosine",
    "cosineSimilarity",
    {},
    [
      [0, 1],
      [1, 1],
    ],
    [
      [1, 0],
      [1, 1],
    ],
    -0.5,
  ],
  [
    "hinge",
    "hinge",
    {},
    [
      [0, 1],
      [0, 0],
    ],
    [
      [0.6, 0.4],
      [0.4, 0.6],
    ],
    mean([1.6, 0.6, 1.4, 1.6]),
  ],
  ["squared hinge", "squaredHinge", {}, [[0, 1]], [[0.6, 0.4]], mean([1.6 ** 2, 0.6 ** 2])],
  [
    "categorical hinge",
    "categoricalHinge",
    {},
    [
      [0, 1],
      [0, 1],
    ],
    [
      [0.6, 0.4],
      [0.1, 0.9],
    ],
    mean([1.2, 0.2]),
  ],
];

describe.each(["TensorFlow", "Wasm"] as const)("Losses on %s have the values of Keras", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  const value = (loss: Loss, options: LossOptions, targets: number[][], predictions: number[][], weights?: number[]) =>
    lossFunction(loss, options)(
      tf,
      tf.tensor2d(targets),
      tf.tensor2d(predictions),
      weights === undefined ? undefined : tf.tensor1d(weights),
    ).dataSync()[0] ?? NaN;

  it.each(CASES)("%s", (_, loss, options, y, p, expected) => {
    expect(Math.abs(value(loss, options, y, p) - expected) / Math.max(1, Math.abs(expected))).toBeLessThan(2e-6);
  });

  it("weights of examples multiply their losses, and the mean is over all examples", () => {
    expect(value("meanSquaredError", {}, Y, P, [2.3, 2.3])).toBeCloseTo(113.85, 4);
    const first = ((3 * 3 + 1 + 100) / 3) * 1.2;
    const second = ((13 * 13 + 9 + 9) / 3) * 3.4;
    expect(value("meanSquaredError", {}, Y, P, [1.2, 3.4])).toBeCloseTo((first + second) / 2, 3);
  });

  it.each(CASES)("%s has the gradient that differences show", (_, loss, options, y, p) => {
    const [targets, at] = [tf.tensor2d(y), tf.tensor2d(p)];
    const of = (predictions: number[][]) => value(loss, options, y, predictions);
    const gradient = tf
      .grad((x) => lossFunction(loss, options)(tf, targets, x))(at)
      .arraySync() as number[][];
    const step = 1e-2;
    p.forEach((row, i) =>
      row.forEach((_value, j) => {
        const moved = (change: number) => p.map((r, a) => r.map((v, b) => (a === i && b === j ? v + change : v)));
        // Where a kink or a clip is within the step, differences say nothing.
        const [left, right] = [of(p) - of(moved(-step)), of(moved(step)) - of(p)];
        if (Math.abs(left - right) > 0.1 * (Math.abs(left) + Math.abs(right)) + 1e-4) return;
        const difference = (left + right) / (2 * step);
        expect(Math.abs((gradient[i]?.[j] ?? NaN) - difference)).toBeLessThan(0.01 * Math.abs(difference) + 5e-3);
      }),
    );
  });
});
