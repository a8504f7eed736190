import "../../engine/test-realm.ts";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { buildModel, difference, readExample, readIndex } from "../../formats/keras/testing/corpus.ts";
import { compileToAnswer } from "./answering-model.ts";

const models = await readIndex();

/** Their recurrent cells run operation by operation. */
const NOT_COMPILED = ["conv-lstm2d", "stacked-cells"];

let tf: Tf;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
});

it.each(models.filter(({ name }) => !NOT_COMPILED.includes(name)))(
  "$name answers as Keras does when it is compiled",
  async ({ name }) => {
    const source = await buildModel(tf, name, "keras");
    const { model, notCompiled } = await compileToAnswer(tf, source);
    expect(notCompiled).toBeUndefined();
    if (model === undefined) return;
    source.dispose();
    const { inputs, outputs: expected } = await readExample(tf, name);
    const outputs = model.predict(inputs);
    expect(outputs.map(({ shape }) => shape)).toEqual(expected.map(({ shape }) => shape));
    const errors = outputs.map((output, index) => difference(output.dataSync(), expected[index]?.values ?? [NaN]));
    expect(Math.max(...errors)).toBeLessThanOrEqual(1e-5);
    tf.dispose([...inputs, ...outputs]);
    model.dispose();
  },
);
