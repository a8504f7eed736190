/** Takes channels out of a stored model: slices of weights, and the settings that count them. */
import { z } from "zod";
import type { StoredModel } from "../../formats/tfjs-layers.ts";
import type { Analysis, LayerWidth } from "./analysis.ts";
import { type Weights, gather, weightsOf, withWeights } from "./weights.ts";

/** The part of a topology, as tfjs writes it, that is changed. */
const Layers = z.object({ layers: z.array(z.looseObject({ config: z.looseObject({ name: z.string() }) })) });

/** A setting in the form of a stored topology. */
const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The configuration of a layer in models in models; undefined when there is none of that name. */
function configIn(model: unknown, path: readonly string[], name: string): Record<string, unknown> | undefined {
  const parsed = Layers.safeParse(model);
  const wanted = path[0] ?? name;
  const index = parsed.data?.layers.findIndex((layer) => layer.config.name === wanted) ?? -1;
  if (index === -1) return undefined;
  // The parsed entry is a copy; what is changed is the topology itself.
  const { config } = (model as { layers: { config: Record<string, unknown> }[] }).layers[index] ?? {};
  return path.length === 0 ? config : configIn(config, path.slice(1), name);
}

function setWidth(topology: object, { path, name, field, last }: LayerWidth, count: number): void {
  const config = configIn("config" in topology ? topology.config : undefined, path, name);
  const setting = snakeCase(field);
  if (config === undefined) return;
  const former = config[setting];
  if (last !== true) config[setting] = count;
  else if (Array.isArray(former)) config[setting] = [...former.slice(0, -1), former.at(-1) === -1 ? -1 : count];
}

/** The model without the channels whose labels `isRemoved`. */
function removeLabels(stored: StoredModel, { sites, widths }: Analysis, isRemoved: (label: number) => boolean) {
  const keptOf = (labels: readonly number[]) => labels.flatMap((label, index) => (isRemoved(label) ? [] : [index]));
  const weights = new Map<string, Weights>(weightsOf(stored));
  for (const { weight, axis, labels } of sites) {
    const former = weights.get(weight);
    const kept = keptOf(labels);
    if (former !== undefined && kept.length < labels.length) weights.set(weight, gather(former, axis, kept));
  }
  const topology = JSON.parse(JSON.stringify(stored.topology)) as object;
  for (const width of widths) {
    const kept = keptOf(width.labels).length;
    if (kept < width.labels.length) setWidth(topology, width, kept);
  }
  return withWeights(stored, topology, weights);
}

/** `stored`, which was analysed, without the channels of these labels. */
export function removeChannels(stored: StoredModel, analysis: Analysis, removed: ReadonlySet<number>): StoredModel {
  return removeLabels(stored, analysis, (label) => removed.has(analysis.labels.find(label)));
}
