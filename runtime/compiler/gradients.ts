/** Reverse-mode differentiation: the gradients of a scalar by values of its graph, as further nodes of the graph. */
import { add } from "./expressions/elementwise.ts";
import { type Node, type Value, nodesFor } from "./graph.ts";
import { type GradientRule, gradientRules } from "./gradient-rules.ts";

/** An operation on the way from the values to the scalar has no gradient. */
export class NotDifferentiable extends Error {}

/** Values that depend on one of `sources`. */
function dependent(nodes: readonly Node[], sources: readonly Value[]): Set<Value> {
  const found = new Set(sources);
  for (const node of nodes) {
    if (node.inputs.some((input) => found.has(input))) for (const output of node.outputs) found.add(output);
  }
  return found;
}

/**
 * The gradient of the scalar `loss` by each of `sources`; undefined where it does not depend on it.
 * Throws NotDifferentiable.
 */
export function gradientsOf(loss: Value, sources: readonly Value[]): (Value | undefined)[] {
  const nodes = nodesFor([loss]);
  const relevant = dependent(nodes, sources);
  const gradients = new Map<Value, Value>([[loss, loss.node.graph.constant(1)]]);
  for (const node of [...nodes].reverse()) {
    if (!node.inputs.some((input) => relevant.has(input))) continue;
    const received = node.outputs.map((output) => gradients.get(output));
    if (received.every((gradient) => gradient === undefined)) continue;
    const rule = gradientRules[node.operation] as GradientRule | undefined;
    if (rule === undefined) throw new NotDifferentiable(`the compiler lacks the gradient of ${node.operation}`);
    rule(node, received).forEach((gradient, index) => {
      const input = node.inputs[index];
      if (gradient === undefined || input === undefined || !relevant.has(input)) return;
      const known = gradients.get(input);
      gradients.set(input, known === undefined ? gradient : add(known, gradient));
    });
  }
  return sources.map((source) => gradients.get(source));
}
