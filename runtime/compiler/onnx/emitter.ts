/** Collects the nodes and weights of an ONNX graph, and knows how the graph's values are called in it. */
import type { Dtype, Shape, Value } from "../graph.ts";
import type { OnnxAttribute, OnnxNode, OnnxTensor } from "./file.ts";
import { type Literal, literalOf, permuted } from "./literal.ts";

/**
 * Order of a tensor's dimensions: `last` is the graph's own, [batch, …places, channels]; `first` is
 * [batch, channels, …places], which ONNX's convolutions take. What is computed element by element keeps the order of what
 * it is computed from, so that images are seldom turned around.
 */
export type Layout = "last" | "first";

/** What cannot be written in ONNX. Caught where a model is emitted. */
export class NotEmittable extends Error {}

const toFirst = (rank: number) => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, index) => index + 1)];
const toLast = (rank: number) => [0, ...Array.from({ length: rank - 2 }, (_, index) => index + 2), 1];

/** An axis of the graph's tensor in the other order. */
export function axisIn(layout: Layout, axis: number, rank: number): number {
  return layout === "first" ? toFirst(rank).indexOf(axis) : axis;
}

/** Something of each dimension, such as sizes, in the other order. */
export function inLayout<T>(layout: Layout, list: readonly T[]): T[] {
  return layout === "last" ? [...list] : toFirst(list.length).map((axis) => list[axis] as T);
}

const ONNX_TYPES = { float32: "float32", int32: "int32", bool: "bool" } as const satisfies Record<Dtype, string>;

export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly weights: OnnxTensor[] = [];
  readonly #values: ReadonlyMap<string, Float32Array>;
  readonly #uses: ReadonlyMap<Value, number>;
  readonly #native = new Map<Value, Layout>();
  readonly #names = new Map<Value, Partial<Record<Layout, string>>>();
  readonly #taken = new Set<string>();
  readonly #constants = new Map<string, string>();

  /** `values`: of the weights, by name. `uses`: how often each value is used. */
  constructor(values: ReadonlyMap<string, Float32Array>, uses: ReadonlyMap<Value, number>) {
    this.#values = values;
    this.#uses = uses;
  }

  /** A name that nothing else has. */
  unique(wanted: string): string {
    let name = wanted;
    for (let number = 1; this.#taken.has(name); number++) name = `${wanted}_${number}`;
    this.#taken.add(name);
    return name;
  }

  /** Is it used once only, so that it may be computed together with what uses it? */
  isInner(value: Value): boolean {
    return this.#uses.get(value) === 1;
  }

  /** The value's numbers, where they are known beforehand. */
  literal(value: Value): Literal | undefined {
    return literalOf(value, this.#values);
  }

  layoutOf(value: Value): Layout {
    return this.#native.get(value) ?? "last";
  }

  /** Is it there already, computed together with something else? */
  has(value: Value): boolean {
    return this.#names.has(value);
  }

  /** Declares that `value` is now computed in this order, under the name that is returned. */
  write(value: Value, layout: Layout = "last", wanted?: string): string {
    const { node, index } = value;
    const name = this.unique(wanted ?? (node.outputs.length === 1 ? node.name : `${node.name}_${index}`));
    this.#native.set(value, layout);
    this.#names.set(value, { [layout]: name });
    return name;
  }

  /** The name under which `value` is there in this order. */
  read(value: Value, layout: Layout = "last"): string {
    const names = this.#names.get(value) ?? {};
    const known = names[layout];
    if (known !== undefined) return known;
    const literal = names.last === undefined && names.first === undefined ? this.literal(value) : undefined;
    const rank = value.shape.length;
    let name: string;
    if (literal !== undefined) {
      name = this.store(value.node.name, layout === "first" ? permuted(literal, toFirst(rank)) : literal);
    } else {
      const from = names[layout === "first" ? "last" : "first"];
      if (from === undefined) throw new NotEmittable(`${value.node.name} is not computed yet`);
      const perm = layout === "first" ? toFirst(rank) : toLast(rank);
      name = this.node("Transpose", [from], `${from}_${layout}`, { perm: { ints: perm } });
    }
    this.#names.set(value, { ...names, [layout]: name });
    return name;
  }

  /** A weight of the file. */
  store(wanted: string, { dtype, shape, data }: Literal): string {
    const name = this.unique(wanted);
    this.weights.push({ name, type: ONNX_TYPES[dtype], shape, data });
    return name;
  }

  tensor(wanted: string, type: OnnxTensor["type"], shape: Shape, data: ArrayBufferView): string {
    const name = this.unique(wanted);
    this.weights.push({ name, type, shape, data });
    return name;
  }

  /** Small constants, each kept once. */
  int64(values: readonly number[], shape: Shape = [values.length]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.#constant(`int64 ${shape.join()} ${values.join()}`, () => this.tensor("ints", "int64", shape, data));
  }

  float(value: number): string {
    return this.#constant(`float ${value}`, () => this.tensor("number", "float32", [], Float32Array.of(value)));
  }

  int32(value: number): string {
    return this.#constant(`int32 ${value}`, () => this.tensor("number", "int32", [], Int32Array.of(value)));
  }

  /** Adds a node with one output and returns its name. */
  node(
    operation: string,
    inputs: readonly string[],
    output: string,
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain?: string,
  ): string {
    const name = this.unique(output);
    this.put(operation, inputs, [name], attributes, domain);
    return name;
  }

  /** Adds a node whose outputs have names already. */
  put(
    operation: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain?: string,
  ): void {
    const name = `${operation}:${outputs[0] ?? ""}`;
    this.nodes.push({ operation, name, inputs, outputs, attributes, ...(domain === undefined ? {} : { domain }) });
  }

  #constant(key: string, make: () => string): string {
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.#constants.set(key, name);
    return name;
  }
}
