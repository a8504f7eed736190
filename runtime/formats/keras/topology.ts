/** A Keras model's configuration as a topology of tfjs. */
import { fieldErrors } from "../../../crds/kinds.ts";
import { unsupported } from "../unsupported.ts";
import { MODEL_CLASSES, ModelConfig, Serialized, type History, endsOf } from "./config.ts";
import { callsOf } from "./graph.ts";
import { type Origin, type TranslatedLayer, translateLayer } from "./layer-translation.ts";
import { type Node, isOperation, makesMask, requireImpliedMask, translateOperation } from "./operations.ts";

/** Models in models; Keras users nest two or three. */
const NESTING_LIMIT = 16;

/** Reads what `serialized` says of its own layers. Throws Failure ModelUnsupported. */
export function modelConfig(serialized: Serialized, { shownAs }: Origin): ModelConfig {
  const parsed = ModelConfig.safeParse(serialized.config);
  if (parsed.success) return parsed.data;
  const [first] = fieldErrors(parsed.error);
  throw unsupported(
    shownAs,
    `has a configuration that is no model's: ${first?.field ?? ""} ${first?.message ?? ""}; save the model again`,
  );
}

export const nameOf = (layer: Serialized): string => {
  const name = layer.name ?? layer.config["name"];
  return typeof name === "string" ? name : layer.class_name;
};

function translateInner(layer: Serialized, name: string, origin: Origin, depth: number): TranslatedLayer {
  if (MODEL_CLASSES.has(layer.class_name)) return translateModel(layer, name, origin, depth + 1);
  const translated = translateLayer(layer, origin);
  return { ...translated, config: { ...translated.config, name } };
}

/** Shape and datatype that a chain takes, where its first layer is no InputLayer. */
function inputOf(
  config: ModelConfig,
  name: string,
  first: TranslatedLayer | undefined,
  origin: Origin,
): TranslatedLayer {
  const shape = first?.config["batch_input_shape"] ?? config.build_input_shape;
  if (shape === undefined || shape === null) {
    throw unsupported(
      origin.shownAs,
      `model ${name} does not say what shape it takes; call it or build it before saving`,
    );
  }
  const dtype = first?.class_name === "Embedding" ? "int32" : "float32";
  return {
    class_name: "InputLayer",
    config: { name: `${name}/input`, batch_input_shape: shape, dtype, sparse: false },
  };
}

/** A chain of layers. Inside of another model it becomes a graph, as tfjs does not nest chains that name their input. */
function sequential(serialized: Serialized, name: string, origin: Origin, depth: number): TranslatedLayer {
  const config = modelConfig(serialized, origin);
  const prefix = depth === 0 ? "" : `${name}/`;
  requireNoMaskedZeros(config.layers, origin);
  const layers = config.layers.map((layer) => translateInner(layer, `${prefix}${nameOf(layer)}`, origin, depth));
  const [first] = layers;
  const startsWithModel = depth === 0 && first?.config["layers"] !== undefined;
  if (first?.class_name !== "InputLayer" && !startsWithModel) layers.unshift(inputOf(config, name, first, origin));
  if (depth === 0) return { class_name: "Sequential", config: { name, layers } };
  const places = layers.map((layer): Place => [String(layer.config["name"]), layer.class_name === "Model" ? 1 : 0, 0]);
  const linked = layers.map((layer, index) => {
    const before = places[index - 1];
    return { ...layer, name: layer.config["name"], inbound_nodes: before === undefined ? [] : [[[...before, {}]]] };
  });
  return {
    class_name: "Model",
    config: { name, layers: linked, input_layers: places.slice(0, 1), output_layers: places.slice(-1) },
  };
}

/** Recurrent layers that give zeros for masked steps, which tfjs' do not. */
function givesMaskedZeros({ config }: Serialized): boolean {
  const inner = Serialized.safeParse(config["layer"]);
  const own = inner.success ? inner.data.config : config;
  return own["zero_output_for_mask"] === true && own["return_sequences"] === true;
}

function refuseMaskedZeros(layer: string, { shownAs }: Origin): never {
  throw unsupported(
    shownAs,
    `layer ${layer} gives zeros for masked steps (zero_output_for_mask), which is not supported; build the model without masks`,
  );
}

function requireNoMaskedZeros(layers: readonly Serialized[], origin: Origin): void {
  if (!layers.some(({ class_name: className, config }) => className === "Masking" || config["mask_zero"] === true))
    return;
  const zeros = layers.find(givesMaskedZeros);
  if (zeros !== undefined) refuseMaskedZeros(nameOf(zeros), origin);
}

/** Layers that do the same whether they train or not. */
const UNTRAINED = new Set(["Resizing", "CenterCrop", "Rescaling", "Normalization"]);

function requireSupportedCalls({ name, layer, calls }: Node, nodes: ReadonlyMap<string, Node>, origin: Origin): void {
  for (const { masks, training } of calls) {
    for (const mask of masks.values()) requireImpliedMask(name, mask, nodes, origin);
    requireOneMask(name, masks, origin);
    if (masks.size > 0 && givesMaskedZeros(layer)) refuseMaskedZeros(name, origin);
    if (training && !UNTRAINED.has(layer.class_name)) {
      throw unsupported(
        origin.shownAs,
        `layer ${name} is called with training=True, which is not supported; build the model without`,
      );
    }
  }
  if (new Set(calls.map(({ useCausalMask }) => useCausalMask)).size > 1) {
    throw unsupported(origin.shownAs, `layer ${name} is called both with and without use_causal_mask; use two layers`);
  }
}

type Place = [layer: string, call: number, output: number];

/** tfjs and Keras 2 count the making of a model as the first call of it, Keras 3 does not. */
const callsBefore = ({ class_name: className }: Serialized, { major }: Origin) =>
  major >= 3 && MODEL_CLASSES.has(className) ? 1 : 0;

interface Linked extends TranslatedLayer {
  name: unknown;
  inbound_nodes: [...Place, object][][];
}

const isSame = (a: readonly unknown[], b: readonly unknown[]) => [0, 1, 2].every((index) => a[index] === b[index]);

/** tfjs forgets a tensor too early that a layer takes twice: from the second time on, it takes a copy. */
function withCopies(layer: Linked): Linked[] {
  const copies: Linked[] = [];
  const nodes = layer.inbound_nodes.map((inputs, call) =>
    inputs.map((input, index): [...Place, object] => {
      if (inputs.findIndex((other) => isSame(other, input)) === index) return input;
      const name = `${String(layer.name)}/copy_${call}_${index}`;
      copies.push({ class_name: "Identity", name, config: { name, dtype: "float32" }, inbound_nodes: [[input]] });
      return [name, 0, 0, {}];
    }),
  );
  return [...copies, { ...layer, inbound_nodes: nodes }];
}

function functional(serialized: Serialized, name: string, origin: Origin, depth: number): TranslatedLayer {
  const config = modelConfig(serialized, origin);
  const prefix = depth === 0 ? "" : `${name}/`;
  const nodes = new Map(
    config.layers.map((layer): [string, Node] => [
      nameOf(layer),
      { layer, name: nameOf(layer), calls: callsOf(layer, nameOf(layer), origin) },
    ]),
  );
  const kept = [...nodes.values()].filter((node) => !makesMask(node));
  const place = ([layer, call, output]: History, user: string): [...Place, object] => {
    const source = nodes.get(layer);
    if (source === undefined || makesMask(source)) {
      const what =
        source === undefined
          ? "a layer that is not there"
          : `operation ${layer} of class ${source.layer.class_name}, which is not supported`;
      throw unsupported(origin.shownAs, `layer ${user} takes the output of ${what}`);
    }
    return [`${prefix}${layer}`, call + callsBefore(source.layer, origin), output, {}];
  };
  const layers = kept.flatMap((node) => {
    const { layer, calls } = node;
    const own = `${prefix}${node.name}`;
    const translated = isOperation(layer)
      ? translateOperation(node, origin)
      : translateInner(layer, own, origin, depth);
    requireSupportedCalls(node, nodes, origin);
    return withCopies({
      ...translated,
      name: own,
      config: {
        ...translated.config,
        name: own,
        ...(calls[0]?.useCausalMask === true ? { use_causal_mask: true } : {}),
      },
      inbound_nodes: calls.map(({ inputs }) => inputs.map((input) => place(input, node.name))),
    });
  });
  const ends = (value: unknown) => endsOf(value).map((end) => place(end, name).slice(0, 3));
  return {
    class_name: "Model",
    config: { name, layers, input_layers: ends(config.input_layers), output_layers: ends(config.output_layers) },
  };
}

/** tfjs hands a layer the mask of its first input only. */
function requireOneMask(user: string, masks: ReadonlyMap<string, History>, { shownAs }: Origin): void {
  const queries = masks.get("query_mask");
  const others = ["value_mask", "key_mask"].map((key) => masks.get(key)).filter((mask) => mask !== undefined);
  if (others.every((mask) => mask.join() === queries?.join())) return;
  throw unsupported(shownAs, `layer ${user} has masks for values that are not the query's, which is not supported`);
}

/** The model as tfjs builds it; layers of models inside are named `MODEL/LAYER`. Throws Failure ModelUnsupported. */
export function translateModel(serialized: Serialized, name: string, origin: Origin, depth = 0): TranslatedLayer {
  if (depth > NESTING_LIMIT)
    throw unsupported(origin.shownAs, `has models nested more than ${NESTING_LIMIT} levels deep`);
  return serialized.class_name === "Sequential"
    ? sequential(serialized, name, origin, depth)
    : functional(serialized, name, origin, depth);
}

/** Parses the outermost model. Throws Failure ModelUnsupported for subclassed models and what is no model. */
export function parseSerialized(json: unknown, { shownAs }: Origin): Serialized {
  const parsed = Serialized.safeParse(json);
  if (!parsed.success)
    throw unsupported(shownAs, "is no configuration of a Keras model; save the model with model.save");
  const { class_name: className } = parsed.data;
  if (MODEL_CLASSES.has(className)) return parsed.data;
  throw unsupported(
    shownAs,
    `is a model of class ${className}; only Sequential and Functional models are supported, as any other has its layers in code`,
  );
}
