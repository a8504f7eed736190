/** Weights of a stored model as tensors, and back. */
import type { io } from "@tensorflow/tfjs";
import { sizeOf } from "../../data/dataset.ts";
import type { StoredModel } from "../../formats/tfjs-layers.ts";

export interface Weights {
  shape: number[];
  data: Float32Array;
}

/** The slices of `tensor` along `axis` with these indices. */
export function gather({ shape, data }: Weights, axis: number, indices: readonly number[]): Weights {
  const outer = sizeOf(shape.slice(0, axis));
  const inner = sizeOf(shape.slice(axis + 1));
  const length = shape[axis] ?? 1;
  const result = new Float32Array(outer * indices.length * inner);
  let at = 0;
  for (let block = 0; block < outer; block += 1) {
    for (const index of indices) {
      const start = (block * length + index) * inner;
      result.set(data.subarray(start, start + inner), at);
      at += inner;
    }
  }
  return { shape: shape.map((size, i) => (i === axis ? indices.length : size)), data: result };
}

/** By their names. Every weight of a model that was stored by storeLayersModel takes four bytes, whatever its type. */
export function weightsOf({ weightSpecs, weightData }: StoredModel): Map<string, Weights> {
  let offset = 0;
  return new Map(
    weightSpecs.map((spec): [string, Weights] => {
      const data = new Float32Array(weightData, offset, sizeOf(spec.shape));
      offset += data.byteLength;
      return [spec.name, { shape: [...spec.shape], data }];
    }),
  );
}

/** `stored` with these weights, and this topology. */
export function withWeights(
  { weightSpecs }: StoredModel,
  topology: object,
  weights: ReadonlyMap<string, Weights>,
): StoredModel {
  const parts: Uint8Array[] = [];
  const specs = weightSpecs.map((spec): io.WeightsManifestEntry => {
    const found = weights.get(spec.name);
    if (found === undefined) throw new RangeError(`weight ${spec.name} is missing`);
    parts.push(new Uint8Array(found.data.buffer, found.data.byteOffset, found.data.byteLength));
    return { ...spec, shape: found.shape };
  });
  const joined = Buffer.concat(parts);
  return {
    topology,
    weightSpecs: specs,
    weightData: joined.buffer.slice(joined.byteOffset, joined.byteOffset + joined.length),
  };
}
