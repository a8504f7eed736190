import "../engine/test-realm.ts";
import type { Loss } from "../../crds/model.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { lossFunction } from "./losses.ts";

describe.each(["TensorFlow", "Wasm"] as const)("Losses on %s have the values of Keras", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  const value = (loss: Loss, targets: number[][], predictions: number[][]) =>
    lossFunction(loss)(tf, tf.tensor2d(targets), tf.tensor2d(predictions)).dataSync()[0];

  const identity = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  const probabilities = [
    [0.9, 0.05, 0.05],
    [0.5, 0.89, 0.6],
    [0.05, 0.01, 0.94],
  ];
  const targets = [
    [1, 9, 2],
    [-5, -2, 6],
  ];
  const predictions = [
    [4, 8, 12],
    [8, 1, 3],
  ];

  it("meanSquaredError", () => {
    expect(value("meanSquaredError", targets, predictions)).toBeCloseTo(49.5, 5);
  });

  it("meanAbsoluteError", () => {
    expect(value("meanAbsoluteError", targets, predictions)).toBeCloseTo((3 + 1 + 10 + 13 + 3 + 3) / 6, 5);
  });

  it("categoricalCrossentropy, whose rows are normalized first", () => {
    // 0.3239… in the tests of Keras
    const expected = -(Math.log(0.9) + Math.log(0.89 / 1.99) + Math.log(0.94)) / 3;
    expect(value("categoricalCrossentropy", identity, probabilities)).toBeCloseTo(expected, 5);
    expect(value("sparseCategoricalCrossentropy", identity, probabilities)).toBeCloseTo(expected, 5);
  });

  it("binaryCrossentropy, finite for certain and wrong answers", () => {
    expect(value("binaryCrossentropy", [[1], [0]], [[0.8], [0.4]])).toBeCloseTo(
      -(Math.log(0.8) + Math.log(0.6)) / 2,
      5,
    );
    expect(value("binaryCrossentropy", [[1]], [[0]])).toBeCloseTo(-Math.log(1e-7), 2);
  });
});
