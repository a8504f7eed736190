import type { Emitter } from "./emitter.ts";
import type { NodeOf } from "./operation.ts";

/** Factor and summand of each channel of a batch normalization whose statistics are known. */
export function affine(
  emitter: Emitter,
  node: NodeOf<"batchNormalization">,
): { scale: Float32Array; shift: Float32Array } | undefined {
  const [gamma, beta, mean, variance] = node.inputs.slice(1).map((input) => emitter.literal(input)?.data);
  if (gamma === undefined || beta === undefined || mean === undefined || variance === undefined) return undefined;
  const { epsilon } = node.attributes;
  const scale = Float32Array.from(gamma, (value, index) => value / Math.sqrt((variance[index] ?? 0) + epsilon));
  return { scale, shift: Float32Array.from(beta, (value, index) => value - (mean[index] ?? 0) * (scale[index] ?? 0)) };
}
