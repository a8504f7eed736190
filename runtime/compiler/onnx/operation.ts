/** How one operation of the graph is written. */
import type { Node, Value } from "../graph.ts";
import type { OperationName } from "../operations.ts";
import { type Emitter, NotEmittable } from "./emitter.ts";

export type NodeOf<Operation extends OperationName> = Extract<Node, { operation: Operation }>;

/** By operation; what is missing is not written. */
export type Emits = { readonly [Operation in OperationName]?: (emitter: Emitter, node: NodeOf<Operation>) => void };

/** By operation; what gives false has written nothing. */
export type Quantizers = {
  readonly [Operation in OperationName]?: (emitter: Emitter, node: NodeOf<Operation>) => boolean;
};

/** An input or output that the operation always has. */
export function at(values: readonly Value[], index: number): Value {
  const value = values[index];
  if (value === undefined) throw new NotEmittable("an operation lacks an input or an output");
  return value;
}

/** Its only output. */
export const outputOf = (node: Node): Value => at(node.outputs, 0);
