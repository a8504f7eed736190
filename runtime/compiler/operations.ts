/**
 * The operations of the graph: what each computes, from what. They are close to those that TensorFlow and ONNX share.
 * Images are [batch, …places, channels]; axes count from 0; -1 in a shape is a size that is known only when it runs.
 */

/** Of one tensor, element by element. `elu`, `selu`, `softplus` (log(1 + e^x)) and `softsign` (x / (1 + |x|)) as Keras has them. */
export type Unary =
  | "negate"
  | "abs"
  | "sign"
  | "floor"
  | "exp"
  | "log"
  | "log1p"
  | "sqrt"
  | "rsqrt"
  | "square"
  | "erf"
  | "sigmoid"
  | "tanh"
  | "relu"
  | "relu6"
  | "elu"
  | "selu"
  | "softplus"
  | "softsign"
  | "not";

/** Of two tensors of one dtype, element by element; shapes are broadcast as numpy does. */
export type Binary =
  | "add"
  | "subtract"
  | "multiply"
  | "divide"
  | "maximum"
  | "minimum"
  | "power"
  | "squaredDifference"
  | "less"
  | "lessEqual"
  | "greater"
  | "greaterEqual"
  | "equal"
  | "notEqual"
  | "and"
  | "or";

export type Reduction = "sum" | "mean" | "max" | "min" | "product" | "any" | "all";

/** `same` pads with zeros so that ceil(size / stride) places come out, the odd one at the end, as TensorFlow does. */
export type Padding = "valid" | "same";

interface Window {
  strides: readonly number[];
  padding: Padding;
}

export interface Convolution extends Window {
  dilations: readonly number[];
}

export interface Pooling extends Window {
  function: "max" | "average";
  size: readonly number[];
}

export interface Resizing {
  function: "bilinear" | "nearest";
  height: number;
  width: number;
  /** Are the centres of pixels at half their size (Keras 3), rather than at their corners (tfjs)? */
  halfPixelCenters: boolean;
}

/** Attributes of each operation, by its name. */
export interface Operations {
  /** A tensor from the caller. */
  input: { name: string };
  /** The value of the variable `name` before the function changes any. */
  weight: { name: string };
  constant: { values: Float32Array | Int32Array | Uint8Array };

  unary: { function: Unary };
  binary: { function: Binary };
  /** x where x > 0, else alpha x. */
  leakyRelu: { alpha: number };
  /** min and max may be infinite. */
  clip: { min: number; max: number };
  /** (condition, x, y): x where the condition holds, else y; broadcast. */
  select: object;
  /** To the dtype of the output; numbers are cut, not rounded; true is 1. */
  cast: object;

  /** Along `axes`; all of them give a scalar. */
  reduce: { function: Reduction; axes: readonly number[]; keepDims: boolean };
  /** Place of the first maximum, int32. */
  argMax: { axis: number };
  /** Sums of the elements up to and with each. */
  cumulativeSum: { axis: number };
  /** Along the last axis, the largest first. */
  sortDescending: object;
  /** Along the last axis. */
  softmax: object;
  logSoftmax: object;

  /** To the shape of the output, of which one size at most is open. */
  reshape: object;
  /** (x, like): x in the shape that `like` has when it runs. */
  reshapeAs: object;
  /** (x, like): x repeated along dimensions of size one to the shape that `like` has when it runs. */
  broadcastAs: object;
  transpose: { permutation: readonly number[] };
  concat: { axis: number };
  /** Parts of `sizes` along `axis`. */
  split: { axis: number; sizes: readonly number[] };
  /** size -1 goes to the end. */
  slice: { begin: readonly number[]; size: readonly number[] };
  /** Zeros before and after each dimension. */
  pad: { before: readonly number[]; after: readonly number[] };
  tile: { times: readonly number[] };
  reverse: { axis: number };
  /** (x, indices int32): parts of x along `axis`. */
  gather: { axis: number };
  /** (indices int32): 1.0 at the index, 0.0 elsewhere, along a new last axis. */
  oneHot: { depth: number };
  /** Product of the sizes that x has along `axes`, float32, scalar. */
  count: { axes: readonly number[] };

  /** Of the last two dimensions; those before are equal. */
  matMul: { transposeA: boolean; transposeB: boolean };
  /** (x, bias): the sum along the last axis. */
  biasAdd: object;
  /** (x, kernel [...size, in, out]) in two or three dimensions. */
  convolution: Convolution;
  /** (x, kernel [height, width, channels, multiplier]); output channel c * multiplier + m. */
  depthwiseConvolution: Convolution;
  /** (x, kernel [...size, out, in]), the gradient of `convolution` by its input; places as in the output's shape. */
  transposedConvolution: Window;
  /** Means leave out what is padded. */
  pool: Pooling;
  resize: Resizing;
  /** (x, gamma, beta, mean, variance), each but x of the last axis' size: (x - mean) / sqrt(variance + epsilon) gamma + beta. */
  batchNormalization: { epsilon: number };
  /**
   * (x [steps, batch, in], kernel [in, 4 units], recurrent kernel [units, 4 units], bias [4 units]) from states of zeros,
   * with tanh and sigmoid: all outputs [steps, batch, units]. Gates in Keras' order: input, forget, cell, output.
   * In training, the six outputs after the first are what its gradient needs.
   */
  lstm: object;

  /** (seed int32 [2], like): uniform in [0, 1) in the shape of `like`; the same seed gives the same numbers. */
  randomUniform: object;

  // The rest is for training, and only TensorFlow has it.

  /** (logits, targets), rows [batch, classes]: -sum targets log softmax(logits) [batch], and its gradient by the logits. */
  softmaxCrossEntropy: object;
  /** (of relu, relu6, elu, selu, sigmoid, tanh: dy and the output; of softplus and softsign: dy and the input). */
  unaryGradient: { function: "relu" | "relu6" | "elu" | "selu" | "sigmoid" | "tanh" | "softplus" | "softsign" };
  /** (dy, x). */
  leakyReluGradient: { alpha: number };
  /** (dy): its sums by the last axis. */
  biasGradient: object;
  /** (like x, kernel, dy). */
  convolutionInputGradient: Convolution;
  /** (x, like kernel, dy). */
  convolutionKernelGradient: Convolution;
  depthwiseInputGradient: Convolution;
  depthwiseKernelGradient: Convolution;
  /** (x, y, dy). */
  poolGradient: Pooling;
  /** (dy, x). */
  resizeGradient: Resizing;
  /** (x, kernel, recurrent kernel, bias, the seven outputs of `lstm`, dy): gradients by x, kernel, recurrent kernel and bias. */
  lstmGradient: object;
  /**
   * (weight, momentum, velocity, gradient, step size): the next three, by Adam with epsilon added before the bias
   * correction, which the step size has in it. Its outputs are updates of the variables that its first inputs are.
   */
  adam: { beta1: number; beta2: number; epsilon: number };
  /** (x [rows, …], indices int32 [rows]): sums of the rows of equal index, [rows of the output, …]. */
  segmentSum: object;
}

export type OperationName = keyof Operations;
