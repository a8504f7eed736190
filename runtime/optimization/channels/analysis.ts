/** Which channels of a model belong together, which weights they are made of, and which must stay. */
import type { LayersModel, SymbolicTensor } from "@tensorflow/tfjs";
import { type Call, type TfLayer, walk } from "../walk.ts";
import { Labels } from "./labels.ts";
import { type Channels, type Findings, RULES, type Site, type Width } from "./rules.ts";

/** A layer's site, its weight by name. */
export interface WeightSite extends Omit<Site, "weight"> {
  weight: string;
}

/** A setting of the layer `name` in the models `path`. */
export interface LayerWidth extends Width {
  path: readonly string[];
  name: string;
}

export interface Analysis {
  labels: Labels;
  sites: WeightSite[];
  widths: LayerWidth[];
}

const withoutBatch = ({ shape }: SymbolicTensor) => shape.slice(1);

/** Settings as the layer's own class names them; a class that cannot tell has none. */
const configOf = (layer: TfLayer): Record<string, unknown> => layer.getConfig();

interface Seen {
  inputs: Channels[];
  findings: Findings;
}

class Analyst {
  readonly labels = new Labels();
  readonly sites: WeightSite[] = [];
  readonly widths: LayerWidth[] = [];
  readonly #seen = new Map<TfLayer, Seen>();
  readonly #entered = new Map<LayersModel, Channels[]>();

  call({ layer, outputs, path }: Call, inputs: Channels[]): Channels[] {
    const shape = outputs[0] === undefined ? [] : withoutBatch(outputs[0]);
    const former = this.#seen.get(layer);
    if (former !== undefined) {
      this.#join(former, inputs);
      return [{ labels: former.findings.outputs, shape }];
    }
    const findings = this.#findings(layer, inputs, shape);
    if (findings === undefined) return this.#whole(inputs, outputs);
    if (findings.sites.length + findings.widths.length > 0) {
      this.#seen.set(layer, { inputs, findings });
      this.#record(layer, findings, path);
    }
    return [{ labels: findings.outputs, shape }];
  }

  /** A model in a model says how many channels its inputs have. */
  enter(model: LayersModel, inputs: Channels[], path: readonly string[]): void {
    const former = this.#entered.get(model) ?? inputs;
    this.#entered.set(model, former);
    for (const [index, { sourceLayer }] of model.inputs.entries()) {
      const labels = inputs[index]?.labels;
      if (labels === undefined) continue;
      this.#unite(former[index]?.labels, labels);
      // In a chain of layers it is the first of them that says it.
      for (const name of new Set([sourceLayer.name, model.layers[0]?.name ?? ""]))
        this.widths.push({ field: "batchInputShape", labels, last: true, path, name });
    }
  }

  #findings(layer: TfLayer, inputs: Channels[], outputShape: (number | null)[]): Findings | undefined {
    const config = configOf(layer);
    if (config["dataFormat"] === "channelsFirst") return undefined;
    const findings = RULES.get(layer.getClassName())?.({ layer, config, inputs, outputShape, labels: this.labels });
    // A tensor whose channels are not those that were worked out is nothing to build on.
    return findings?.outputs.length === outputShape.at(-1) ? findings : undefined;
  }

  /** A layer that is used again has one set of weights: its inputs keep the same channels. */
  #join({ inputs: former }: Seen, inputs: Channels[]): void {
    for (const [index, { labels }] of inputs.entries()) this.#unite(former[index]?.labels, labels);
  }

  #unite(some: readonly number[] | undefined, others: readonly number[] | undefined): void {
    if (some?.length === others?.length) {
      others?.forEach((label, index) => this.labels.union(some?.[index] ?? label, label));
      return;
    }
    this.labels.pin(some ?? []);
    this.labels.pin(others ?? []);
  }

  /** Nothing is known of such a layer, so nothing that goes in or comes out is removed. */
  #whole(inputs: Channels[], outputs: SymbolicTensor[]): Channels[] {
    for (const { labels } of inputs) this.labels.pin(labels ?? []);
    return outputs.map((output) => {
      const shape = withoutBatch(output);
      const count = shape.at(-1);
      const labels = typeof count === "number" ? this.labels.fresh(count) : undefined;
      this.labels.pin(labels ?? []);
      return { labels, shape };
    });
  }

  #record(layer: TfLayer, findings: Findings, path: readonly string[]): void {
    for (const { weight, ...site } of findings.sites) {
      const name = layer.weights[weight]?.originalName;
      if (name !== undefined) this.sites.push({ ...site, weight: name });
    }
    for (const width of findings.widths) this.widths.push({ ...width, path, name: layer.name });
  }
}

/** Follows the channels of `model` from its inputs to its outputs, both of which stay whole. */
export function analyse(model: LayersModel): Analysis {
  const analyst = new Analyst();
  const { labels } = analyst;
  const inputs = model.inputs.map((input): Channels => {
    const shape = withoutBatch(input);
    const count = shape.at(-1);
    const own = typeof count === "number" ? labels.fresh(count) : undefined;
    labels.pin(own ?? []);
    return { labels: own, shape };
  });
  const outputs = walk(model, inputs, analyst);
  for (const output of outputs) labels.pin(output.labels ?? []);
  return { labels, sites: analyst.sites, widths: analyst.widths };
}
