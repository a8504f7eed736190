import "../../engine/test-realm.ts";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { buildModel, readExample, readIndex } from "../../formats/keras/testing/corpus.ts";
import { lowerModel } from "./model.ts";

const models = await readIndex();

/** Their recurrent cells run operation by operation. */
const NOT_COMPILED = ["conv-lstm2d", "stacked-cells"];

let tf: Tf;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
});

it.each(models.filter(({ name }) => !NOT_COMPILED.includes(name)))(
  "$name becomes a graph with the outputs that Keras gives",
  async ({ name }) => {
    const model = await buildModel(tf, name, "keras");
    const lowered = lowerModel(model);
    expect(lowered.notCompiled).toBeUndefined();
    const { inputs, outputs } = await readExample(tf, name);
    const shapes = lowered.model?.answer.outputs.map(({ value }) => value.shape);
    // Sizes that are open in the graph are what the example has.
    expect(
      shapes?.map((shape, index) => shape.map((size, axis) => (size === -1 ? outputs[index]?.shape[axis] : size))),
    ).toEqual(outputs.map(({ shape }) => shape));
    tf.dispose(inputs);
    model.dispose();
  },
);

it("a layer that cannot be expressed is named, with its class and the reason", () => {
  const model = tf.sequential();
  model.add(tf.layers.convLstm2d({ name: "weather", filters: 2, kernelSize: 3, inputShape: [4, 8, 8, 1] }));
  expect(lowerModel(model)).toEqual({
    notCompiled: {
      layer: "weather",
      className: "ConvLSTM2D",
      reason: "the compiler lacks this class of layer",
    },
  });
});
