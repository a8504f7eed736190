/** Writes TensorFlow's GraphDef: nodes with inputs, control inputs and attributes (tensorflow/core/framework/*.proto). */
import type { Dtype, Shape } from "../graph.ts";
import { ProtobufWriter } from "../protobuf.ts";

/** Numbers of TensorFlow's datatypes (types.proto). */
export const DATATYPES = { float32: 1, int32: 3, uint8: 4, string: 7, int64: 9, bool: 10, resource: 20 } as const;

export type Datatype = keyof typeof DATATYPES;

export interface TensorContent {
  dtype: Datatype;
  shape: Shape;
  bytes: Uint8Array;
}

/** A value of a node's attribute, with its kind. */
export type Attribute =
  | { type: Datatype }
  | { integer: number }
  | { float: number }
  | { flag: boolean }
  | { text: string }
  | { shape: Shape }
  | { tensor: TensorContent }
  | { integers: readonly number[] };

export type Attributes = Readonly<Record<string, Attribute>>;

/** One output of a node, as other nodes name it. */
export type Reference = string;

export function shapeMessage(shape: Shape): ProtobufWriter {
  const message = new ProtobufWriter();
  for (const size of shape) message.message(2, new ProtobufWriter().integer(1, size));
  return message;
}

function tensorMessage({ dtype, shape, bytes }: TensorContent): ProtobufWriter {
  return new ProtobufWriter().integer(1, DATATYPES[dtype]).message(2, shapeMessage(shape)).bytes(4, bytes);
}

function attributeMessage(attribute: Attribute): ProtobufWriter {
  const message = new ProtobufWriter();
  if ("type" in attribute) return message.integer(6, DATATYPES[attribute.type]);
  if ("integer" in attribute) return message.integer(3, attribute.integer);
  if ("float" in attribute) return message.float(4, attribute.float);
  if ("flag" in attribute) return message.integer(5, attribute.flag);
  if ("text" in attribute) return message.string(2, attribute.text);
  if ("shape" in attribute) return message.message(7, shapeMessage(attribute.shape));
  if ("tensor" in attribute) return message.message(8, tensorMessage(attribute.tensor));
  return message.message(1, new ProtobufWriter().integers(3, attribute.integers));
}

const bytesOf = (values: ArrayBufferView) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

export class GraphDef {
  readonly #nodes: ProtobufWriter[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #constants = new Map<string, Reference>();

  /** Adds a node; `name` gets a number where it is taken. Returns its name, which is that of its first output. */
  node(
    operation: string,
    inputs: readonly Reference[],
    attributes: Attributes = {},
    { name = operation, after = [] }: { name?: string; after?: readonly string[] } = {},
  ): string {
    const unique = this.#unique(name);
    const message = new ProtobufWriter().string(1, unique).string(2, operation);
    for (const input of inputs) message.string(3, input);
    for (const other of after) message.string(3, `^${other}`);
    for (const [key, attribute] of Object.entries(attributes)) message.entry(5, key, attributeMessage(attribute));
    this.#nodes.push(message);
    return unique;
  }

  constant(values: Float32Array | Int32Array | Uint8Array, dtype: Dtype, shape: Shape): Reference {
    const tensor = { dtype, shape, bytes: bytesOf(values) };
    return this.node("Const", [], { dtype: { type: dtype }, value: { tensor } }, { name: "constant" });
  }

  /** A list of whole numbers, which is kept once. */
  integers(values: readonly number[]): Reference {
    return this.#known(`[${values.join()}]`, () => this.constant(Int32Array.from(values), "int32", [values.length]));
  }

  integer(value: number): Reference {
    return this.#known(String(value), () => this.constant(Int32Array.of(value), "int32", []));
  }

  /** The size of each dimension of `x`, int32. */
  shapeOf(x: Reference, dtype: Datatype): Reference {
    return this.node("Shape", [x], { T: { type: dtype }, out_type: { type: "int32" } });
  }

  message(): ProtobufWriter {
    const message = new ProtobufWriter();
    for (const node of this.#nodes) message.message(1, node);
    // The producer's version says which defaults are meant; TensorFlow 2.21 writes this one.
    return message.message(4, new ProtobufWriter().integer(1, 1882));
  }

  #known(key: string, make: () => Reference): Reference {
    const known = this.#constants.get(key) ?? make();
    this.#constants.set(key, known);
    return known;
  }

  #unique(name: string): string {
    const number = this.#numbers.get(name) ?? 0;
    this.#numbers.set(name, number + 1);
    return number === 0 ? name : this.#unique(`${name}.${number}`);
  }
}
