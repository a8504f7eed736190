import "../../engine/test-realm.ts";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { onnxTensor, openOnnx } from "../../engine/onnx-runtime.ts";
import { buildModel, difference, readExample, readIndex } from "../../formats/keras/testing/corpus.ts";
import { signatureOf } from "../../formats/signature.ts";
import { lowerModel } from "../lowering/model.ts";
import { emitOnnx } from "./emit.ts";

const models = await readIndex();

/** Their recurrent cells run operation by operation. */
const NOT_COMPILED = ["conv-lstm2d", "stacked-cells"];

let tf: Tf;

beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
});

it.each(models.filter(({ name }) => !NOT_COMPILED.includes(name)))(
  "$name answers on ONNX Runtime as Keras does",
  async ({ name }) => {
    const source = await buildModel(tf, name, "keras");
    const { model } = lowerModel(source);
    if (model === undefined) throw new Error("it is not compiled");
    const session = await openOnnx(await emitOnnx(model), name, { threads: 1 });
    const { inputs, outputs } = await readExample(tf, name);
    const names = signatureOf(source).outputs.map(({ name: output }) => output);
    const given = inputs.map((input, index) => {
      const type = input.dtype === "int32" ? "int32" : "float32";
      return [signatureOf(source).inputs[index]?.name ?? "", onnxTensor(type, input.dataSync(), input.shape)] as const;
    });
    const found = await session.run(Object.fromEntries(given), names);
    const errors = names.map((output, index) => {
      const expected = outputs[index];
      const tensor = found[output];
      expect(tensor?.dims).toEqual(expected?.shape);
      return difference((tensor?.data ?? []) as Float32Array, expected?.values ?? [NaN]);
    });
    expect(Math.max(...errors)).toBeLessThanOrEqual(1e-5);
    tf.dispose(inputs);
    source.dispose();
    await session.dispose();
  },
);
