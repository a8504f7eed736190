/** Takes channels out of a stored model: slices of weights, and the settings that count them. */
import type { StoredModel } from "../../formats/tfjs-layers.ts";
import { copyOf, layerEntry } from "../topology.ts";
import type { Analysis, LayerWidth } from "./analysis.ts";
import { type Weights, gather, weightsOf, withWeights } from "./weights.ts";

/** A setting in the form of a stored topology. */
const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function setWidth(topology: object, { path, name, field, last }: LayerWidth, count: number): void {
  const config = layerEntry(topology, path, name)?.config;
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
  const topology = copyOf(stored.topology);
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
