/** Weights that a Keras topology begins with, drawn by the seed as its initializers say. */
import type { LayersModel, Tensor, initializers } from "@tensorflow/tfjs";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { allLayers } from "../formats/computable.ts";
import { MODEL_CLASSES, ModelConfig, Serialized, type Settings } from "../formats/keras/config.ts";
import { unsupported } from "../formats/unsupported.ts";

type TfLayer = LayersModel["layers"][number];

type Initializer = ReturnType<typeof initializers.zeros>;
type Make = (tf: Tf, settings: Settings, seed: number) => Initializer;

const number = (value: unknown, fallback: number) => (typeof value === "number" ? value : fallback);

const drawn =
  (name: "glorotUniform" | "glorotNormal" | "heUniform" | "heNormal" | "leCunUniform" | "leCunNormal"): Make =>
  (tf, _, seed) =>
    tf.initializers[name]({ seed });

const MODES = ["fanIn", "fanOut", "fanAvg"] as const;
const DISTRIBUTIONS = ["normal", "uniform", "truncatedNormal"] as const;

const chosen = <T extends string>(all: readonly T[], value: unknown, fallback: T): T =>
  all.find((each) => each.toLowerCase() === plain(String(value))) ?? fallback;

/** As names are compared: `glorot_uniform` and `GlorotUniform` are one. */
const plain = (name: string) => name.replaceAll("_", "").toLowerCase();

/** keras.io/api/layers/initializers, with Keras' defaults. */
const INITIALIZERS: Record<string, Make> = {
  zeros: (tf) => tf.initializers.zeros(),
  ones: (tf) => tf.initializers.ones(),
  constant: (tf, { value }) => tf.initializers.constant({ value: number(value, 0) }),
  identity: (tf, { gain }) => tf.initializers.identity({ gain: number(gain, 1) }),
  randomuniform: (tf, { minval, maxval }, seed) =>
    tf.initializers.randomUniform({ minval: number(minval, -0.05), maxval: number(maxval, 0.05), seed }),
  randomnormal: (tf, { mean, stddev }, seed) =>
    tf.initializers.randomNormal({ mean: number(mean, 0), stddev: number(stddev, 0.05), seed }),
  truncatednormal: (tf, { mean, stddev }, seed) =>
    tf.initializers.truncatedNormal({ mean: number(mean, 0), stddev: number(stddev, 0.05), seed }),
  glorotuniform: drawn("glorotUniform"),
  glorotnormal: drawn("glorotNormal"),
  heuniform: drawn("heUniform"),
  henormal: drawn("heNormal"),
  lecununiform: drawn("leCunUniform"),
  lecunnormal: drawn("leCunNormal"),
  orthogonal: (tf, { gain }, seed) => tf.initializers.orthogonal({ gain: number(gain, 1), seed }),
  variancescaling: (tf, { scale, mode, distribution }, seed) =>
    tf.initializers.varianceScaling({
      scale: number(scale, 1),
      mode: chosen(MODES, mode, "fanIn"),
      distribution: chosen(DISTRIBUTIONS, distribution, "truncatedNormal"),
      seed,
    }),
};

/** What Keras takes where a layer says nothing. */
function usual(weight: string): string {
  if (/^(gamma|scale|moving_variance|variance)$/.test(weight)) return "ones";
  if (/recurrent/.test(weight)) return "orthogonal";
  if (/embeddings/.test(weight)) return "randomuniform";
  return /kernel/.test(weight) ? "glorotuniform" : "zeros";
}

/** The setting that says how the weight begins: `depthwise_kernel` by `depthwise_initializer`, a query's kernel by `kernel_initializer`. */
function declared(settings: Settings, weight: string): unknown {
  const names = [weight, weight.replace(/_kernel$/, ""), ...["kernel", "bias"].filter((part) => weight.endsWith(part))];
  return names.map((name) => settings[`${name}_initializer`]).find((found) => found !== undefined && found !== null);
}

/** Settings of a layer with those of the one that it wraps. */
function settingsOf(config: Settings): Settings {
  const inner = Serialized.safeParse(config["layer"]);
  return inner.success ? { ...settingsOf(inner.data.config), ...config } : config;
}

/** Layers of the models in it too, by the names that the built model has for them. */
function layersOf(serialized: Serialized, prefix = ""): [string, Settings][] {
  const parsed = ModelConfig.safeParse(serialized.config);
  if (!parsed.success) return [];
  return parsed.data.layers.flatMap((layer): [string, Settings][] => {
    const own = layer.name ?? layer.config["name"];
    const name = `${prefix}${typeof own === "string" ? own : layer.class_name}`;
    return MODEL_CLASSES.has(layer.class_name) ? layersOf(layer, `${name}/`) : [[name, settingsOf(layer.config)]];
  });
}

/** What would shape the training, and has a place in the manifest or none. Throws Failure ModelUnsupported. */
function requirePlain(name: string, settings: Settings, shownAs: string): void {
  const key = Object.keys(settings).find(
    (each) => /_(regularizer|constraint)$/.test(each) && settings[each] !== null && settings[each] !== undefined,
  );
  if (key === undefined) return;
  const remedy = key.endsWith("regularizer") ? "set spec.weightDecay instead" : "build the model without";
  throw unsupported(shownAs, `layer ${name} has a ${key}, which is not supported in a topology; ${remedy}`);
}

function initializerOf(tf: Tf, value: unknown, seed: number, refuse: (name: string) => never): Initializer {
  const parsed = Serialized.safeParse(value);
  const name = parsed.success ? parsed.data.class_name : value;
  const make = typeof name === "string" ? INITIALIZERS[plain(name)] : undefined;
  if (make === undefined) return refuse(String(name));
  return make(tf, parsed.success ? parsed.data.config : {}, seed);
}

/** The bias of an LSTM, whose second quarter is that of the forget gate: ones (Jozefowicz et al. 2015). */
function remembering(tf: Tf, size: number): Tensor {
  return tf.tensor1d(Float32Array.from({ length: size }, (_, at) => Number(Math.floor((4 * at) / size) === 1)));
}

interface Beginning {
  settings: Settings;
  seed: number;
  shownAs: string;
}

function firstValues(tf: Tf, layer: TfLayer, { settings, seed, shownAs }: Beginning): Tensor[] {
  return layer.weights.map((weight, index) => {
    const part = weight.originalName.split("/").at(-1)?.replace(/_\d+$/, "") ?? "";
    const shape = weight.shape.map((size) => size ?? 1);
    if (part === "bias" && settings["unit_forget_bias"] === true) return remembering(tf, shape[0] ?? 0);
    const own = derivedSeed(seed, "weights", layer.name, index);
    const initializer = initializerOf(tf, declared(settings, part) ?? usual(part), own, (found) => {
      throw unsupported(shownAs, `layer ${layer.name} begins by ${found}, which is not supported; use another`);
    });
    return initializer.apply(shape);
  });
}

/** Gives every weight of the model, built of `serialized`, its first value. Throws Failure ModelUnsupported. */
export function initialize(tf: Tf, model: LayersModel, serialized: Serialized, seed: number, shownAs: string): void {
  const all = new Map(layersOf(serialized));
  for (const [name, settings] of all) requirePlain(name, settings, shownAs);
  for (const layer of allLayers(model.layers)) {
    if ("layers" in layer || layer.weights.length === 0) continue;
    const values = firstValues(tf, layer, { settings: all.get(layer.name) ?? {}, seed, shownAs });
    layer.setWeights(values);
    tf.dispose(values);
  }
}
