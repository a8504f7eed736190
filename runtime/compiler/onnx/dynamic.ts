/**
 * Products whose weights are integers beforehand, and whose inputs become integers when the model runs, by their own range:
 * no data are needed to prepare that. Between products everything stays float32.
 */
import { type Chain, channelsOf, chainOf } from "./chain.ts";
import type { Emitter } from "./emitter.ts";
import { CONTRIBUTED, gatherIntegers, storeKernel } from "./integers.ts";
import { convolutionAttributes, storeVector, writeRows } from "./linear.ts";
import type { Quantizers } from "./operation.ts";

/** Products by fewer weights take longer with the conversions. */
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

function convolution(emitter: Emitter, chain: Chain): void {
  const { product, input, bias, output, nodes } = chain;
  if (product.operation === "matMul") return;
  const part = (name: string) => emitter.unique(`${product.name}_${name}`);
  const { name, scales } = storeKernel(emitter, chain);
  const shape = [channelsOf(chain), ...product.attributes.strides.map(() => 1)];
  const perChannel = (what: string, data: Float32Array) =>
    emitter.store(`${product.name}_${what}`, { dtype: "float32", shape, data });
  const [integers, scale, zero] = [part("integers"), part("scale"), part("zero")];
  emitter.put("DynamicQuantizeLinear", [emitter.read(input, "first")], [integers, scale, zero]);
  const sums = emitter.node("ConvInteger", [integers, name, zero], part("sums"), convolutionAttributes(product));
  const numbers = emitter.node("Cast", [sums], part("numbers"), { to: { int: 1 } });
  const factor = emitter.node("Mul", [scale, perChannel("scales", scales)], part("factor"));
  emitter.finish(nodes);
  if (bias === undefined) {
    emitter.put("Mul", [numbers, factor], [emitter.write(output, "first")]);
    return;
  }
  const scaled = emitter.node("Mul", [numbers, factor], part("scaled"));
  emitter.put("Add", [scaled, perChannel("bias", bias)], [emitter.write(output, "first")]);
}

export const dynamic: Quantizers = {
  matMul: (emitter, node) => {
    const chain = chainOf(emitter, node, false);
    if (!worthwhile(chain)) return false;
    rows(emitter, chain);
    return true;
  },
  convolution: (emitter, node) => {
    const chain = chainOf(emitter, node, false);
    if (!worthwhile(chain)) return false;
    convolution(emitter, chain);
    return true;
  },
  gather: gatherIntegers,
};
