/** Small models with known weights, written by hand, so that a test knows what must come out. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

async function writeModel(dir: string, config: object, weights: readonly Weight[]): Promise<string> {
  await mkdir(dir, { recursive: true });
  await writeFile(
    join(dir, "weights.bin"),
    Buffer.from(new Float32Array(weights.flatMap(({ values }) => values)).buffer),
  );
  const specs = weights.map(({ name, shape }) => ({ name, shape, dtype: "float32" }));
  const json = {
    format: "layers-model",
    modelTopology: { keras_version: "tfjs-layers 4.22.0", backend: "tensor_flow.js", model_config: config },
    weightsManifest: [{ paths: ["weights.bin"], weights: specs }],
  };
  await writeFile(join(dir, "model.json"), JSON.stringify(json));
  return dir;
}

/** y[j] = sum of x[i] * (i + 1) * (j + 1) / 8, plus j. */
export function linear(x: readonly number[]): number[] {
  return [0, 1, 2].map((j) => x.reduce((sum, value, i) => sum + (value * (i + 1) * (j + 1)) / 8, j));
}

/** Four floats to the three floats of `linear`. Input `x`, output `y/y`. */
export function writeLinearModel(dir: string): Promise<string> {
  const dense = { units: 3, activation: "linear", use_bias: true, name: "y", trainable: true, dtype: "float32" };
  const layers = [
    { class_name: "InputLayer", config: { batch_input_shape: [null, 4], dtype: "float32", sparse: false, name: "x" } },
    { class_name: "Dense", config: dense },
  ];
  const kernel = [0, 1, 2, 3].flatMap((i) => [0, 1, 2].map((j) => ((i + 1) * (j + 1)) / 8));
  return writeModel(dir, { class_name: "Sequential", config: { name: "linear", layers } }, [
    { name: "y/kernel", shape: [4, 3], values: kernel },
    { name: "y/bias", shape: [3], values: [0, 1, 2] },
  ]);
}

type Config = { readonly name: string } & Readonly<Record<string, unknown>>;

function layer(class_name: string, config: Config, from: readonly string[] = []): object {
  const node = from.map((name) => [name, 0, 0, {}]);
  return {
    class_name,
    name: config.name,
    config: { trainable: true, dtype: "float32", ...config },
    inbound_nodes: node.length === 0 ? [] : [node],
  };
}

/** Inputs `a` (two floats) and `n` (an integer below 3); outputs [a0, a1, 10 n] and a0 + a1 + 10 n. */
export function writePairModel(dir: string): Promise<string> {
  const layers = [
    layer("InputLayer", { name: "a", batch_input_shape: [null, 2], sparse: false }),
    layer("InputLayer", { name: "n", batch_input_shape: [null, 1], dtype: "int32", sparse: false }),
    layer("Embedding", { name: "e", input_dim: 3, output_dim: 1, input_length: 1, mask_zero: false }, ["n"]),
    layer("Flatten", { name: "flat" }, ["e"]),
    layer("Concatenate", { name: "all", axis: -1 }, ["a", "flat"]),
    layer("Dense", { name: "sum", units: 1, activation: "linear", use_bias: false }, ["all"]),
  ];
  const outputs = ["all", "sum"].map((name) => [name, 0, 0]);
  const inputs = ["a", "n"].map((name) => [name, 0, 0]);
  const config = { name: "pair", layers, input_layers: inputs, output_layers: outputs };
  return writeModel(dir, { class_name: "Model", config }, [
    { name: "e/embeddings", shape: [3, 1], values: [0, 10, 20] },
    { name: "sum/kernel", shape: [3, 1], values: [1, 1, 1] },
  ]);
}
