/** Collects the nodes and weights of an ONNX graph, and knows how the graph's values are called in it. */
import type { Dtype, Node, Shape, Value } from "../graph.ts";
import type { OnnxAttribute, OnnxNode, OnnxTensor } from "./file.ts";
import { type Literal, literalOf, permuted } from "./literal.ts";
import { type Affine, type Range, affineOf } from "./quantization.ts";

/** Of values, by their names in the graph. */
export type Ranges = Readonly<Record<string, Range>>;

/** A value's name in the graph, which is the same whenever the same model is lowered. */
export const nameOf = ({ node, index }: Value) => (node.outputs.length === 1 ? node.name : `${node.name}_${index}`);

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

/** A tensor's values as they are, or as integers of 8 bits. */
type Form = "float" | "uint8";

export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly weights: OnnxTensor[] = [];
  readonly #values: ReadonlyMap<string, Float32Array>;
  readonly #users: ReadonlyMap<Value, readonly (Node | undefined)[]>;
  readonly #ranges: Ranges | undefined;
  readonly #native = new Map<Value, Layout>();
  readonly #names = new Map<Value, Map<`${Form} ${Layout}`, string>>();
  readonly #affine = new Map<Value, Affine>();
  readonly #done = new Set<Node>();
  readonly #taken = new Set<string>();
  readonly #constants = new Map<string, string>();

  /**
   * `values`: of the weights, by name. `users`: of each value, undefined standing for the caller. `ranges`: of values
   * that may be written as integers.
   */
  constructor(
    values: ReadonlyMap<string, Float32Array>,
    users: ReadonlyMap<Value, readonly (Node | undefined)[]>,
    ranges?: Ranges,
  ) {
    this.#values = values;
    this.#users = users;
    this.#ranges = ranges;
  }

  /** A name that nothing else has. */
  unique(wanted: string): string {
    let name = wanted;
    for (let number = 1; this.#taken.has(name); number++) name = `${wanted}_${number}`;
    this.#taken.add(name);
    return name;
  }

  usersOf(value: Value): readonly (Node | undefined)[] {
    return this.#users.get(value) ?? [];
  }

  /** What uses the value, if nothing else does: then both may be computed together. */
  onlyUser(value: Value): Node | undefined {
    const [user, ...others] = this.usersOf(value);
    return others.length === 0 ? user : undefined;
  }

  /** These nodes are computed now. */
  finish(nodes: readonly Node[]): void {
    for (const node of nodes) this.#done.add(node);
  }

  isDone(node: Node): boolean {
    return this.#done.has(node);
  }

  /** The value's numbers, where they are known beforehand. */
  literal(value: Value): Literal | undefined {
    return literalOf(value, this.#values);
  }

  layoutOf(value: Value): Layout {
    return this.#native.get(value) ?? "last";
  }

  /** Values that are computed, with their names. */
  *written(): Generator<{ value: Value; name: string }> {
    for (const [value, layout] of this.#native) {
      const name = this.#names.get(value)?.get(`float ${layout}`);
      if (name !== undefined) yield { value, name };
    }
  }

  /** Declares that `value` is now computed in this order, under the name that is returned. */
  write(value: Value, layout: Layout = "last", wanted?: string): string {
    return this.#declare(value, "float", layout, wanted ?? nameOf(value));
  }

  /** As write, as integers; by default of the value's own range. */
  writeQuantized(value: Value, layout: Layout, affine = this.affineOf(value)): string {
    if (affine === undefined) throw new NotEmittable(`${nameOf(value)} has no range`);
    this.#affine.set(value, affine);
    return this.#declare(value, "uint8", layout, `${nameOf(value)}_quantized`);
  }

  #declare(value: Value, form: Form, layout: Layout, wanted: string): string {
    const name = this.unique(wanted);
    this.#native.set(value, layout);
    this.#names.delete(value);
    this.#remember(value, form, layout, name);
    return name;
  }

  /** The name under which `value` is there in this order. */
  read(value: Value, layout: Layout = "last"): string {
    return this.#known(value, "float", layout) ?? this.#remember(value, "float", layout, this.#arrange(value, layout));
  }

  #arrange(value: Value, layout: Layout): string {
    const turned = this.#turned(value, "float", layout);
    if (turned !== undefined) return turned;
    if (this.isQuantized(value)) {
      const inputs = [this.readQuantized(value, layout), ...this.affineNames(value)];
      return this.node("DequantizeLinear", inputs, nameOf(value));
    }
    const literal = this.literal(value);
    if (literal === undefined) throw new NotEmittable(`${nameOf(value)} is not computed yet`);
    return this.store(nameOf(value), layout === "first" ? permuted(literal, toFirst(value.shape.length)) : literal);
  }

  /** Is it there as integers? */
  isQuantized(value: Value): boolean {
    return [...(this.#names.get(value)?.keys() ?? [])].some((key) => key.startsWith("uint8"));
  }

  /** As read, as integers. */
  readQuantized(value: Value, layout: Layout): string {
    const known = this.#known(value, "uint8", layout) ?? this.#turned(value, "uint8", layout);
    if (known !== undefined) return this.#remember(value, "uint8", layout, known);
    const native = this.layoutOf(value);
    const inputs = [this.read(value, native), ...this.affineNames(value)];
    this.#remember(value, "uint8", native, this.node("QuantizeLinear", inputs, `${nameOf(value)}_quantized`));
    return this.readQuantized(value, layout);
  }

  /** How its integers are to be read. Undefined when nothing is known of it. */
  affineOf(value: Value): Affine | undefined {
    const known = this.#affine.get(value);
    if (known !== undefined) return known;
    const range = this.#ranges?.[nameOf(value)];
    if (range === undefined) return undefined;
    const affine = affineOf(range, "uint8");
    this.#affine.set(value, affine);
    return affine;
  }

  /** Names of the scale and the zero point. */
  affineNames(value: Value): [string, string] {
    const affine = this.affineOf(value);
    if (affine === undefined) throw new NotEmittable(`${nameOf(value)} has no range`);
    return [this.float(affine.scale), this.uint8(affine.zeroPoint)];
  }

  #known(value: Value, form: Form, layout: Layout): string | undefined {
    return this.#names.get(value)?.get(`${form} ${layout}`);
  }

  /** Turned around from the other order, if it is there. */
  #turned(value: Value, form: Form, layout: Layout): string | undefined {
    const from = this.#known(value, form, layout === "first" ? "last" : "first");
    if (from === undefined) return undefined;
    const rank = value.shape.length;
    const perm = { ints: layout === "first" ? toFirst(rank) : toLast(rank) };
    return this.node("Transpose", [from], `${from}_${layout}`, { perm });
  }

  #remember(value: Value, form: Form, layout: Layout, name: string): string {
    const names = this.#names.get(value) ?? new Map<`${Form} ${Layout}`, string>();
    this.#names.set(value, names.set(`${form} ${layout}`, name));
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

  uint8(value: number): string {
    return this.#constant(`uint8 ${value}`, () => this.tensor("number", "uint8", [], Uint8Array.of(value)));
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
