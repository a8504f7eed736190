/** The models that are optimized: dense layers of 1024, a small CNN, and MobileNetV2 in its full width. */
import type { LayersModel, SymbolicTensor, layers } from "@tensorflow/tfjs";
import type { Tf } from "../../runtime/engine/backend.ts";

/** Pixels along an edge that each model sees. */
export const EDGE = { mlp: 8, cnn: 16, mobilenet: 32 } as const;
export type ModelName = keyof typeof EDGE;

// A layer applied to one symbolic tensor gives one.
const through = (x: SymbolicTensor, layer: layers.Layer) => layer.apply(x) as SymbolicTensor;

function mlp(tf: Tf, input: SymbolicTensor): SymbolicTensor {
  const hidden = () => tf.layers.dense({ units: 1024, activation: "relu" });
  return [tf.layers.flatten(), hidden(), hidden(), hidden()].reduce(through, input);
}

function cnn(tf: Tf, input: SymbolicTensor): SymbolicTensor {
  const conv = (filters: number) => tf.layers.conv2d({ filters, kernelSize: 3, padding: "same", activation: "relu" });
  const chain = [
    conv(32),
    conv(64),
    tf.layers.maxPooling2d({ poolSize: 2 }),
    conv(128),
    tf.layers.maxPooling2d({ poolSize: 2 }),
    tf.layers.flatten(),
    tf.layers.dense({ units: 128, activation: "relu" }),
  ];
  return chain.reduce(through, input);
}

/** Expansion, channels, repetitions, stride of the first: table 2 of Sandler et al., "MobileNetV2", 2018. */
const BOTTLENECKS = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

const channelsOf = (x: SymbolicTensor) => x.shape.at(-1) ?? 0;

function mobilenet(tf: Tf, input: SymbolicTensor): SymbolicTensor {
  const even = (x: SymbolicTensor) => through(x, tf.layers.batchNormalization({ momentum: 0.9 }));
  const cut = (x: SymbolicTensor) => through(x, tf.layers.reLU({ maxValue: 6 }));
  const conv = (x: SymbolicTensor, filters: number, kernelSize: number, strides = 1) =>
    even(through(x, tf.layers.conv2d({ filters, kernelSize, strides, padding: "same", useBias: false })));
  const block = (x: SymbolicTensor, expansion: number, channels: number, strides: number) => {
    const wide = expansion === 1 ? x : cut(conv(x, expansion * channelsOf(x), 1));
    const depthwise = tf.layers.depthwiseConv2d({ kernelSize: 3, strides, padding: "same", useBias: false });
    const narrow = conv(cut(even(through(wide, depthwise))), channels, 1);
    return strides === 1 && channelsOf(x) === channels
      ? (tf.layers.add().apply([x, narrow]) as SymbolicTensor)
      : narrow;
  };
  let x = cut(conv(input, 32, 3, 2));
  for (const [expansion, channels, times, first] of BOTTLENECKS) {
    for (let index = 0; index < times; index++) x = block(x, expansion, channels, index === 0 ? first : 1);
  }
  return through(cut(conv(x, 1280, 1)), tf.layers.globalAveragePooling2d({ dataFormat: "channelsLast" }));
}

const BODIES = { mlp, cnn, mobilenet };

/** Answers probabilities of ten digits. */
export function build(tf: Tf, name: ModelName): LayersModel {
  const input = tf.input({ shape: [EDGE[name], EDGE[name], 1] });
  const answer = tf.layers.dense({ units: 10, activation: "softmax" });
  return tf.model({ inputs: input, outputs: through(BODIES[name](tf, input), answer) });
}
