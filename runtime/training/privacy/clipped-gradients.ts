/** Sums of the gradients of single examples, each clipped to a norm: what DP-SGD adds its noise to. */
import type { Scalar, Tensor, layers } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";
import { Failure } from "../../failure.ts";
import { type WeightedLayer, weightedLayer } from "./example-gradients.ts";

type TfLayer = layers.Layer;

/** One layer of a chain: with weights, or only passing on what it gets. */
export type PrivateLayer =
  | { readonly kind: "weighted"; readonly layer: TfLayer; readonly gradients: WeightedLayer }
  | { readonly kind: "plain"; readonly layer: TfLayer };

/** Throws Failure InvalidSpec for a layer whose gradients cannot be told apart by example. */
export function privateLayers(tf: Tf, chain: readonly TfLayer[]): PrivateLayer[] {
  return chain.map((layer) => {
    // Frozen weights have no gradient; normalization by the batch lets examples meet even so.
    const frozen = !layer.trainable && layer.getClassName() !== "BatchNormalization";
    if (layer.weights.length === 0 || frozen) return { kind: "plain", layer };
    const gradients = weightedLayer(tf, layer);
    if (gradients !== undefined) return { kind: "weighted", layer, gradients };
    throw new Failure(
      "InvalidSpec",
      `spec.privacy.differentialPrivacy: layer ${layer.name} (${layer.getClassName()}) has no gradients of single examples here; use dense and conv2d layers, or remove privacy`,
    );
  });
}

export interface ClippedGradients {
  /** [batch, size]. */
  predictions: Tensor;
  /** Sums over the batch, in the order of the layers' weights. */
  gradients: Tensor[];
}

interface ClippedOptions {
  layers: readonly PrivateLayer[];
  /** [batch, ...]. */
  features: Tensor;
  /** Sum of the losses of the examples, which are independent of each other. */
  loss: (predictions: Tensor) => Scalar;
  /** Norm to which the gradient of each example is clipped. */
  norm: number;
  /** Computes a layer without weights; training may drop. */
  pass: (layer: TfLayer, input: Tensor, position: number) => Tensor;
}

/** Computes the layers; to the output of each one with weights its probe is added, before the activation. */
function forward({ layers, features, pass }: ClippedOptions, onWeighted: (input: Tensor, output: Tensor) => Tensor) {
  return layers.reduce<Tensor>((input, step, position) => {
    if (step.kind === "plain") return pass(step.layer, input, position);
    const { gradients } = step;
    return gradients.activate(onWeighted(input, gradients.linear(input)));
  }, features);
}

/** Call it in a tidy. Gradients at probes of zero are those of each layer's output before its activation. */
export function clippedGradients(tf: Tf, options: ClippedOptions): ClippedGradients {
  const shapes: number[][] = [];
  // What dropout drops must be the same both times, which `pass` sees to.
  const predictions = forward(options, (_, output) => {
    shapes.push(output.shape);
    return output;
  });
  const inputs: Tensor[] = [];
  const deltas = tf.grads((...probes: Tensor[]) => {
    inputs.length = 0;
    const output = forward(options, (input, linear) => {
      const probe = probes[inputs.length];
      inputs.push(tf.keep(input.clone()));
      return probe === undefined ? linear : tf.add(linear, probe);
    });
    return options.loss(output);
  })(shapes.map((shape) => tf.zeros(shape)));
  const parts = options.layers
    .flatMap((layer) => (layer.kind === "weighted" ? [layer.gradients] : []))
    .map((gradients, index) => ({ gradients, input: inputs[index], delta: deltas[index] }))
    .filter((part): part is { gradients: WeightedLayer; input: Tensor; delta: Tensor } => part.delta !== undefined);
  const norms = tf.sqrt(tf.addN(parts.map(({ gradients, input, delta }) => gradients.squaredNorms(input, delta))));
  const scale = tf.minimum(1, tf.div(options.norm, tf.maximum(norms, 1e-12)));
  const gradients = parts.flatMap(({ gradients, input, delta }) => gradients.gradients(input, delta, scale));
  tf.dispose(inputs);
  return { predictions, gradients };
}
