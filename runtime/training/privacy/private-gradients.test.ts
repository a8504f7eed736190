import "../../engine/test-realm.ts";
import type { LayersModel, Variable } from "@tensorflow/tfjs";
import { type Batch, batchOf } from "../../data/batches.ts";
import type { Dataset } from "../../data/dataset.ts";
import { type Tf, openBackend } from "../../engine/backend.ts";
import type { Failure } from "../../failure.ts";
import type { Objective } from "../objective.ts";
import { poissonBatches, privacyPlan } from "./privacy-plan.ts";
import { privateGradients } from "./private-gradients.ts";

const DECLARED = { noiseMultiplier: 1.3, l2NormClip: 1, delta: 1e-5 };

const dataset = (count: number): Dataset => ({
  features: new Float32Array(2 * count).fill(1),
  labels: Float32Array.from({ length: count }, (_, index) => index % 2),
  exampleShape: [2],
  count,
  source: "examples",
});

const batch = (features: number[], labels: number[]): Batch => ({
  features: Float32Array.from(features),
  labels: Float32Array.from(labels),
  exampleShape: [2],
  count: labels.length,
});

describe("The budget of a private training", () => {
  it("counts all steps of all epochs where there is no limit", () => {
    const plan = privacyPlan(DECLARED, dataset(60_000), 150, 15);
    expect(plan.steps).toBe(6000);
    // Published with TensorFlow Privacy.
    expect(plan.accountant.epsilon(plan.steps)).toBeCloseTo(0.7242234026, 9);
  });

  it("ends the training with the last step that it allows", () => {
    const plan = privacyPlan({ ...DECLARED, maxEpsilon: 0.5 }, dataset(60_000), 150, 15);
    expect(plan.accountant.epsilon(plan.steps)).toBeLessThanOrEqual(0.5);
    expect(plan.accountant.epsilon(plan.steps + 1)).toBeGreaterThan(0.5);
  });

  it("a budget below one step, and a delta that allows to give an example away, are refused with the remedy", () => {
    expect(() => privacyPlan({ ...DECLARED, maxEpsilon: 0.001 }, dataset(100), 50, 1)).toThrow(
      /maxEpsilon: the first step spends .* raise it or noiseMultiplier, or lower batchSize/,
    );
    expect(() => privacyPlan({ ...DECLARED, delta: 0.01 }, dataset(100), 50, 1)).toThrow(
      "delta: with 100 training examples it must be below 0.010",
    );
  });

  it("batches are drawn anew, of the expected size on average, and go on at any batch", () => {
    const plan = privacyPlan(DECLARED, dataset(1000), 100, 1);
    const sizes = [...poissonBatches(dataset(1000), plan, 200, 50)].map(({ count }) => count);
    expect(sizes).toHaveLength(150);
    const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    // A standard deviation of one batch is 9.5, of the mean 0.8.
    expect(Math.abs(mean - 100)).toBeLessThan(5);
    expect(new Set(sizes).size).toBeGreaterThan(10);
  });
});

describe.each(["TensorFlow", "Wasm"] as const)("Private gradients on %s", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  /** The mean of squared differences; its gradient by the kernel is 2 (wx - y) x. */
  const OBJECTIVE: Objective = { loss: "meanSquaredError", metrics: [] };

  function linear(): LayersModel {
    const made = tf.sequential();
    made.add(tf.layers.dense({ units: 1, useBias: false, kernelInitializer: "zeros", inputShape: [2] }));
    return made;
  }

  function gradientOf(of: Batch, declared: { noiseMultiplier: number; l2NormClip: number }, expected: number) {
    const model = linear();
    const source = privateGradients(
      tf,
      { model, objective: OBJECTIVE, seed: 0, expected },
      { ...DECLARED, ...declared },
    );
    const variables = model.trainableWeights.map((weight) => weight.read() as Variable);
    return tf.tidy(() => [...(source(variables, of, 0).gradients[0]?.gradient.dataSync() ?? [])]);
  }

  const SILENT = 1e-9;

  it("clips [3, 4] to [0.6, 0.8], and divides the sum by the expected number", () => {
    // Gradients -2 y x: [-3, -4] and [-0.3, -0.4].
    const given = batch([3, 4, 0.3, 0.4], [0.5, 0.5]);
    const [a = NaN, b = NaN] = gradientOf(given, { noiseMultiplier: SILENT, l2NormClip: 1 }, 2);
    expect(a).toBeCloseTo(-(0.6 + 0.3) / 2, 5);
    expect(b).toBeCloseTo(-(0.8 + 0.4) / 2, 5);
  });

  it("one example changes the sum by no more than the norm", () => {
    const others = batchOf(dataset(8), Uint32Array.from([0, 1, 2]));
    const without = gradientOf(others, { noiseMultiplier: SILENT, l2NormClip: 0.5 }, 1);
    const huge = batch([...others.features, 1e6, -1e6], [...others.labels, 1e3]);
    const changed = gradientOf(huge, { noiseMultiplier: SILENT, l2NormClip: 0.5 }, 1);
    expect(Math.hypot(...changed.map((value, index) => value - (without[index] ?? NaN)))).toBeLessThan(0.5001);
  });

  it("an empty batch is noise of the declared deviation, another one each time", () => {
    const wide = () => {
      const model = tf.sequential();
      model.add(tf.layers.dense({ units: 100, useBias: false, inputShape: [100] }));
      return model;
    };
    const model = wide();
    const source = privateGradients(
      tf,
      { model, objective: OBJECTIVE, seed: 0, expected: 4 },
      { ...DECLARED, noiseMultiplier: 2, l2NormClip: 3 },
    );
    const variables = model.trainableWeights.map((weight) => weight.read() as Variable);
    const empty = { features: new Float32Array(), labels: new Float32Array(), exampleShape: [100], count: 0 };
    const draw = () =>
      tf.tidy(() => Float32Array.from(source(variables, empty, 0).gradients[0]?.gradient.dataSync() ?? []));
    const [one, two] = [draw(), draw()];
    expect(one).not.toEqual(two);
    const deviation = Math.sqrt(one.reduce((sum, value) => sum + value ** 2, 0) / one.length);
    expect(deviation / ((2 * 3) / 4)).toBeCloseTo(1, 1);
  });

  it("a layer whose gradients cannot be told apart by example is named", () => {
    const model = tf.sequential();
    model.add(tf.layers.lstm({ units: 2, inputShape: [3, 2], name: "memory" }));
    const wrong = () => privateGradients(tf, { model, objective: OBJECTIVE, seed: 0, expected: 1 }, DECLARED);
    expect(wrong).toThrow(
      expect.objectContaining<Partial<Failure>>({
        reason: "InvalidSpec",
        message: expect.stringMatching(/layer memory \(LSTM\)/) as string,
      }),
    );
  });
});
