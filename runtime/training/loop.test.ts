import "../engine/test-realm.ts";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { Layer } from "../../crds/model.ts";
import { Optimizer } from "../../crds/optimizer.ts";
import { batchesOf } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { type Tf, openBackend } from "../engine/backend.ts";
import { chainOf } from "./chain.ts";
import { forward } from "./forward.ts";
import { type ModelDeclaration, buildModel, objectiveOf } from "./layers.ts";
import { type LoopState, trainLoop } from "./loop.ts";
import { opByOpStep } from "./op-by-op-step.ts";

const declared: ModelDeclaration = {
  preprocessing: [],
  model: {
    layers: [
      { dense: { units: 16, activation: "tanh" } },
      { dropout: { rate: 0.25 } },
      { dense: { units: 2, activation: "softmax" } },
    ].map((layer) => Layer.parse(layer)),
  },
  loss: "sparseCategoricalCrossentropy",
  metrics: ["accuracy"],
};

/** Points of the plane, labelled by the sign of their product: no straight line parts them. */
function plane(count: number, seed = 5): Dataset {
  const random = new Random(seed);
  const features = Float32Array.from({ length: 2 * count }, () => random.below(2001) / 1000 - 1);
  const labels = Float32Array.from({ length: count }, (_, i) =>
    (features[2 * i] ?? 0) * (features[2 * i + 1] ?? 0) > 0 ? 1 : 0,
  );
  return { features, labels, exampleShape: [2], count, source: "plane" };
}

const nothing = () => undefined;

const weights = (model: LayersModel) => model.getWeights().map((weight) => Array.from(weight.dataSync()));

describe.each(["TensorFlow", "Wasm"] as const)("Training on %s", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  async function trained(
    seed: number,
    epochs: number,
    learningRate = 0.02,
  ): Promise<{ model: LayersModel; states: LoopState[] }> {
    const model = buildModel(tf, declared, [2], seed);
    const objective = objectiveOf(declared);
    const optimizer = { adam: { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } };
    const states: LoopState[] = [];
    const step = opByOpStep(tf, { model, objective, optimizer, seed });
    let now = 0;
    await trainLoop(tf, {
      model,
      objective,
      step,
      train: plane(200),
      validation: plane(60, 6),
      epochs,
      batchSize: 32,
      seed,
      clock: () => (now += 500),
      onState: (state) => states.push(state),
    }).finally(() => step.dispose());
    return { model, states };
  }

  it("learns, and says where it stands after each step and epoch", async () => {
    const { states } = await trained(1, 20, 0.1);
    expect(states.length).toBe(20 * 7 + 20);
    const last = states.at(-1);
    expect(last).toMatchObject({ epoch: 20, epochs: 20, step: 140, steps: 140, etaSeconds: 0 });
    expect(last?.metrics["val_accuracy"]).toBeGreaterThan(0.85);
    expect(last?.loss).toBeLessThan(0.5);
    expect(states[0]?.etaSeconds).toBe(139 * 0.5);
  });

  it("gives the same weights, to the bit, for the same seed, and others for another", async () => {
    const [first, again, other] = [await trained(1, 2), await trained(1, 2), await trained(2, 2)];
    expect(weights(again.model)).toEqual(weights(first.model));
    expect(weights(other.model)).not.toEqual(weights(first.model));
  });

  it("also has an effect with seed 0, which tfjs would take for none", async () => {
    expect(weights((await trained(0, 1)).model)).toEqual(weights((await trained(0, 1)).model));
  });

  it("gives the losses of Keras, with a decaying rate", async () => {
    const ones = { kernelInitializer: "ones" as const, biasInitializer: "ones" as const, units: 2, inputShape: [2] };
    const model = tf.sequential({ layers: [tf.layers.dense(ones)] });
    const objective = { loss: "meanSquaredError", metrics: [] } as const;
    const optimizer = Optimizer.parse({ adam: { learningRate: 0.05 } });
    const learningRateSchedule = { exponentialDecay: { decaySteps: 1, decayRate: 0.9, staircase: false } };
    const step = opByOpStep(tf, {
      model,
      objective: { ...objective, metrics: [] },
      optimizer,
      learningRateSchedule,
      seed: 0,
    });
    const values = Float32Array.from({ length: 32 }, (_, i) => i);
    const examples = { features: values, labels: values, exampleShape: [2], labelShape: [2], count: 16, source: "" };
    const losses = [0, 1, 2].map((epoch) => {
      const batches = [...batchesOf(examples, 4)];
      const sum = batches.reduce(
        (total, batch, index) => total + (step.run(batch, 4 * epoch + index)["loss"] ?? NaN),
        0,
      );
      return sum / batches.length;
    });
    step.dispose();
    // The values of Keras' own test of its schedules.
    [230.79457, 128.30319, 79.33649].forEach((expected, epoch) =>
      expect(Math.abs((losses[epoch] ?? NaN) - expected) / expected).toBeLessThan(5e-5),
    );
  });

  it("leaves no tensors behind but the model's", async () => {
    await trained(1, 1);
    const before = tf.memory().numTensors;
    const { model } = await trained(1, 3);
    expect(tf.memory().numTensors).toBe(before + model.getWeights().length);
  });

  it("stops when the loss is not finite any more, and names the remedy", async () => {
    const model = buildModel(tf, declared, [2], 1);
    const options = { model, objective: objectiveOf(declared), train: plane(8), epochs: 1, batchSize: 4, seed: 1 };
    const step = {
      run: () => ({ loss: NaN }),
      learningRate: () => 1,
      publish: nothing,
      withdraw: nothing,
      read: () => [],
      write: nothing,
      dispose: nothing,
    };
    const loop = trainLoop(tf, { ...options, step, clock: () => 0, onState: () => undefined });
    await expect(loop).rejects.toThrow(/not finite any more in epoch 1, step 1; lower the learning rate/);
    await expect(loop).rejects.toMatchObject({ reason: "InvalidSpec", exitCode: 64 });
  });

  it("drops other values in each step, the same ones for the same seed, and none when it predicts", () => {
    const model = tf.sequential({ layers: [tf.layers.dropout({ rate: 0.5, inputShape: [64] })] });
    const ones = tf.ones([1, 64]);
    const values = (moment?: { seed: number; step: number }) => {
      const answer = moment === undefined ? model.predict(ones) : forward(tf, model, ones, moment);
      return Array.from((answer as Tensor).dataSync());
    };
    expect(values({ seed: 1, step: 0 })).toEqual(values({ seed: 1, step: 0 }));
    expect(values({ seed: 1, step: 0 })).not.toEqual(values({ seed: 1, step: 1 }));
    expect(values({ seed: 1, step: 0 })).not.toEqual(values({ seed: 2, step: 0 }));
    expect(new Set(values({ seed: 1, step: 0 }))).toEqual(new Set([0, 2]));
    expect(new Set(values())).toEqual(new Set([1]));
  });

  it("changes nothing of what is saved of the layers", () => {
    const model = tf.sequential({ layers: [tf.layers.dropout({ rate: 0.5, inputShape: [4] })] });
    const before = model.toJSON();
    forward(tf, model, tf.ones([1, 4]), { seed: 1, step: 7 });
    expect(model.toJSON()).toEqual(before);
  });

  it("tells a model whose layers form no chain", () => {
    const input = tf.input({ shape: [4] });
    const left = tf.layers.dense({ units: 4, name: "left" }).apply(input);
    const sum = tf.layers.add({ name: "sum" }).apply([left, input] as never);
    const model = tf.model({ inputs: input, outputs: sum as never });
    expect(() => chainOf(model)).toThrow(/Layer sum does not follow one other layer/);
  });
});
