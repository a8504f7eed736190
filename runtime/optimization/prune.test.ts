import "../engine/test-realm.ts";
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { type Tf, openBackend } from "../engine/backend.ts";
import { buildLayersModel, storeLayersModel } from "../formats/tfjs-layers.ts";
import { type PrunableLayer, gather, pruneChain, strongestChannels } from "./prune.ts";
import { putTogether, takeApart } from "./surgery.ts";

it("takes slices along any axis", () => {
  const weights = { shape: [2, 3], data: new Float32Array([1, 2, 3, 4, 5, 6]) };
  expect(gather(weights, 1, [0, 2])).toEqual({ shape: [2, 2], data: new Float32Array([1, 3, 4, 6]) });
  expect(gather(weights, 0, [1])).toEqual({ shape: [1, 3], data: new Float32Array([4, 5, 6]) });
});

it("keeps the channels with the largest norms, in their order, and at least one", () => {
  const kernel = { shape: [2, 4], data: new Float32Array([3, 0.1, -1, 2, 4, 0.1, 1, 2]) };
  expect(strongestChannels(kernel, 0.5)).toEqual([0, 3]);
  expect(strongestChannels(kernel, 0.25)).toEqual([0, 2, 3]);
  expect(strongestChannels(kernel, 0.99)).toEqual([0]);
});

function layer(className: string, outputShape: number[], shape?: number[]): PrunableLayer {
  const weights =
    shape === undefined ? [] : [{ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1) }];
  return { name: className.toLowerCase(), className, outputShape, weights, config: {} };
}

const single = () => pruneChain([layer("Dense", [3], [2, 3])], [2], 0.5);

it("says that there is nothing to prune in a single layer", () => {
  expect(single).toThrow(expect.objectContaining({ reason: "InvalidSpec" }));
  expect(single).toThrow(/no other; remove prune/);
});

it.each([
  [layer("BatchNormalization", [4], [4]), "Layer batchnormalization (BatchNormalization) cannot be pruned"],
  [layer("Reshape", [2, 2]), "Layer reshape (Reshape) cannot be pruned behind a layer with weights"],
])("names a layer that it does not know how to prune", (between, message) => {
  const chain = [layer("Dense", [4], [2, 4]), between, layer("Dense", [1], [4, 1])];
  expect(() => pruneChain(chain, [2], 0.5)).toThrow(message);
  expect(() => pruneChain(chain, [2], 0.5)).toThrow(expect.objectContaining({ reason: "ModelUnsupported" }));
});

describe.each(["TensorFlow", "Wasm"] as const)("On %s", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  function convolutional(): LayersModel {
    const kernelInitializer = tf.initializers.glorotUniform({ seed: 3 });
    return tf.sequential({
      layers: [
        tf.layers.reshape({ targetShape: [6, 6, 1], inputShape: [36] }),
        tf.layers.conv2d({ filters: 8, kernelSize: 3, padding: "same", activation: "relu", kernelInitializer }),
        tf.layers.conv2d({ filters: 4, kernelSize: 3, useBias: false, kernelInitializer }),
        tf.layers.maxPooling2d({ poolSize: 2 }),
        tf.layers.dropout({ rate: 0.5 }),
        tf.layers.reshape({ targetShape: [16] }),
        tf.layers.dense({ units: 6, activation: "relu", kernelInitializer }),
        tf.layers.dense({ units: 3, kernelInitializer }),
      ],
    });
  }

  /** Makes channels of a layer without effect: their weights and biases become zero. */
  function silence(model: LayersModel, index: number, channels: number[]): void {
    const target = model.layers[index];
    target?.setWeights(
      target.getWeights().map((weight) => {
        const size = weight.shape.at(-1) ?? 1;
        const mask = Float32Array.from({ length: size }, (_, channel) => (channels.includes(channel) ? 0 : 1));
        return tf.mul(weight, tf.tensor1d(mask));
      }),
    );
  }

  async function pruned(model: LayersModel, sparsity: number): Promise<LayersModel> {
    const stored = await storeLayersModel(tf, model);
    return buildLayersModel(tf, putTogether(stored, pruneChain(takeApart(model, stored), [36], sparsity)));
  }

  it("removing channels without effect changes no answer, through pooling, dropout and reshape", async () => {
    const model = convolutional();
    silence(model, 1, [0, 3, 5, 6]);
    silence(model, 2, [1, 2]);
    silence(model, 6, [0, 4, 5]);
    const smaller = await pruned(model, 0.5);
    const input = tf.randomUniform([5, 36], 0, 1, "float32", 9);
    const [expected, found] = [model, smaller].map((one) => Array.from((one.predict(input) as Tensor).dataSync()));
    expected?.forEach((value, index) => expect(found?.[index]).toBeCloseTo(value, 5));
    // conv 3*3*1*4 + 4, conv 3*3*4*2, dense 4*2*3 + 3, dense 3*3 + 3
    expect(smaller.countParams()).toBe(40 + 72 + 27 + 12);
    expect(smaller.countParams()).toBeLessThan(model.countParams() / 2);
  });
});
