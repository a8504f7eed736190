/** Which weights of a file belong to which layer. */
import { unsupported } from "../unsupported.ts";
import { MODEL_CLASSES, Serialized } from "./config.ts";
import type { Hdf5Content, Weight } from "./hdf5.ts";
import type { Origin } from "./layer-translation.ts";
import { isOperation } from "./operations.ts";
import { modelConfig, nameOf } from "./topology.ts";

/** Weights by the name of their layer in the topology, in the layer's own order. */
export type LayerWeights = Map<string, Weight[]>;

/** Parts of layers that hold weights of their own, in the order in which tfjs has these. */
const PARTS: Record<string, readonly string[]> = {
  Bidirectional: ["forward_layer", "backward_layer"],
  TimeDistributed: ["layer"],
  SpectralNormalization: ["layer"],
  RNN: ["cell"],
  LSTM: ["cell"],
  GRU: ["cell"],
  SimpleRNN: ["cell"],
  ConvLSTM2D: ["cell"],
  MultiHeadAttention: ["query_dense", "key_dense", "value_dense", "output_dense"],
  GroupQueryAttention: ["_query_dense", "_key_dense", "_value_dense", "_output_dense"],
};

const CLASSES: Record<string, string> = { GroupQueryAttention: "GroupedQueryAttention" };

/** As Keras names the place of a layer: by its class, not its name. */
export function snakeCase(className: string): string {
  return className
    .replaceAll(/(.)([A-Z][a-z]+)/g, "$1_$2")
    .replaceAll(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase();
}

/** What a layer needs to answer, without what it needs to learn. */
function forAnswers(className: string, own: Weight[]): Weight[] {
  // mean, variance and the number of examples that they were learned from
  if (className === "Normalization") return own.slice(0, 2);
  // the wrapped layer has its kernel, and the other is for training
  return className === "SpectralNormalization" ? [] : own;
}

/** Places of layers that lie together in one group. */
function placesIn(layers: readonly Serialized[], group: string): [Serialized, string][] {
  const used = new Map<string, number>();
  return layers.map((layer) => {
    const name = snakeCase(CLASSES[layer.class_name] ?? layer.class_name);
    const count = used.get(name) ?? 0;
    used.set(name, count + 1);
    return [layer, `${group}/${count === 0 ? name : `${name}_${count}`}`];
  });
}

class Layout {
  readonly #content: Hdf5Content;
  readonly #origin: Origin;
  readonly found: LayerWeights = new Map();

  constructor(content: Hdf5Content, origin: Origin) {
    this.#content = content;
    this.#origin = origin;
  }

  model(serialized: Serialized, prefix: string, group: string): void {
    const layers = modelConfig(serialized, this.#origin).layers.filter((layer) => !isOperation(layer));
    for (const [layer, place] of placesIn(layers, `${group}layers`)) {
      const name = `${prefix}${nameOf(layer)}`;
      if (MODEL_CLASSES.has(layer.class_name)) this.model(layer, `${name}/`, `${place}/`);
      else this.found.set(name, this.#layer(layer, place));
    }
  }

  #layer(layer: Serialized, place: string): Weight[] {
    const own = forAnswers(layer.class_name, this.#variables(place));
    const parts = PARTS[layer.class_name] ?? [];
    return [...own, ...parts.flatMap((part) => this.#part(layer, part, `${place}/${part}`))];
  }

  #part(layer: Serialized, part: string, place: string): Weight[] {
    const inner = Serialized.safeParse(part === "cell" ? layer.config["cell"] : layer.config["layer"]);
    if (!inner.success) return this.#variables(place);
    if (inner.data.class_name !== "StackedRNNCells") return this.#layer(inner.data, place);
    const cells = Serialized.array().safeParse(inner.data.config["cells"]);
    return placesIn(cells.data ?? [], `${place}/cells`).flatMap(([cell, at]) => this.#layer(cell, at));
  }

  #variables(place: string): Weight[] {
    const list: Weight[] = [];
    for (;;) {
      const weight = this.#content.weights[`${place}/vars/${list.length}`];
      if (weight === undefined) return list;
      list.push(weight);
    }
  }
}

/** Weights of a `.keras` archive, which lie in groups named after classes. */
export function weightsOfArchive(serialized: Serialized, content: Hdf5Content, origin: Origin): LayerWeights {
  const layout = new Layout(content, origin);
  layout.model(serialized, "", "");
  return layout.found;
}

/** Texts of an attribute, which is split when it is long. */
function texts({ attributes }: Hdf5Content, group: string, name: string): string[] {
  const whole = attributes[`${group}@${name}`];
  if (whole !== undefined) return whole;
  const list: string[] = [];
  for (let part = 0; ; part++) {
    const chunk = attributes[`${group}@${name}${part}`];
    if (chunk === undefined) return list;
    list.push(...chunk);
  }
}

/** Weights of a `.h5` file, which lie in groups named after the outermost layers. */
export function weightsOfHdf5(serialized: Serialized, content: Hdf5Content, origin: Origin): LayerWeights {
  const classes = new Map(modelConfig(serialized, origin).layers.map((layer) => [nameOf(layer), layer.class_name]));
  return new Map(
    texts(content, "model_weights", "layer_names").map((layer): [string, Weight[]] => {
      const names = texts(content, `model_weights/${layer}`, "weight_names");
      const weights = names.map((name) => {
        const weight = content.weights[`model_weights/${layer}/${name}`];
        if (weight === undefined)
          throw unsupported(origin.shownAs, `lacks the weight ${name} of layer ${layer}; save the model again`);
        return weight;
      });
      const className = classes.get(layer) ?? "";
      return [layer, className === "SpectralNormalization" ? weights : forAnswers(className, weights)];
    }),
  );
}
