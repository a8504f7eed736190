/** Observes which ranges a model's values have, so that they can become integers of 8 bits. */
import { type OnnxTensor, onnxTensor, openOnnx } from "../../engine/onnx-runtime.ts";
import type { LoweredModel } from "../lowering/model.ts";
import { emitObserved } from "./emit.ts";
import type { Ranges } from "./emitter.ts";
import { BINS, type Histogram, entropyRange, newHistogram, percentileRange } from "./histogram.ts";
import type { Range } from "./quantization.ts";

export type CalibrationMethod =
  | { readonly method: "MinMax" }
  /** The middle part of the values, in percent, such as 99.99; the others are cut. */
  | { readonly method: "Percentile"; readonly percentile: number }
  /** The range that loses the least information (Kullback-Leibler divergence). */
  | { readonly method: "Entropy" };

/** The model's inputs in its order. */
export type CalibrationBatch = readonly {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}[];

/** Ranges of the model's values by name. The batches are looked at twice, unless the method is MinMax. */
export async function calibrate(
  model: LoweredModel,
  batches: readonly CalibrationBatch[],
  method: CalibrationMethod,
): Promise<Ranges> {
  const { bytes, observed } = await emitObserved(model);
  const session = await openOnnx(bytes, "the model that is observed");
  const { inputs } = model.answer;
  const each = async (see: (value: string, data: Float32Array) => void) => {
    for (const batch of batches) {
      const given: Record<string, OnnxTensor> = {};
      for (const [index, { name, value }] of inputs.entries()) {
        const tensor = batch[index];
        if (tensor === undefined) throw new RangeError(`a batch lacks input ${name}`);
        given[name] = onnxTensor(value.dtype, tensor.data, tensor.shape);
        if (tensor.data instanceof Float32Array) see(value.node.name, tensor.data);
      }
      const found = await session.run(given, [...observed.values()]);
      for (const [value, output] of observed) see(value, (found[output]?.data ?? []) as Float32Array);
    }
  };
  try {
    const widest = new Map<string, Range>();
    await each((value, data) => widest.set(value, widened(widest.get(value), data)));
    if (method.method === "MinMax") return Object.fromEntries(widest);
    const histograms = new Map<string, Histogram>();
    await each((value, data) => {
      const histogram = histograms.get(value) ?? newHistogram(widest.get(value) ?? { min: 0, max: 0 });
      histograms.set(value, histogram);
      count(histogram, data);
    });
    const narrowed = [...histograms].map(([value, histogram]): [string, Range] => [
      value,
      method.method === "Entropy" ? entropyRange(histogram) : percentileRange(histogram, method.percentile),
    ]);
    return Object.fromEntries(narrowed);
  } finally {
    await session.dispose();
  }
}

function widened({ min, max }: Range = { min: Infinity, max: -Infinity }, data: Float32Array): Range {
  let [low, high] = [min, max];
  for (let index = 0; index < data.length; index++) {
    const value = data[index] ?? 0;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { min: low, max: high };
}

function count({ counts, range: { min, max } }: Histogram, data: Float32Array): void {
  const width = (max - min) / BINS;
  for (let index = 0; index < data.length; index++) {
    const place = width > 0 ? ((data[index] ?? 0) - min) / width : 0;
    if (Number.isNaN(place)) continue;
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor(place)));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
}
