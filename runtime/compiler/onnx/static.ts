/**
 * Products, pooling, sums and concatenations that take and give integers of 8 bits, by ranges that were observed
 * beforehand. What has no such form is computed in float32 in between.
 */
import { roundHalfToEven } from "../../formats/quantization.ts";
import type { Value } from "../graph.ts";
import { type Chain, channelsOf, chainOf } from "./chain.ts";
import { type Emitter } from "./emitter.ts";
import { commonLayout } from "./elementwise.ts";
import { CONTRIBUTED, type IntegerKernel, gatherIntegers, storeKernel } from "./integers.ts";
import { convolutionAttributes, storeVector, writeRows } from "./linear.ts";
import { type NodeOf, type Quantizers, at, outputOf } from "./operation.ts";
import { windowAttributes } from "./windows.ts";

const isComputed = (emitter: Emitter, value: Value) => emitter.literal(value) === undefined;

/** Is there something that takes the value as integers? */
function isWanted(emitter: Emitter, value: Value): boolean {
  return emitter.usersOf(value).some((user) => {
    switch (user?.operation) {
      case "convolution":
      case "depthwiseConvolution":
        return !isComputed(emitter, at(user.inputs, 1));
      case "matMul":
        return chainOf(emitter, user, false) !== undefined;
      case "pool":
      case "concat":
        return true;
      case "binary":
        return isSum(emitter, user);
      case "reduce":
        return isMeanOfPlaces(user);
      case "reshape":
        return isWanted(emitter, outputOf(user));
      default:
        return false;
    }
  });
}

function isSum(emitter: Emitter, node: NodeOf<"binary">): boolean {
  const [a, b] = [at(node.inputs, 0), at(node.inputs, 1)];
  const alike = a.shape.length === b.shape.length && a.shape.every((size, axis) => size === b.shape[axis]);
  return node.attributes.function === "add" && alike && [a, b].every((value) => isComputed(emitter, value));
}

function isMeanOfPlaces({ attributes, inputs }: NodeOf<"reduce">): boolean {
  const { function: name, axes } = attributes;
  return name === "mean" && at(inputs, 0).shape.length === 4 && axes.join() === "1,2";
}

const known = (emitter: Emitter, values: readonly Value[]) =>
  values.every((value) => value.dtype === "float32" && emitter.affineOf(value) !== undefined);

/** Bias in units of the product of both scales. */
function storeBias(emitter: Emitter, { product, input, bias }: Chain, { scales }: IntegerKernel): string {
  const scale = emitter.affineOf(input)?.scale ?? 1;
  const limit = 2 ** 31 - 1;
  const values = Int32Array.from(scales, (own, channel) =>
    Math.max(-limit, Math.min(limit, roundHalfToEven((bias?.[channel] ?? 0) / (scale * own)))),
  );
  return emitter.tensor(`${product.name}_bias`, "int32", [values.length], values);
}

function kernelInputs(emitter: Emitter, chain: Chain, kernel: IntegerKernel): string[] {
  const { name } = chain.product;
  const channels = channelsOf(chain);
  return [
    kernel.name,
    storeVector(emitter, `${name}_scales`, kernel.scales),
    emitter.tensor(`${name}_zeros`, "int8", [channels], new Int8Array(channels)),
  ];
}

function convolution(emitter: Emitter, node: NodeOf<"convolution"> | NodeOf<"depthwiseConvolution">): boolean {
  const chain = chainOf(emitter, node, true);
  if (chain === undefined || node.attributes.strides.length !== 2 || !known(emitter, [chain.input, chain.output])) {
    return false;
  }
  const kernel = storeKernel(emitter, chain);
  const inputs = [
    emitter.readQuantized(chain.input, "first"),
    ...emitter.affineNames(chain.input),
    ...kernelInputs(emitter, chain, kernel),
    ...emitter.affineNames(chain.output),
    storeBias(emitter, chain, kernel),
  ];
  emitter.put("QLinearConv", inputs, [emitter.writeQuantized(chain.output, "first")], convolutionAttributes(node));
  emitter.finish(chain.nodes);
  return true;
}

/** Integers only where something takes them; else the product is given as it is, without rounding it. */
function rows(emitter: Emitter, node: NodeOf<"matMul">): boolean {
  const longest = chainOf(emitter, node, true);
  if (longest === undefined || !known(emitter, [longest.input])) return false;
  const integers = isWanted(emitter, longest.output) && known(emitter, [longest.output]);
  const chain = integers ? longest : chainOf(emitter, node, false);
  if (chain === undefined) return false;
  const kernel = storeKernel(emitter, chain);
  const inputs = [
    emitter.readQuantized(chain.input, "last"),
    ...emitter.affineNames(chain.input),
    ...kernelInputs(emitter, chain, kernel),
    storeBias(emitter, chain, kernel),
    ...(integers ? emitter.affineNames(chain.output) : []),
  ];
  const put = (output: string) => emitter.put("QGemm", inputs, [output], {}, CONTRIBUTED);
  if (!integers) writeRows(emitter, chain, put);
  else {
    emitter.finish(chain.nodes);
    const { reshaped, output } = chain;
    const result = reshaped === undefined ? undefined : emitter.unique(`${node.name}_rows`);
    const name = emitter.writeQuantized(output, "last");
    put(result ?? name);
    if (result !== undefined && reshaped !== undefined) {
      emitter.put("Reshape", [result, emitter.int64(reshaped.shape)], [name]);
    }
  }
  return true;
}

function pool(emitter: Emitter, node: NodeOf<"pool">): boolean {
  const [x, y] = [at(node.inputs, 0), outputOf(node)];
  const { function: name, size } = node.attributes;
  if (size.length !== 2 || !emitter.isQuantized(x)) return false;
  const dilations = size.map(() => 1);
  const { dilations: _, ...attributes } = windowAttributes(x.shape.slice(1, -1), { ...node.attributes, dilations });
  const input = emitter.readQuantized(x, "first");
  if (name === "max") {
    emitter.put("MaxPool", [input], [emitter.writeQuantized(y, "first", emitter.affineOf(x))], attributes);
    return true;
  }
  if (!known(emitter, [y])) return false;
  const inputs = [input, ...emitter.affineNames(x), ...emitter.affineNames(y)];
  emitter.put("QLinearAveragePool", inputs, [emitter.writeQuantized(y, "first")], attributes, CONTRIBUTED);
  return true;
}

function sum(emitter: Emitter, node: NodeOf<"binary">): boolean {
  if (!isSum(emitter, node)) return false;
  const next = emitter.onlyUser(outputOf(node));
  const cut = next?.operation === "unary" && ["relu", "relu6"].includes(next.attributes.function);
  const nodes = cut ? [node, next] : [node];
  const y = outputOf(nodes.at(-1) ?? node);
  if (!known(emitter, [...node.inputs, y]) || !node.inputs.some((value) => emitter.isQuantized(value))) return false;
  const layout = commonLayout(emitter, node.inputs, y.shape.length);
  const inputs = node.inputs.flatMap((value) => [emitter.readQuantized(value, layout), ...emitter.affineNames(value)]);
  inputs.push(...emitter.affineNames(y));
  emitter.put("QLinearAdd", inputs, [emitter.writeQuantized(y, layout)], {}, CONTRIBUTED);
  emitter.finish(nodes);
  return true;
}

function concat(emitter: Emitter, node: NodeOf<"concat">): boolean {
  const y = outputOf(node);
  if (!known(emitter, [...node.inputs, y]) || !node.inputs.every((value) => emitter.isQuantized(value))) return false;
  const rank = y.shape.length;
  const layout = commonLayout(emitter, node.inputs, rank);
  const inputs = [
    ...emitter.affineNames(y),
    ...node.inputs.flatMap((value) => [emitter.readQuantized(value, layout), ...emitter.affineNames(value)]),
  ];
  const axis = { int: layout === "first" && node.attributes.axis === rank - 1 ? 1 : node.attributes.axis };
  if (layout === "first" && node.attributes.axis !== rank - 1) return false;
  emitter.put("QLinearConcat", inputs, [emitter.writeQuantized(y, layout)], { axis }, CONTRIBUTED);
  return true;
}

function mean(emitter: Emitter, node: NodeOf<"reduce">): boolean {
  const [x, y] = [at(node.inputs, 0), outputOf(node)];
  if (!isMeanOfPlaces(node) || !emitter.isQuantized(x) || !known(emitter, [y])) return false;
  const inputs = [emitter.readQuantized(x, "first"), ...emitter.affineNames(x), ...emitter.affineNames(y)];
  const attributes = { channels_last: { int: 0 } };
  if (node.attributes.keepDims) {
    emitter.put("QLinearGlobalAveragePool", inputs, [emitter.writeQuantized(y, "first")], attributes, CONTRIBUTED);
    return true;
  }
  const pooled = emitter.node("QLinearGlobalAveragePool", inputs, `${node.name}_pooled`, attributes, CONTRIBUTED);
  emitter.put("Flatten", [pooled], [emitter.writeQuantized(y, "last")]);
  return true;
}

/** Integers stay what they are when they are only arranged otherwise. */
function reshape(emitter: Emitter, node: NodeOf<"reshape">): boolean {
  const [x, y] = [at(node.inputs, 0), outputOf(node)];
  if (!emitter.isQuantized(x) || !isWanted(emitter, y)) return false;
  const inputs = [emitter.readQuantized(x, "last"), emitter.int64(y.shape)];
  emitter.put("Reshape", inputs, [emitter.writeQuantized(y, "last", emitter.affineOf(x))]);
  return true;
}

export const statically: Quantizers = {
  convolution,
  depthwiseConvolution: convolution,
  matMul: rows,
  pool,
  binary: sum,
  concat,
  reduce: mean,
  reshape,
  gather: gatherIntegers,
};
