/** Activation functions of Keras, by the names that topologies have for them. */
import type { Tensor, serialization } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";
import type { LayerClass } from "./definition.ts";

type Activate = (tf: Tf, x: Tensor) => Tensor;

const sigmoidLike = (tf: Tf, x: Tensor) => tf.div(tf.relu6(tf.add(x, 3)), 6);

const softplus = (tf: Tf, x: Tensor) => tf.add(tf.relu(x), tf.log1p(tf.exp(tf.neg(tf.abs(x)))));

const softShrink = (tf: Tf, x: Tensor) => tf.mul(tf.sign(x), tf.relu(tf.sub(tf.abs(x), 0.5)));

const hardShrink = (tf: Tf, x: Tensor) => tf.where(tf.greater(tf.abs(x), 0.5), x, tf.zerosLike(x));

/** Zero below -1, a parabola up to 1, then x. */
const sparsePlus = (tf: Tf, x: Tensor) => tf.where(tf.greater(x, 1), x, tf.mul(tf.square(tf.relu(tf.add(x, 1))), 0.25));

const clip = (tf: Tf, x: Tensor, low: number, high: number) => tf.clipByValue(x, low, high);

/** The projection onto the simplex, by sorting: what is above the threshold sums to one. */
function sparsemax(tf: Tf, x: Tensor): Tensor {
  const size = x.shape.at(-1) ?? 1;
  const sorted = tf.topk(x, size, true).values;
  // wasm counts axes from the front only.
  const sums = tf.cumsum(sorted, x.rank - 1);
  const ranks = tf.range(1, size + 1, 1, "float32");
  const inside = tf.cast(tf.greater(tf.add(tf.mul(sorted, ranks), 1), sums), "float32");
  const count = tf.sum(inside, -1, true);
  const threshold = tf.div(tf.sub(tf.sum(tf.mul(sorted, inside), -1, true), 1), count);
  return tf.relu(tf.sub(x, threshold));
}

/**
 * Those of tfjs, and more. `hardSigmoid` is Keras 2's (and tfjs'), which is another function than that of Keras 3.
 */
export const activations: Record<string, Activate> = {
  linear: (_, x) => x,
  relu: (tf, x) => tf.relu(x),
  relu6: (tf, x) => tf.relu6(x),
  elu: (tf, x) => tf.elu(x),
  selu: (tf, x) => tf.selu(x),
  celu: (tf, x) => tf.add(tf.relu(x), tf.minimum(tf.sub(tf.exp(tf.minimum(x, 0)), 1), 0)),
  sigmoid: (tf, x) => tf.sigmoid(x),
  hardSigmoid: (tf, x) => clip(tf, tf.add(tf.mul(x, 0.2), 0.5), 0, 1),
  hardSigmoidByThree: sigmoidLike,
  swish: (tf, x) => tf.mul(x, tf.sigmoid(x)),
  hardSilu: (tf, x) => tf.mul(x, sigmoidLike(tf, x)),
  gelu: (tf, x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
  softplus,
  softsign: (tf, x) => tf.div(x, tf.add(tf.abs(x), 1)),
  tanh: (tf, x) => tf.tanh(x),
  hardTanh: (tf, x) => clip(tf, x, -1, 1),
  tanhShrink: (tf, x) => tf.sub(x, tf.tanh(x)),
  softShrink,
  hardShrink,
  sparsePlus,
  sparseSigmoid: (tf, x) => clip(tf, tf.mul(tf.add(x, 1), 0.5), 0, 1),
  squareplus: (tf, x) => tf.mul(tf.add(x, tf.sqrt(tf.add(tf.square(x), 4))), 0.5),
  softmax: (tf, x) => tf.softmax(x),
  logSoftmax: (tf, x) => tf.logSoftmax(x),
  logSigmoid: (tf, x) => tf.neg(softplus(tf, tf.neg(x))),
  exponential: (tf, x) => tf.exp(x),
  leakyRelu: (tf, x) => tf.leakyRelu(x, 0.2),
  mish: (tf, x) => tf.mul(x, tf.tanh(softplus(tf, x))),
  sparsemax,
};

export const activationNames = new Set(Object.keys(activations));

/** What tfjs registers itself; its softplus and mish overflow, and its gelu is the same. */
const OF_TFJS = new Set([
  "linear",
  "relu",
  "relu6",
  "elu",
  "selu",
  "sigmoid",
  "hardSigmoid",
  "swish",
  "softsign",
  "tanh",
  "softmax",
  "logSoftmax",
]);

/** Applies the activation `name`. */
export function activate(tf: Tf, name: string, x: Tensor): Tensor {
  const activation = activations[name];
  if (activation === undefined) throw new RangeError(`there is no activation ${name}`);
  return activation(tf, x);
}

/** The classes by which tfjs' own layers find the activations that tfjs lacks. */
export function activationClasses(tf: Tf): LayerClass[] {
  return Object.entries(activations)
    .filter(([name]) => !OF_TFJS.has(name))
    .map(
      ([name, compute]) =>
        class extends tf.serialization.Serializable {
          static readonly className = name;
          apply(x: Tensor): Tensor {
            return tf.tidy(() => compute(tf, x));
          }
          getConfig(): serialization.ConfigDict {
            return {};
          }
        },
    );
}
