import "../../engine/test-realm.ts";
import type { LayersModel } from "@tensorflow/tfjs";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { onnxTensor, openOnnx } from "../../engine/onnx-runtime.ts";
import { readOnnx } from "../../formats/onnx/model-file.ts";
import { signatureOf } from "../../formats/signature.ts";
import { type LoweredModel, lowerModel } from "../lowering/model.ts";
import { type CalibrationMethod, calibrate } from "./calibration.ts";
import { type EmitOptions, emitOnnx } from "./emit.ts";

let tf: Tf;
beforeAll(async () => {
  ({ tf } = await openBackend("TensorFlow"));
});

/** With weights and statistics as a trained model has them, the same in every run. */
function seeded(model: LayersModel): LayersModel {
  const weights = model.weights.map((weight, index) => {
    const shape = weight.shape.map((size) => size ?? 1);
    const fan = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    if (/variance|gamma/.test(weight.originalName)) return tf.randomUniform(shape, 0.5, 1.5, "float32", index + 1);
    const deviation = shape.length > 1 ? Math.sqrt(2 / fan) : 0.1;
    return tf.randomNormal(shape, 0, deviation, "float32", index + 1);
  });
  model.setWeights(weights);
  tf.dispose(weights);
  return model;
}

function perceptron(): LayersModel {
  const model = tf.sequential();
  model.add(tf.layers.dense({ inputShape: [256], units: 256, activation: "relu" }));
  model.add(tf.layers.dense({ units: 256, activation: "relu" }));
  model.add(tf.layers.dense({ units: 10 }));
  return seeded(model);
}

/** Convolutions, batch normalization, depthwise, residual sum, concatenation, both kinds of pooling. */
function convolutional(): LayersModel {
  const image = tf.input({ shape: [8, 8, 3] });
  const conv = (filters: number) => tf.layers.conv2d({ filters, kernelSize: 3, padding: "same", useBias: false });
  const even = (x: ReturnType<typeof tf.input>) => tf.layers.batchNormalization().apply(x) as typeof x;
  const through = (x: typeof image, layer: { apply(one: typeof image): unknown }) => layer.apply(x) as typeof image;
  const cut = (x: typeof image, maxValue?: number) =>
    through(x, tf.layers.reLU(maxValue === undefined ? {} : { maxValue }));
  const first = cut(even(through(image, conv(16))), 6);
  const deep = cut(even(through(first, tf.layers.depthwiseConv2d({ kernelSize: 3, padding: "same" }))));
  const sum = cut(tf.layers.add().apply([first, even(through(deep, conv(16)))]) as typeof image);
  const both = tf.layers.concatenate().apply([sum, deep]) as typeof image;
  const pooled = through(
    through(both, tf.layers.maxPooling2d({ poolSize: 2 })),
    tf.layers.averagePooling2d({ poolSize: 2 }),
  );
  const flat = through(through(pooled, conv(32)), tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast" }));
  return seeded(tf.model({ inputs: image, outputs: through(flat, tf.layers.dense({ units: 10 })) }));
}

function embedding(): LayersModel {
  const model = tf.sequential();
  model.add(tf.layers.embedding({ inputShape: [8], inputDim: 500, outputDim: 64 }));
  model.add(tf.layers.dense({ units: 128, activation: "relu" }));
  model.add(tf.layers.globalAveragePooling1d({}));
  model.add(tf.layers.dense({ units: 10 }));
  return seeded(model);
}

const ROWS = 64;

function samples(source: LayersModel, seed: number) {
  const sizes = [ROWS, ...(signatureOf(source).inputs[0]?.shape ?? []).slice(1)];
  // tfjs takes indices as float32, too.
  return source.layers.some((layer) => layer.getClassName() === "Embedding")
    ? tf.randomUniformInt(sizes, 0, 500, seed).cast("float32")
    : tf.randomNormal(sizes, 0, 1, "float32", seed);
}

function lowered(source: LayersModel): LoweredModel {
  const { model } = lowerModel(source);
  if (model === undefined) throw new Error("it is not compiled");
  return model;
}

interface Measured {
  /** Root of the mean squared difference, as a part of the answers' own deviation. */
  error: number;
  /** Rows of which the largest answer is the same one. */
  sameClass: number;
}

async function measure(source: LayersModel, bytes: Uint8Array): Promise<Measured> {
  const session = await openOnnx(bytes, "the int8 model", { threads: 1 });
  const x = samples(source, 99);
  const expected = source.predictOnBatch(x) as typeof x;
  const { inputs, outputs } = signatureOf(source);
  const name = outputs[0]?.name ?? "";
  const type = x.dtype === "int32" ? "int32" : "float32";
  const given = { [inputs[0]?.name ?? ""]: onnxTensor(type, x.dataSync(), x.shape) };
  const found = (await session.run(given, [name]))[name]?.data as Float32Array;
  const wanted = expected.dataSync() as Float32Array;
  const mean = wanted.reduce((sum, value) => sum + value, 0) / wanted.length;
  const square = (of: (index: number) => number) => wanted.reduce((sum, _, index) => sum + of(index) ** 2, 0);
  const error = Math.sqrt(square((i) => (found[i] ?? NaN) - (wanted[i] ?? 0)) / square((i) => (wanted[i] ?? 0) - mean));
  const classes = wanted.length / ROWS;
  const best = (values: ArrayLike<number>, row: number) => {
    const own = Array.from({ length: classes }, (_, index) => values[row * classes + index] ?? 0);
    return own.indexOf(Math.max(...own));
  };
  const same = Array.from({ length: ROWS }, (_, row) => best(found, row) === best(wanted, row));
  tf.dispose([x, expected]);
  await session.dispose();
  return { error, sameClass: same.filter(Boolean).length };
}

async function calibrated(source: LayersModel, method: CalibrationMethod) {
  const x = samples(source, 7);
  const data = x.dataSync() as Float32Array | Int32Array;
  const batches = [{ data, shape: x.shape }].map((one) => [one]);
  x.dispose();
  return calibrate(lowered(source), batches, method);
}

const METHODS: CalibrationMethod[] = [
  { method: "MinMax" },
  { method: "Percentile", percentile: 99.99 },
  { method: "Entropy" },
];

describe.each([
  ["of dense layers", perceptron],
  ["of convolutions", convolutional],
  ["with an embedding", embedding],
] as const)("A model %s in integers of 8 bits", (_, build) => {
  it("answers nearly the same when ranges are found as it runs", async () => {
    const source = build();
    const bytes = await emitOnnx(lowered(source), { precision: "Int8Dynamic" });
    const { error, sameClass } = await measure(source, bytes);
    expect(readOnnx(bytes, "m").quantized).toBe(true);
    expect(error).toBeLessThan(0.03);
    expect(sameClass).toBeGreaterThanOrEqual(ROWS - 2);
  });

  it.each(METHODS)("answers nearly the same with ranges by $method", async (method) => {
    const source = build();
    const options: EmitOptions = { precision: "Int8Static", ranges: await calibrated(source, method) };
    const bytes = await emitOnnx(lowered(source), options);
    const { error, sameClass } = await measure(source, bytes);
    expect(readOnnx(bytes, "m").quantized).toBe(true);
    // Rare values that are cut cost more than rounding does.
    expect(error).toBeLessThan(method.method === "Entropy" ? 0.15 : 0.08);
    expect(sameClass).toBeGreaterThanOrEqual(ROWS - 6);
  });

  it("is a quarter of its size", async () => {
    const source = build();
    const full = await emitOnnx(lowered(source));
    const small = await emitOnnx(lowered(source), { precision: "Int8Dynamic" });
    const expected = build === convolutional ? 2 : 3.3;
    expect(full.length / small.length).toBeGreaterThan(expected);
  });
});

it("computes everything between the first and the last layer of a CNN in integers", async () => {
  const source = convolutional();
  const ranges = await calibrated(source, { method: "MinMax" });
  const text = Buffer.from(await emitOnnx(lowered(source), { precision: "Int8Static", ranges })).toString("latin1");
  const count = (operation: string) => (text.match(new RegExp(`\\b${operation}:[a-z]`, "g")) ?? []).length;
  expect(count("QLinearConv")).toBe(4);
  expect([count("QLinearAdd"), count("QLinearConcat"), count("QGemm")]).toEqual([1, 1, 1]);
  expect([count("QLinearAveragePool"), count("QLinearGlobalAveragePool")]).toEqual([1, 1]);
  // In at the beginning; at the end nothing, as the last product gives numbers as they are.
  expect([count("QuantizeLinear"), count("DequantizeLinear")]).toEqual([1, 0]);
});
