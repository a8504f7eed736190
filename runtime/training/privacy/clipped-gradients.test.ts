import "../../engine/test-realm.ts";
import type { LayersModel, Tensor, Tensor2D, Variable } from "@tensorflow/tfjs";
import { Random } from "../../data/random.ts";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { chainOf } from "../chain.ts";
import { lossFunction } from "../losses.ts";
import { clippedGradients, privateLayers } from "./clipped-gradients.ts";

const COUNT = 6;
const CLASSES = 3;

function numbers(count: number, purpose: string): number[] {
  const random = new Random(7, purpose);
  return Array.from({ length: count }, () => random.below(2000) / 1000 - 1);
}

describe.each(["TensorFlow", "Wasm"] as const)("Gradients of single examples on %s", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  function dense(): LayersModel {
    return tf.sequential({
      layers: [
        tf.layers.dense({ inputShape: [5], units: 4, activation: "tanh" }),
        tf.layers.dense({ units: CLASSES, useBias: false, activation: "softmax" }),
      ],
    });
  }

  function convolutional(padding: "same" | "valid"): LayersModel {
    return tf.sequential({
      layers: [
        tf.layers.conv2d({
          inputShape: [7, 6, 2],
          filters: 3,
          kernelSize: [3, 2],
          strides: [2, 1],
          padding,
          activation: "relu",
        }),
        tf.layers.maxPooling2d({ poolSize: [2, 2], padding: "same" }),
        tf.layers.flatten(),
        tf.layers.dense({ units: CLASSES, activation: "softmax" }),
      ],
    });
  }

  const models: [string, () => LayersModel][] = [
    ["dense layers", dense],
    ["a convolution with same padding", () => convolutional("same")],
    ["a convolution with valid padding", () => convolutional("valid")],
  ];

  function examples(model: LayersModel): { features: Tensor; targets: Tensor2D } {
    const shape = [COUNT, ...(model.inputs[0]?.shape.slice(1) ?? [])].map(Number);
    const size = shape.reduce((product, value) => product * value, 1);
    const targets = tf.oneHot(
      Array.from({ length: COUNT }, (_, index) => index % CLASSES),
      CLASSES,
    );
    return { features: tf.tensor(numbers(size, "features"), shape), targets: tf.cast(targets, "float32") as Tensor2D };
  }

  const categorical = lossFunction("categoricalCrossentropy");

  /** One example after the other, as the definition says. */
  function oneByOne(model: LayersModel, features: Tensor, targets: Tensor2D, norm: number): Float32Array[] {
    const variables = model.trainableWeights.map((weight) => weight.read() as Variable);
    const sums = variables.map(({ size }) => new Float32Array(size));
    for (let example = 0; example < COUNT; example += 1) {
      const { grads } = tf.variableGrads(() => {
        const row = tf.slice(features, [example], [1]);
        return categorical(tf, tf.slice(targets, [example], [1]), model.apply(row) as Tensor2D);
      }, variables);
      const values = variables.map(({ name }) => grads[name]?.dataSync() as Float32Array);
      const length = Math.sqrt(values.flatMap((part) => [...part]).reduce((sum, value) => sum + value ** 2, 0));
      const factor = Math.min(1, norm / length);
      values.forEach((part, index) => {
        const sum = sums[index] ?? new Float32Array();
        part.forEach((value, at) => (sum[at] = (sum[at] ?? 0) + factor * value));
      });
    }
    return sums;
  }

  function together(model: LayersModel, features: Tensor, targets: Tensor2D, norm: number): Float32Array[] {
    const { gradients } = clippedGradients(tf, {
      layers: privateLayers(tf, chainOf(model)),
      features,
      loss: (predictions) => tf.mul(COUNT, categorical(tf, targets, predictions as Tensor2D)),
      norm,
      pass: (layer, input) => layer.apply(input) as Tensor,
    });
    return gradients.map((gradient) => gradient.dataSync() as Float32Array);
  }

  const cases = models.flatMap(([what, build]) => [0.05, 0.4, 1000].map((norm) => [what, norm, build] as const));

  it.each(cases)("of %s, clipped to %d, are those computed one by one", (_, norm, build) => {
    const model = build();
    const { features, targets } = examples(model);
    const found = tf.tidy(() => together(model, features, targets, norm));
    const expected = oneByOne(model, features, targets, norm);
    expect(found.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
    found.forEach((part, index) =>
      part.forEach((value, at) => expect(value).toBeCloseTo(expected[index]?.[at] ?? NaN, 5)),
    );
  });

  it("leave no tensor behind", () => {
    const model = dense();
    const { features, targets } = examples(model);
    const before = tf.memory().numTensors;
    tf.tidy(() => void together(model, features, targets, 1));
    expect(tf.memory().numTensors).toBe(before);
  });

  it("are refused for a layer in which examples meet, by its name", () => {
    const model = tf.sequential({
      layers: [tf.layers.dense({ inputShape: [5], units: 4 }), tf.layers.batchNormalization({ name: "norm" })],
    });
    expect(() => privateLayers(tf, chainOf(model))).toThrow(
      /differentialPrivacy: layer norm \(BatchNormalization\) has no gradients of single examples/,
    );
  });
});
