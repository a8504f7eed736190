/** A declared layer as tfjs has it. */
import type { layers } from "@tensorflow/tfjs";
import type { Layer } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import { derivedSeed } from "../data/random.ts";
import type { Tf } from "../engine/backend.ts";
import { type Definition, layerClass } from "../formats/layers/definition.ts";
import { alphaDropout, gaussianDropout, gaussianNoise } from "../formats/layers/noise.ts";

type TfLayer = layers.Layer;

/** Initial weights of the layer at a position, drawn by the seed. */
export class Draws {
  readonly #tf: Tf;
  readonly #seed: number;
  readonly #position: number;

  constructor(tf: Tf, seed: number, position: number) {
    this.#tf = tf;
    this.#seed = seed;
    this.#position = position;
  }

  /** Of the layer's kernel; `part`: of another one of its weights. */
  glorot(...part: string[]) {
    return this.#tf.initializers.glorotUniform({ seed: this.#seedOf(part) });
  }

  orthogonal(...part: string[]) {
    return this.#tf.initializers.orthogonal({ seed: this.#seedOf(part) });
  }

  uniform(...part: string[]) {
    return this.#tf.initializers.randomUniform({ minval: -0.05, maxval: 0.05, seed: this.#seedOf(part) });
  }

  #seedOf(part: readonly string[]): number {
    return derivedSeed(this.#seed, "weights", this.#position, ...part);
  }
}

function pair([height = 1, width = 1]: readonly number[]): [number, number] {
  return [height, width];
}

interface Pool {
  poolSize: number[];
  strides?: number[] | undefined;
  padding: "valid" | "same";
}

const pool2d = ({ poolSize, strides = poolSize, padding }: Pool) => ({
  poolSize: pair(poolSize),
  strides: pair(strides),
  padding,
});

/** Keras' defaults; tfjs' own differ in the gates' activation. */
const recurrent = (draws: Draws) => ({
  activation: "tanh" as const,
  recurrentActivation: "sigmoid" as const,
  kernelInitializer: draws.glorot(),
  recurrentInitializer: draws.orthogonal("recurrent"),
});

function simpleRnn(tf: Tf, settings: NonNullable<Layer["simpleRnn"]>, name: string, draws: Draws) {
  const { kernelInitializer, recurrentInitializer } = recurrent(draws);
  return tf.layers.simpleRNN({ name, ...settings, kernelInitializer, recurrentInitializer });
}

type Bidirectional = NonNullable<Layer["bidirectional"]>;

function bidirectional(tf: Tf, { layer, mergeMode }: Bidirectional, name: string, draws: Draws): TfLayer {
  const [kind, settings] = only(layer);
  const own = `${name}_${kind}`;
  const options = { name: own, ...settings, ...recurrent(draws) };
  const gated = { lstm: tf.layers.lstm, gru: tf.layers.gru };
  const inner = kind === "simpleRnn" ? simpleRnn(tf, settings, own, draws) : gated[kind](options);
  return tf.layers.bidirectional({ name, layer: inner, mergeMode });
}

const NOISE = { gaussianNoise, gaussianDropout, alphaDropout };

function noiseLayer(tf: Tf, kind: keyof typeof NOISE, settings: { name: string; stddev?: number; rate?: number }) {
  // Of the three, each parses the settings that it takes.
  const Noise = layerClass(tf, NOISE[kind] as Definition<unknown>);
  return new Noise(settings) as TfLayer;
}

/** The layer `name`; its weights come of `draws`. */
export function declaredLayer(tf: Tf, layer: Layer, name: string, draws: Draws): TfLayer {
  const [kind, settings] = only(layer);
  switch (kind) {
    case "dense":
      return tf.layers.dense({ name, ...settings, kernelInitializer: draws.glorot() });
    case "conv1d":
      return tf.layers.conv1d({ name, ...settings, kernelInitializer: draws.glorot() });
    case "conv2d":
      return tf.layers.conv2d({
        name,
        ...settings,
        strides: pair(settings.strides),
        kernelInitializer: draws.glorot(),
      });
    case "separableConv2d":
      return tf.layers.separableConv2d({
        name,
        ...settings,
        strides: pair(settings.strides),
        depthwiseInitializer: draws.glorot("depthwise"),
        pointwiseInitializer: draws.glorot("pointwise"),
      });
    case "depthwiseConv2d":
      return tf.layers.depthwiseConv2d({
        name,
        ...settings,
        kernelSize: pair(settings.kernelSize),
        strides: pair(settings.strides),
        depthwiseInitializer: draws.glorot("depthwise"),
      });
    case "conv2dTranspose":
      return tf.layers.conv2dTranspose({
        name,
        ...settings,
        strides: pair(settings.strides),
        kernelInitializer: draws.glorot(),
      });
    case "maxPooling1d":
      return tf.layers.maxPooling1d({ name, ...settings, strides: settings.strides ?? settings.poolSize });
    case "averagePooling1d":
      return tf.layers.averagePooling1d({ name, ...settings, strides: settings.strides ?? settings.poolSize });
    case "maxPooling2d":
      return tf.layers.maxPooling2d({ name, ...pool2d(settings) });
    case "averagePooling2d":
      return tf.layers.averagePooling2d({ name, ...pool2d(settings) });
    case "globalMaxPooling1d":
      return tf.layers.globalMaxPooling1d({ name });
    case "globalMaxPooling2d":
      return tf.layers.globalMaxPooling2d({ name });
    case "globalAveragePooling1d":
      return tf.layers.globalAveragePooling1d({ name });
    case "globalAveragePooling2d":
      return tf.layers.globalAveragePooling2d({ name });
    case "flatten":
      return tf.layers.flatten({ name });
    case "reshape":
      return tf.layers.reshape({ name, targetShape: settings.shape });
    case "zeroPadding2d":
      return tf.layers.zeroPadding2d({ name, padding: pair(settings.padding) });
    case "upSampling2d":
      return tf.layers.upSampling2d({ name, size: pair(settings.size) });
    case "dropout":
      return tf.layers.dropout({ name, rate: settings.rate });
    case "batchNormalization":
      return tf.layers.batchNormalization({ name, ...settings });
    case "layerNormalization":
      return tf.layers.layerNormalization({ name, ...settings });
    case "activation":
      return tf.layers.activation({ name, ...settings });
    case "leakyReLU":
      return tf.layers.leakyReLU({ name, ...settings });
    case "embedding":
      return tf.layers.embedding({ name, ...settings, embeddingsInitializer: draws.uniform() });
    case "lstm":
      return tf.layers.lstm({ name, ...settings, ...recurrent(draws) });
    case "gru":
      return tf.layers.gru({ name, ...settings, ...recurrent(draws) });
    case "simpleRnn":
      return simpleRnn(tf, settings, name, draws);
    case "cropping2d": {
      const [rows, columns] = pair(settings.cropping);
      return tf.layers.cropping2D({
        name,
        cropping: [
          [rows, rows],
          [columns, columns],
        ],
      });
    }
    case "permute":
      return tf.layers.permute({ name, dims: settings.dims });
    case "repeatVector":
      return tf.layers.repeatVector({ name, n: settings.n });
    case "timeDistributed": {
      const inner = { name: `${name}_dense`, ...settings.dense, kernelInitializer: draws.glorot() };
      return tf.layers.timeDistributed({ name, layer: tf.layers.dense(inner) });
    }
    case "gaussianNoise":
    case "gaussianDropout":
    case "alphaDropout":
      return noiseLayer(tf, kind, { name, ...settings });
    case "bidirectional":
      return bidirectional(tf, settings, name, draws);
  }
}
