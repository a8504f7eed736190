/**
 * Products whose weights are integers beforehand, and whose inputs become integers when the model runs, by their own range:
 * no data are needed to prepare that. Between products everything stays float32.
 */
import { type Chain, channelsOf, chainOf } from "./chain.ts";
import type { Emitter } from "./emitter.ts";
import { CONTRIBUTED, gatherIntegers, storeKernel } from "./integers.ts";
import { convolutionAttributes, storeVector, writeRows } from "./linear.ts";
import type { NodeOf, Quantizers } from "./operation.ts";

/** Products by fewer weights take longer with the conversions, and hardly make the file larger. */
const FEWEST_WEIGHTS = 4096;

function worthwhile(chain: Chain | undefined): chain is Chain {
  return chain !== undefined && chain.kernel.data.length >= FEWEST_WEIGHTS;
}

function rows(emitter: Emitter, chain: Chain): void {
  const { product, input, bias } = chain;
  const { name, scales } = storeKernel(emitter, chain);
  const inputs = [emitter.read(input), name, storeVector(emitter, `${product.name}_scales`, scales)];
  if (bias !== undefined) inputs.push("", storeVector(emitter, `${product.name}_bias`, bias));
  writeRows(emitter, chain, (output) => emitter.put("DynamicQuantizeMatMul", inputs, [output], {}, CONTRIBUTED));
}

/**
 * ONNX Runtime convolves integers whose range is found as it runs several times slower than floats: here only the file's
 * weights are integers, which it makes floats of once, when it opens the model.
 */
function convolution(emitter: Emitter, chain: Chain): void {
  const { product, input, bias, output, nodes } = chain;
  if (product.operation === "matMul") return;
  const { name, scales } = storeKernel(emitter, chain);
  const shape = [channelsOf(chain), ...chain.kernel.shape.slice(1).map(() => 1)];
  const scale = emitter.store(`${product.name}_scales`, { dtype: "float32", shape, data: scales });
  // DequantizeLinear would be computed in each call.
  const numbers = emitter.node("Cast", [name], `${product.name}_numbers`, { to: { int: 1 } });
  const kernel = emitter.node("Mul", [numbers, scale], `${product.name}_scaled`);
  const inputs = [emitter.read(input, "first"), kernel];
  if (bias !== undefined) inputs.push(storeVector(emitter, `${product.name}_bias`, bias));
  emitter.put("Conv", inputs, [emitter.write(output, "first")], convolutionAttributes(product));
  emitter.finish(nodes);
}

function stored(emitter: Emitter, node: NodeOf<"convolution"> | NodeOf<"depthwiseConvolution">): boolean {
  const chain = chainOf(emitter, node, false);
  if (!worthwhile(chain)) return false;
  convolution(emitter, chain);
  return true;
}

export const dynamic: Quantizers = {
  matMul: (emitter, node) => {
    const chain = chainOf(emitter, node, false);
    if (!worthwhile(chain)) return false;
    rows(emitter, chain);
    return true;
  },
  convolution: stored,
  depthwiseConvolution: stored,
  gather: gatherIntegers,
};
