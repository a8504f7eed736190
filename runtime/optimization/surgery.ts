/** Takes a stored model apart into its chain of layers, and puts it together again with other ones. */
import type { LayersModel, io } from "@tensorflow/tfjs";
import { z } from "zod";
import { Failure } from "../failure.ts";
import type { StoredModel } from "../formats/tfjs-layers.ts";
import { chainOf } from "../training/chain.ts";
import type { PrunableLayer, Weights } from "./prune.ts";

/** The part of a topology, as tfjs writes it, that is changed. */
const Topology = z.looseObject({
  config: z.looseObject({
    layers: z.array(z.looseObject({ config: z.looseObject({ name: z.string() }) })),
  }),
});

function withoutBatch(shape: unknown): number[] {
  return Array.isArray(shape) ? shape.slice(1).map((size) => (typeof size === "number" ? size : -1)) : [];
}

/** Weights by their names; those of a stored model are float32. */
function weightsByName(stored: StoredModel): Map<string, Weights> {
  let offset = 0;
  return new Map(
    stored.weightSpecs.map((spec): [string, Weights] => {
      const count = spec.shape.reduce((product, size) => product * size, 1);
      const data = new Float32Array(stored.weightData, offset, count);
      offset += data.byteLength;
      return [spec.name, { shape: [...spec.shape], data }];
    }),
  );
}

/** The layers of `model`, which was stored as `stored`. Throws Failure ModelUnsupported when they form no chain. */
export function takeApart(model: LayersModel, stored: StoredModel): PrunableLayer[] {
  const weights = weightsByName(stored);
  const configs = Topology.parse(stored.topology).config.layers.map((layer) => layer.config);
  return chainOf(model).map((layer) => {
    const prefix = `${layer.name}/`;
    return {
      name: layer.name,
      className: layer.getClassName(),
      outputShape: withoutBatch(layer.outputShape),
      weights: [...weights].filter(([name]) => name.startsWith(prefix)).map(([, value]) => value),
      config: configs.find((config) => config.name === layer.name) ?? {},
    };
  });
}

/** Shape of one example that `model` takes. */
export function exampleShapeOf(model: LayersModel): number[] {
  const [input] = model.inputs;
  if (input === undefined || model.inputs.length !== 1 || model.outputs.length !== 1) {
    throw new Failure(
      "ModelUnsupported",
      "The model has several inputs or outputs; only models with one of each can be optimized",
    );
  }
  return withoutBatch(input.shape);
}

/** `stored` with the configurations and weights of `layers`. */
export function putTogether(stored: StoredModel, layers: readonly PrunableLayer[]): StoredModel {
  const topology = Topology.parse(structuredClone(stored.topology));
  for (const entry of topology.config.layers) {
    const layer = layers.find(({ name }) => name === entry.config.name);
    if (layer !== undefined) entry.config = { ...layer.config, name: layer.name };
  }
  const parts: Uint8Array[] = [];
  const weightSpecs: io.WeightsManifestEntry[] = [];
  for (const { name, weights } of layers) {
    const specs = stored.weightSpecs.filter((spec) => spec.name.startsWith(`${name}/`));
    weights.forEach(({ shape, data }, index) => {
      const spec = specs[index];
      if (spec === undefined) throw new TypeError(`layer ${name} has more weights than were stored`);
      weightSpecs.push({ ...spec, shape });
      parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    });
  }
  const joined = Buffer.concat(parts);
  return {
    topology,
    weightSpecs,
    weightData: joined.buffer.slice(joined.byteOffset, joined.byteOffset + joined.length),
  };
}
