import "../engine/test-realm.ts";
import { Optimizer, type Update } from "../../crds/optimizer.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { optimizerOf } from "./optimizer.ts";

const declared = (optimizer: object, more: Omit<Update, "optimizer"> = {}): Update => ({
  optimizer: Optimizer.parse(optimizer),
  ...more,
});

const START = [1, 2, 3, 4];
const FIRST = [1, 6, 7, 2];
const TENTHS = Array.from({ length: 10 }, (_, i) => (i + 1) / 10);
const ONES = TENTHS.map(() => 1);
/** Keras' five steps: a small gradient, then four of a tenth to one. */
const FIVE = [TENTHS.map(() => 0.01), TENTHS, TENTHS, TENTHS, TENTHS];
const everywhere = (...values: number[]) => values.map((value) => ONES.map(() => value));

type Case = [
  what: string,
  optimizer: object,
  start: number[],
  gradients: number[][],
  expected: number[][],
  digits: number,
];

const half = { learningRate: 0.5 };
const one = (...values: number[]) => values.map((value) => [value]);
const gradients = one(0.1, 0.2, -0.3);

/** Values from the tests of Keras, and computed in float64. */
const CASES: Case[] = [
  ["sgd, one large step", { sgd: half }, START, [FIRST], [[0.5, -1, -0.5, 3]], 5],
  ["sgd", { sgd: {} }, [1], gradients, one(0.999, 0.997, 1), 6],
  ["sgd with momentum", { sgd: { momentum: 0.9 } }, [1], gradients, one(0.999, 0.9961, 0.99649), 6],
  [
    "sgd with nesterov's momentum",
    { sgd: { momentum: 0.9, nesterov: true } },
    [1],
    gradients,
    one(0.9981, 0.99349, 0.996841),
    6,
  ],
  ["adam, one large step", { adam: half }, START, [FIRST], [[0.5, 1.5, 2.5, 3.5]], 4],
  ["adam", { adam: {} }, [1], gradients, one(0.9990000316, 0.9980348632, 0.9981014617), 6],
  ["amsgrad", { adam: { amsgrad: true } }, ONES, FIVE, everywhere(0.999, 0.9982, 0.9974, 0.9965, 0.9955), 3.3],
  ["adamw, one large step", { adamw: half }, START, [FIRST], [[0.498, 1.496, 2.494, 3.492]], 4],
  ["adamw", { adamw: {} }, [1], gradients, one(0.9989960316, 0.9980268673, 0.9980894736), 6],
  [
    "adamw with a large decay",
    { adamw: { learningRate: 1, weightDecay: 0.5, epsilon: 2 } },
    [1],
    one(0.01, 0.1, 0.1, 0.1, 0.1),
    one(0.4998, 0.2486, 0.1223, 0.0586, 0.0263),
    3.3,
  ],
  ["rmsprop, one large step", { rmsprop: half }, START, [FIRST], [[-0.5811, 0.4189, 1.4189, 2.4189]], 4],
  ["rmsprop", { rmsprop: {} }, [1], gradients, one(0.9968378804, 0.9939807668, 0.9965713959), 6],
  [
    "rmsprop, centered",
    { rmsprop: { centered: true } },
    ONES,
    FIVE,
    everywhere(0.9967, 0.9933, 0.9908, 0.9885, 0.9864),
    3.3,
  ],
  ["adagrad, one large step", { adagrad: half }, START, [FIRST], [[0.5233, 1.5007, 2.5005, 3.5061]], 4],
  ["adagrad", { adagrad: {} }, [1], gradients, one(0.9996984888, 0.9991820911, 0.9997944635), 6],
  ["nadam, one large step", { nadam: half }, START, [FIRST], [[0.4686, 1.4686, 2.4686, 3.4686]], 4],
  ["lion, one large step", { lion: half }, START, [FIRST], [[0.5, 1.5, 2.5, 3.5]], 5],
];

/** In float64, from the definitions. */
function reference(steps: readonly number[], change: (g: number, t: number) => number): number[][] {
  let weight = 1;
  return steps.map((g, index) => [(weight -= change(g, index + 1))]);
}

function expectClose(found: number[][], expected: number[][], digits: number): void {
  expect(found.length).toBe(expected.length);
  expected.flat().forEach((value, index) => {
    expect(Math.abs((found.flat()[index] ?? NaN) - value)).toBeLessThan(10 ** -digits);
  });
}

/** The momentum of nadam. */
const mu = (t: number) => 0.9 * (1 - 0.5 * 0.96 ** t);

describe.each(["TensorFlow", "Wasm"] as const)("Optimizers on %s step as those of Keras", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  /** Values of the variable after each gradient. */
  function walk(update: Update, start: number[], steps: number[][]): number[][] {
    const optimizer = optimizerOf(tf, update);
    const variable = tf.variable(tf.tensor1d(start));
    const before = tf.memory().numTensors;
    const values = steps.map((gradient, step) => {
      const tensor = tf.tensor1d(gradient);
      optimizer.apply([{ variable, gradient: tensor }], step);
      tensor.dispose();
      return Array.from(variable.dataSync());
    });
    optimizer.dispose();
    expect(tf.memory().numTensors).toBe(before);
    return values;
  }

  /** How two weights of a model change by gradients of 3 and 4. */
  function change(update: Update): number[][] {
    const optimizer = optimizerOf(tf, update);
    const variables = [tf.variable(tf.tensor1d([0])), tf.variable(tf.tensor1d([0]))];
    const list = variables.map((variable, index) => ({ variable, gradient: tf.tensor1d([index === 0 ? 3 : 4]) }));
    optimizer.apply(list, 0);
    optimizer.dispose();
    return variables.map((variable) => [variable.dataSync()[0] ?? NaN]);
  }

  it.each(CASES)("%s", (_, optimizer, start, steps, expected, digits) => {
    expectClose(walk(declared(optimizer), start, steps), expected, digits);
  });

  it("adadelta and adamax, by their definitions", () => {
    const steps = [0.1, 0.2, -0.3, 0.05];
    const [g2, d2] = [{ of: 0 }, { of: 0 }];
    const adadelta = reference(steps, (g) => {
      g2.of = 0.95 * g2.of + 0.05 * g * g;
      const delta = (Math.sqrt(d2.of + 1e-7) * g) / Math.sqrt(g2.of + 1e-7);
      d2.of = 0.95 * d2.of + 0.05 * delta * delta;
      return delta;
    });
    expectClose(walk(declared({ adadelta: { learningRate: 1 } }), [1], one(...steps)), adadelta, 6);
    const [m, u] = [{ of: 0 }, { of: 0 }];
    const adamax = reference(steps, (g, t) => {
      m.of += (g - m.of) * 0.1;
      u.of = Math.max(0.999 * u.of, Math.abs(g));
      return (0.01 * m.of) / ((1 - 0.9 ** t) * (u.of + 1e-7));
    });
    expectClose(walk(declared({ adamax: { learningRate: 0.01 } }), [1], one(...steps)), adamax, 6);
  });

  it("nadam over several steps, and rmsprop with momentum, by their definitions", () => {
    const steps = [0.1, 0.2, -0.3, 0.05];
    const state = { m: 0, v: 0, product: 1 };
    const nadam = reference(steps, (g, t) => {
      state.product *= mu(t);
      state.m += (g - state.m) * 0.1;
      state.v += (g * g - state.v) * 0.001;
      const ahead = (mu(t + 1) * state.m) / (1 - state.product * mu(t + 1)) + ((1 - mu(t)) * g) / (1 - state.product);
      return (0.001 * ahead) / (Math.sqrt(state.v / (1 - 0.999 ** t)) + 1e-7);
    });
    expectClose(walk(declared({ nadam: {} }), [1], one(...steps)), nadam, 6);
    const carried = { v: 0, m: 0 };
    const rmsprop = reference(steps, (g) => {
      carried.v = 0.9 * carried.v + 0.1 * g * g;
      carried.m = 0.8 * carried.m + (0.001 * g) / Math.sqrt(carried.v + 1e-7);
      return carried.m;
    });
    expectClose(walk(declared({ rmsprop: { momentum: 0.8 } }), [1], one(...steps)), rmsprop, 6);
  });

  it("adam adds epsilon before the bias correction, other than tfjs", () => {
    const root = Math.sqrt(0.001 * 0.01);
    const expected = 1 - (((0.001 * Math.sqrt(0.001)) / 0.1) * 0.01) / (root + 0.5);
    expectClose(walk(declared({ adam: { epsilon: 0.5 } }), [1], [[0.1]]), [[expected]], 7);
  });

  it("weights decay apart from the gradient, with any optimizer", () => {
    const decaying = declared({ sgd: { learningRate: 1 } }, { weightDecay: 0.004 });
    expectClose(walk(decaying, [2], one(0, 0, 0)).slice(-1), [[1.9760959]], 6);
  });

  it.each<[string, Omit<Update, "optimizer">, number[], number[]]>([
    ["by norm", { clipNorm: 1 }, [100, 100], [-Math.SQRT1_2, -Math.SQRT1_2]],
    ["by norm, a small one not", { clipNorm: 1 }, [0.3, 0.4], [-0.3, -0.4]],
    ["by value", { clipValue: 1 }, [100, -100], [-1, 1]],
    ["by the norm of all", { globalClipNorm: 1 }, [100, 100], [-Math.SQRT1_2, -Math.SQRT1_2]],
  ])("gradients are clipped %s", (_, clip, gradient, expected) => {
    expectClose(walk(declared({ sgd: { learningRate: 1 } }, clip), [0, 0], [gradient]), [expected], 4);
  });

  it("one norm for all weights, and one for each, are not the same", () => {
    expectClose(change(declared({ sgd: { learningRate: 1 } }, { globalClipNorm: 1 })), one(-0.6, -0.8), 6);
    expectClose(change(declared({ sgd: { learningRate: 1 } }, { clipNorm: 1 })), one(-1, -1), 6);
  });

  it("gradients of several batches make one update of their mean", () => {
    const update = declared({ sgd: { learningRate: 1 } }, { gradientAccumulation: 2 });
    expectClose(walk(update, [0], one(1, 3, 10, 20)), one(0, -2, -2, -17), 6);
  });

  it("the rate follows its schedule by updates, not by batches", () => {
    const schedule = { exponentialDecay: { decaySteps: 1, decayRate: 0.5, staircase: false } } as const;
    const update = declared({ sgd: { learningRate: 1 } }, { learningRateSchedule: schedule });
    expectClose(walk(update, [0], one(1, 1, 1)), one(-1, -1.5, -1.75), 6);
    const slow = { ...update, gradientAccumulation: 2 };
    expectClose(walk(slow, [0], one(1, 1, 1, 1)), one(0, -1, -1, -1.5), 6);
  });

  it("the moving average begins with the first weights", () => {
    const optimizer = optimizerOf(tf, declared({ sgd: { learningRate: 1 } }, { movingAverage: { decay: 0.9 } }));
    const variable = tf.variable(tf.tensor1d([1]));
    const averages = [1, 2, 3].map((gradient, step) => {
      optimizer.apply([{ variable, gradient: tf.tensor1d([gradient]) }], step);
      return [optimizer.averages([variable])?.[0]?.dataSync()[0] ?? NaN];
    });
    // The weight is 0, -2, -5.
    expectClose(averages, one(0, -0.2, -0.68), 6);
    optimizer.dispose();
  });
});
