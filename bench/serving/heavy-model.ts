/** A model of which a batch takes long, so that one processor can ask for more than another can compute. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Four numbers to four through layers of 4096 units: some ten milliseconds for a batch of 64 on one processor. */
export async function writeHeavyModel(folder: string): Promise<void> {
  const sizes = [4, 4096, 4096, 4096, 4];
  const dense = sizes.slice(1).map((units, index) => ({
    class_name: "Dense",
    config: {
      name: `d${index}`,
      units,
      activation: index === 3 ? "linear" : "relu",
      use_bias: false,
      trainable: true,
      dtype: "float32",
    },
  }));
  const input = {
    class_name: "InputLayer",
    config: { name: "x", batch_input_shape: [null, 4], dtype: "float32", sparse: false },
  };
  const shapes = sizes.slice(1).map((units, index) => [sizes[index] ?? 0, units]);
  const weights = shapes.map((shape, index) => ({ name: `d${index}/kernel`, shape, dtype: "float32" }));
  const count = shapes.reduce((sum, [a = 0, b = 0]) => sum + a * b, 0);
  const numbers = Float32Array.from({ length: count }, (_, index) => (((index * 7919) % 1000) - 500) / 32_000);
  await writeFile(join(folder, "weights.bin"), numbers);
  const topology = {
    keras_version: "tfjs-layers 4.22.0",
    backend: "tensor_flow.js",
    model_config: { class_name: "Sequential", config: { name: "heavy", layers: [input, ...dense] } },
  };
  await writeFile(
    join(folder, "model.json"),
    JSON.stringify({
      format: "layers-model",
      modelTopology: topology,
      weightsManifest: [{ paths: ["weights.bin"], weights }],
    }),
  );
}
