/** A product by known weights, with what follows it and is computed in one go: bias, batch normalization, ReLU. */
import { type Node, type Value } from "../graph.ts";
import { type Emitter } from "./emitter.ts";
import { type Literal, permuted } from "./literal.ts";
import { type NodeOf, at, outputOf } from "./operation.ts";
import { affine } from "./statistics.ts";

export type Product = NodeOf<"convolution"> | NodeOf<"depthwiseConvolution"> | NodeOf<"matMul">;

export interface Chain {
  readonly product: Product;
  readonly input: Value;
  /** In ONNX's order: [in, out] of a matrix, [out, in, ...size] of a convolution. */
  readonly kernel: Literal & { readonly data: Float32Array };
  /** Of each output channel. */
  readonly bias?: Float32Array;
  /** Rows are given back the shape of this value. */
  readonly reshaped?: Value;
  /** Where values are cut: at 0, at 0 and 6. */
  readonly activation?: "relu" | "relu6";
  /** What is computed in the end. */
  readonly output: Value;
  readonly nodes: readonly Node[];
}

/** [...size, in, out] to [out, in, ...size]. */
export const outFirst = (rank: number) => [rank - 1, rank - 2, ...Array.from({ length: rank - 2 }, (_, axis) => axis)];

function depthwiseKernel(kernel: Literal): Literal {
  const [height = 1, width = 1, channels = 1, multiplier = 1] = kernel.shape;
  return { ...permuted(kernel, [2, 3, 0, 1]), shape: [channels * multiplier, 1, height, width] };
}

function kernelOf(emitter: Emitter, product: Product): Chain["kernel"] | undefined {
  const kernel = emitter.literal(at(product.inputs, 1));
  if (kernel === undefined || !(kernel.data instanceof Float32Array)) return undefined;
  const arranged = (() => {
    if (product.operation === "convolution") return permuted(kernel, outFirst(kernel.shape.length));
    if (product.operation === "depthwiseConvolution") return depthwiseKernel(kernel);
    if (product.attributes.transposeA || kernel.shape.length !== 2) return undefined;
    if (at(product.inputs, 0).shape.length !== 2) return undefined;
    return product.attributes.transposeB ? permuted(kernel, [1, 0]) : kernel;
  })();
  return arranged as Chain["kernel"] | undefined;
}

/** Is a matrix's output channel the last dimension? */
export const channelOf = ({ product, kernel }: Pick<Chain, "product" | "kernel">): ((index: number) => number) => {
  const channels = kernel.shape[product.operation === "matMul" ? 1 : 0] ?? 1;
  const size = kernel.data.length / channels;
  return product.operation === "matMul" ? (index) => index % channels : (index) => Math.floor(index / size);
};

export const channelsOf = ({ product, kernel }: Pick<Chain, "product" | "kernel">) =>
  kernel.shape[product.operation === "matMul" ? 1 : 0] ?? 1;

/** Undefined when the weights are computed. `activations`: may ReLU be part of it? */
export function chainOf(emitter: Emitter, product: Product, activations: boolean): Chain | undefined {
  const kernel = kernelOf(emitter, product);
  if (kernel === undefined) return undefined;
  let chain: Chain = { product, kernel, input: at(product.inputs, 0), output: outputOf(product), nodes: [product] };
  for (let next = emitter.onlyUser(chain.output); next !== undefined; next = emitter.onlyUser(chain.output)) {
    const longer = extended(emitter, chain, next, activations);
    if (longer === undefined) break;
    chain = { ...longer, output: outputOf(next), nodes: [...chain.nodes, next] };
    if (chain.activation !== undefined) break;
  }
  return chain;
}

function extended(emitter: Emitter, chain: Chain, next: Node, activations: boolean): Chain | undefined {
  switch (next.operation) {
    case "biasAdd": {
      const bias = emitter.literal(at(next.inputs, 1))?.data;
      return bias instanceof Float32Array ? { ...chain, bias: sum(chain.bias, bias) } : undefined;
    }
    case "batchNormalization": {
      const known = affine(emitter, next);
      return known === undefined ? undefined : normalized(chain, known);
    }
    case "reshape": {
      // Rows of a matrix that stood for a tensor of more dimensions.
      const { shape } = outputOf(next);
      const rows = chain.product.operation === "matMul" && chain.reshaped === undefined;
      return rows && shape.at(-1) === channelsOf(chain) ? { ...chain, reshaped: outputOf(next) } : undefined;
    }
    case "unary": {
      const name = next.attributes.function;
      return activations && (name === "relu" || name === "relu6") ? { ...chain, activation: name } : undefined;
    }
    default:
      return undefined;
  }
}

function sum(a: Float32Array | undefined, b: Float32Array): Float32Array {
  return a === undefined ? b : a.map((value, index) => value + (b[index] ?? 0));
}

/** Scales the weights of each output channel, so that nothing is left to normalize. */
function normalized(chain: Chain, { scale, shift }: { scale: Float32Array; shift: Float32Array }): Chain {
  const { kernel, bias } = chain;
  const of = channelOf(chain);
  const data = kernel.data.map((value, index) => value * (scale[of(index)] ?? 1));
  const moved = shift.map((value, index) => value + (bias?.[index] ?? 0) * (scale[index] ?? 1));
  return { ...chain, kernel: { ...kernel, data }, bias: moved };
}
