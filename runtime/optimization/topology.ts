/** Finds layers in a stored topology, in models in models too. */
import type { LayersModel } from "@tensorflow/tfjs";
import { z } from "zod";
import { isModel } from "./walk.ts";

/** The part of a topology, as tfjs writes it, that is looked at. */
const Layers = z.object({
  layers: z.array(z.looseObject({ class_name: z.string(), config: z.looseObject({ name: z.string() }) })),
});

/** A layer's entry, which may be changed. */
export interface LayerEntry {
  class_name: string;
  config: Record<string, unknown>;
}

function entryIn(model: unknown, path: readonly string[], name: string): LayerEntry | undefined {
  const wanted = path[0] ?? name;
  const parsed = Layers.safeParse(model);
  const index = parsed.data?.layers.findIndex((layer) => layer.config.name === wanted) ?? -1;
  if (index === -1) return undefined;
  // The parsed entry is a copy; what is changed is the topology itself.
  const entry = (model as { layers: LayerEntry[] }).layers[index];
  return path.length === 0 ? entry : entryIn(entry?.config, path.slice(1), name);
}

/** The layer `name` in the models `path`; undefined when there is none. */
export function layerEntry(topology: object, path: readonly string[], name: string): LayerEntry | undefined {
  return entryIn("config" in topology ? topology.config : undefined, path, name);
}

/** A topology of its own; it is JSON. */
export function copyOf(topology: object): object {
  return JSON.parse(JSON.stringify(topology)) as object;
}

/** The layer that gives the model's answer, and the models that it is in. */
export function answeringLayer(model: LayersModel): { path: string[]; name: string } | undefined {
  const [output] = model.outputs;
  if (output === undefined) return undefined;
  const { sourceLayer: layer, tensorIndex } = output;
  if (!isModel(layer)) return { path: [], name: layer.name };
  const inner = tensorIndex === 0 ? answeringLayer(layer) : undefined;
  return inner === undefined ? undefined : { path: [layer.name, ...inner.path], name: inner.name };
}
