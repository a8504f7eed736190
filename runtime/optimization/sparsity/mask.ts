/** Which weights stay: 1, and which are zero: 0. */
import type { Weights } from "../channels/weights.ts";

/**
 * Keeps the max(round(n (1 - sparsity)), 1) largest by absolute value, and all that equal the smallest of these (as
 * TensorFlow Model Optimization does).
 */
export function magnitudeMask(values: Float32Array, sparsity: number): Float32Array {
  const count = Math.max(1, Math.round(values.length * (1 - sparsity)));
  const sizes = values.map(Math.abs).sort();
  const threshold = sizes[sizes.length - count] ?? 0;
  return values.map((value) => (Math.abs(value) >= threshold ? 1 : 0));
}

/**
 * Of each `m` consecutive inputs of an output, keeps the `n` largest by absolute value; of equal ones the first. The last
 * axis of a kernel are its outputs, all others together its inputs. Inputs that are left over, fewer than `m`, form a
 * group of their own.
 */
export function patternMask({ shape, data }: Weights, n: number, m: number): Float32Array {
  const outputs = shape.at(-1) ?? 1;
  const inputs = data.length / outputs;
  const mask = new Float32Array(data.length);
  for (let output = 0; output < outputs; output += 1) {
    for (let start = 0; start < inputs; start += m) {
      const group = Array.from({ length: Math.min(m, inputs - start) }, (_, i) => (start + i) * outputs + output);
      const largest = group.toSorted((a, b) => Math.abs(data[b] ?? 0) - Math.abs(data[a] ?? 0) || a - b).slice(0, n);
      for (const index of largest) mask[index] = 1;
    }
  }
  return mask;
}

/** Kernels and embeddings are made sparse; biases, normalization and the few numbers of depthwise kernels are not. */
export function isSparsable(name: string, shape: readonly number[]): boolean {
  return shape.length >= 2 && /(kernel|embeddings)(_\d+)?$/.test(name) && !/depthwise_kernel/.test(name);
}
