import "../engine/test-realm.ts";
import type { Optimizer } from "../../crds/model.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { optimizerOf } from "./optimizer.ts";

const adam = { learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };

function expectClose(found: number[][], expected: number[][], digits: number): void {
  expect(found.length).toBe(expected.length);
  expected.flat().forEach((value, index) => expect(found.flat()[index]).toBeCloseTo(value, digits));
}

describe.each(["TensorFlow", "Wasm"] as const)("Optimizers on %s step as those of Keras", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  /** Values of the variable after each gradient. */
  function steps(declaration: Optimizer, start: number[], gradients: number[][]): number[][] {
    const optimizer = optimizerOf(tf, declaration);
    const variable = tf.variable(tf.tensor1d(start));
    const before = tf.memory().numTensors;
    const values = gradients.map((gradient, step) => {
      const tensor = tf.tensor1d(gradient);
      optimizer.apply([{ variable, gradient: tensor }], step);
      tensor.dispose();
      return Array.from(variable.dataSync());
    });
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(before);
    return values;
  }

  it("sgd", () => {
    const sgd = { learningRate: 0.5, momentum: 0, nesterov: false };
    expectClose(steps({ sgd }, [1, 2, 3, 4], [[1, 6, 7, 2]]), [[0.5, -1, -0.5, 3]], 6);
  });

  it("sgd with momentum", () => {
    const sgd = { learningRate: 0.01, momentum: 0.9, nesterov: false };
    expectClose(steps({ sgd }, [1], [[0.1], [0.2], [-0.3]]), [[0.999], [0.9961], [0.99649]], 6);
  });

  it("sgd with nesterov's momentum", () => {
    const sgd = { learningRate: 0.01, momentum: 0.9, nesterov: true };
    expectClose(steps({ sgd }, [1], [[0.1], [0.2], [-0.3]]), [[0.9981], [0.99349], [0.996841]], 6);
  });

  it("adam in a single large step", () => {
    const declaration = { adam: { ...adam, learningRate: 0.5 } };
    expectClose(steps(declaration, [1, 2, 3, 4], [[1, 6, 7, 2]]), [[0.5, 1.5, 2.5, 3.5]], 4);
  });

  it("adam over three steps, with epsilon before the bias correction", () => {
    const found = steps({ adam }, [1], [[0.1], [0.2], [-0.3]]);
    expectClose(found, [[0.9990000316], [0.9980348632], [0.9981014617]], 6);
  });

  it("adam with an epsilon large enough to tell where it is added", () => {
    const g = 0.1;
    const root = Math.sqrt(0.001 * g * g);
    const rate = (0.001 * Math.sqrt(0.001)) / 0.1;
    const expected = 1 - (rate * 0.1 * g) / (root + 0.5);
    const [found] = steps({ adam: { ...adam, epsilon: 0.5 } }, [1], [[g]]);
    expect(1 - (found?.[0] ?? NaN)).toBeCloseTo(1 - expected, 7);
    expect(found?.[0]).not.toBeCloseTo(1 - (0.001 * g) / (g + 0.5), 5);
  });
});
