/** Values that are known before the graph runs: constants, weights, and what is only arranged otherwise. */
import type { Dtype, Shape, Value } from "../graph.ts";

export interface Literal {
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly data: Float32Array | Int32Array | Uint8Array;
}

export const sizeOf = (shape: Shape) => shape.reduce((product, size) => product * size, 1);

/** `weights`: values by name. Undefined when the value is computed. */
export function literalOf(value: Value, weights: ReadonlyMap<string, Float32Array>): Literal | undefined {
  const { node, dtype, shape } = value;
  switch (node.operation) {
    case "constant":
      return { dtype, shape, data: node.attributes.values };
    case "weight": {
      const data = weights.get(node.attributes.name);
      return data === undefined ? undefined : { dtype, shape, data };
    }
    case "reshape": {
      const from = sourceOf(value, weights);
      return from === undefined ? undefined : { ...from, shape };
    }
    case "transpose": {
      const from = sourceOf(value, weights);
      return from === undefined ? undefined : permuted(from, node.attributes.permutation);
    }
    case "split": {
      const from = sourceOf(value, weights);
      const { axis, sizes } = node.attributes;
      const start = sizes.slice(0, value.index).reduce((sum, size) => sum + size, 0);
      return from === undefined ? undefined : part(from, axis, start, sizes[value.index] ?? 0);
    }
    default:
      return undefined;
  }
}

function sourceOf({ node }: Value, weights: ReadonlyMap<string, Float32Array>): Literal | undefined {
  const [input] = node.inputs;
  return input === undefined ? undefined : literalOf(input, weights);
}

function part({ dtype, shape, data }: Literal, axis: number, start: number, length: number): Literal {
  const whole = shape[axis] ?? 1;
  const inner = sizeOf(shape.slice(axis + 1));
  const outer = sizeOf(shape.slice(0, axis));
  const taken = data.slice(0, outer * length * inner);
  for (let row = 0; row < outer; row++) {
    const from = (row * whole + start) * inner;
    taken.set(data.subarray(from, from + length * inner), row * length * inner);
  }
  return { dtype, shape: shape.map((size, index) => (index === axis ? length : size)), data: taken };
}

/** The dimensions in another order. */
export function permuted({ dtype, shape, data }: Literal, permutation: readonly number[]): Literal {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const sizes = permutation.map((axis) => shape[axis] ?? 1);
  const steps = permutation.map((axis) => strides[axis] ?? 1);
  const turned = data.slice();
  const place = sizes.map(() => 0);
  let from = 0;
  for (let to = 0; to < turned.length; to++) {
    turned[to] = data[from] ?? 0;
    // The next place, the last dimension first, as a counter does.
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      from += steps[axis] ?? 0;
      place[axis] = (place[axis] ?? 0) + 1;
      if ((place[axis] ?? 0) < (sizes[axis] ?? 1)) break;
      from -= (steps[axis] ?? 0) * (sizes[axis] ?? 1);
      place[axis] = 0;
    }
  }
  return { dtype, shape: sizes, data: turned };
}
