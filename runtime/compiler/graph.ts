/** A graph of typed operations, which each emitter writes in its own format. */
import type { OperationName, Operations } from "./operations.ts";

export type Dtype = "float32" | "int32" | "bool";

/** -1 is a size that is known only when the graph runs, as the batch's. */
export type Shape = readonly number[];

export interface TensorType {
  dtype: Dtype;
  shape: Shape;
}

/** One output of a node. */
export interface Value extends TensorType {
  readonly node: Node;
  /** Which of the node's outputs. */
  readonly index: number;
}

interface NodeOf<Operation extends OperationName> {
  readonly graph: Graph;
  readonly operation: Operation;
  /** Unique in its graph. */
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly attributes: Readonly<Operations[Operation]>;
  readonly outputs: readonly Value[];
}

export type Node = { [Operation in OperationName]: NodeOf<Operation> }[OperationName];

/** What can be called: named tensors in, named tensors out, and new values for variables after all has been computed. */
export interface GraphFunction {
  inputs: readonly { name: string; value: Value }[];
  outputs: readonly { name: string; value: Value }[];
  updates: readonly Update[];
}

/** The variable `name` becomes `value`. */
export interface Update {
  name: string;
  value: Value;
}

/** Nodes in an order in which they can be computed. */
export class Graph {
  readonly #nodes: Node[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #sources = new Map<string, Value>();

  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /** Adds a node; its name begins with the operation's. */
  add<Operation extends OperationName>(
    operation: Operation,
    inputs: readonly Value[],
    attributes: Operations[Operation],
    types: readonly TensorType[],
  ): readonly Value[] {
    const number = this.#numbers.get(operation) ?? 0;
    this.#numbers.set(operation, number + 1);
    const outputs: Value[] = [];
    // What is generic here is one of the union's members for each operation.
    const node = {
      graph: this,
      operation,
      name: `${operation}_${number}`,
      inputs,
      attributes,
      outputs,
    } as unknown as Node;
    for (const [index, type] of types.entries()) outputs.push({ node, index, dtype: type.dtype, shape: type.shape });
    this.#nodes.push(node);
    return outputs;
  }

  input(name: string, type: TensorType): Value {
    return this.#source(`input:${name}`, () => this.#only("input", { name }, type));
  }

  weight(name: string, type: TensorType): Value {
    return this.#source(`weight:${name}`, () => this.#only("weight", { name }, type));
  }

  /** float32; numbers alone are kept once. */
  constant(values: number | readonly number[] | Float32Array, shape: Shape = []): Value {
    if (typeof values !== "number") {
      return this.#only("constant", { values: Float32Array.from(values) }, { dtype: "float32", shape });
    }
    return this.#source(`constant:${Object.is(values, -0) ? "-0" : values}`, () =>
      this.#only("constant", { values: Float32Array.of(values) }, { dtype: "float32", shape: [] }),
    );
  }

  /** int32. */
  integers(values: readonly number[], shape: Shape): Value {
    return this.#only("constant", { values: Int32Array.from(values) }, { dtype: "int32", shape });
  }

  #only<Operation extends OperationName>(
    operation: Operation,
    attributes: Operations[Operation],
    type: TensorType,
  ): Value {
    return firstOf(this.add(operation, [], attributes, [type]));
  }

  #source(key: string, make: () => Value): Value {
    const known = this.#sources.get(key);
    if (known !== undefined) return known;
    const value = make();
    this.#sources.set(key, value);
    return value;
  }
}

/** The first of what is never empty. */
export function firstOf<T>(list: readonly T[]): T {
  const [first] = list;
  if (first === undefined) throw new RangeError("there is none");
  return first;
}

/** The value computed from `inputs` by an operation with one output. */
export function derive<Operation extends OperationName>(
  operation: Operation,
  inputs: readonly Value[],
  attributes: Operations[Operation],
  type: TensorType,
): Value {
  return firstOf(firstOf(inputs).node.graph.add(operation, inputs, attributes, [type]));
}

/** All nodes that `values` depend on, in an order in which they can be computed. */
export function nodesFor(values: readonly Value[]): Node[] {
  const needed = new Set<Node>();
  const waiting = values.map(({ node }) => node);
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (needed.has(node)) continue;
    needed.add(node);
    waiting.push(...node.inputs.map((input) => input.node));
  }
  const graph = values[0]?.node.graph;
  return graph === undefined ? [] : graph.nodes.filter((node) => needed.has(node));
}
