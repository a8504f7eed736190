import "../../engine/test-realm.ts";
import type { Tensor } from "@tensorflow/tfjs";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { NOT_COMPUTED } from "../computable.ts";
import { supportedLayers } from "./layer-translation.ts";
import { buildModel, difference, readExample, readIndex } from "./testing/corpus.ts";

const TOLERANCE = 1e-5;

const models = await readIndex();
const files = models.flatMap(({ name, formats }) => formats.map((format) => ({ name, format })));

describe.each(["TensorFlow", "Wasm"] as const)("On %s", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });
  beforeEach(() => tf.setBackend(engine === "Wasm" ? "wasm" : "tensorflow"));

  const refused = new Set(
    models
      .filter(({ layers }) => layers.some((layer) => engine === "Wasm" && NOT_COMPUTED["wasm"]?.includes(layer)))
      .map(({ name }) => name),
  );

  it.each(files.filter(({ name }) => !refused.has(name)))(
    "$name.$format answers as Keras does",
    async ({ name, format }) => {
      const model = await buildModel(tf, name, format);
      const { inputs, outputs: expected } = await readExample(tf, name);
      const [only] = inputs;
      const outputs: Tensor[] = [
        model.predictOnBatch(inputs.length === 1 && only !== undefined ? only : inputs),
      ].flat();
      expect(outputs.map(({ shape }) => shape)).toEqual(expected.map(({ shape }) => shape));
      const errors = outputs.map((output, index) => difference(output.dataSync(), expected[index]?.values ?? [NaN]));
      expect(Math.max(...errors)).toBeLessThanOrEqual(TOLERANCE);
      tf.dispose([...inputs, ...outputs]);
      model.dispose();
    },
  );

  it("a model with a layer that the engine computes wrongly is refused, naming the layer", async () => {
    for (const name of refused) {
      await expect(buildModel(tf, name, "keras")).rejects.toThrow(
        /cannot be computed by the Wasm engine; use TensorFlow/,
      );
    }
    expect(refused.size > 0).toBe(engine === "Wasm");
  });
});

describe("The corpus", () => {
  /** Without effect on answers, and not in the corpus, as their configuration changes with Keras. */
  const AUGMENTATION = /^Random/;
  /** Part of another layer's configuration. */
  const INNER = new Set(["LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"]);

  it("has every layer that is supported", () => {
    const seen = new Set(models.flatMap(({ layers }) => layers));
    seen.add(seen.has("GroupedQueryAttention") ? "GroupQueryAttention" : "");
    expect(
      supportedLayers.filter((layer) => !seen.has(layer) && !AUGMENTATION.test(layer) && !INNER.has(layer)),
    ).toEqual([]);
  });

  it("has at least sixty models", () => {
    expect(models.length).toBeGreaterThanOrEqual(60);
  });
});
