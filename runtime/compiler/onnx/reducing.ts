/** Operations that look along axes. */
import type { Reduction } from "../operations.ts";
import { type Emitter, axisIn } from "./emitter.ts";
import { type Emits, type NodeOf, at, outputOf } from "./operation.ts";

const REDUCE: Readonly<Record<Exclude<Reduction, "any" | "all">, string>> = {
  sum: "ReduceSum",
  mean: "ReduceMean",
  max: "ReduceMax",
  min: "ReduceMin",
  product: "ReduceProd",
};

const INT32 = { to: { int: 6 } };
const FLOAT = { to: { int: 1 } };
const BOOL = { to: { int: 9 } };

function reduce(emitter: Emitter, node: NodeOf<"reduce">): void {
  const { function: name, axes, keepDims } = node.attributes;
  const x = at(node.inputs, 0);
  const rank = x.shape.length;
  const kept = { keepdims: { int: keepDims ? 1 : 0 } };
  if (name === "any" || name === "all") {
    const numbers = emitter.node("Cast", [emitter.read(x)], `${node.name}_numbers`, INT32);
    const operation = name === "any" ? "ReduceMax" : "ReduceMin";
    const result = emitter.node(operation, [numbers, emitter.int64(axes)], `${node.name}_reduced`, kept);
    emitter.put("Cast", [result], [emitter.write(outputOf(node))], BOOL);
    return;
  }
  // Over places, and with all dimensions kept, images need not be turned.
  const places = axes.length === rank - 2 && axes.every((axis) => axis > 0 && axis < rank - 1);
  const layout = rank > 2 && (keepDims || places) ? emitter.layoutOf(x) : "last";
  if (layout === "first" && places && (name === "mean" || name === "max")) {
    const pooled = name === "mean" ? "GlobalAveragePool" : "GlobalMaxPool";
    const input = emitter.read(x, layout);
    if (keepDims) emitter.put(pooled, [input], [emitter.write(outputOf(node), layout)]);
    else
      emitter.put("Flatten", [emitter.node(pooled, [input], `${node.name}_pooled`)], [emitter.write(outputOf(node))]);
    return;
  }
  const along = axes.map((axis) => axisIn(layout, axis, rank));
  const input = emitter.read(x, layout);
  emitter.put(
    REDUCE[name],
    [input, emitter.int64(along)],
    [emitter.write(outputOf(node), keepDims ? layout : "last")],
    kept,
  );
}

export const reducing: Emits = {
  reduce,
  argMax: (emitter, node) => {
    const attributes = { axis: { int: node.attributes.axis }, keepdims: { int: 0 } };
    const index = emitter.node("ArgMax", [emitter.read(at(node.inputs, 0))], `${node.name}_index`, attributes);
    emitter.put("Cast", [index], [emitter.write(outputOf(node))], INT32);
  },
  cumulativeSum: (emitter, node) => {
    const inputs = [emitter.read(at(node.inputs, 0)), emitter.int64([node.attributes.axis], [])];
    emitter.put("CumSum", inputs, [emitter.write(outputOf(node))]);
  },
  sortDescending: (emitter, node) => {
    const x = at(node.inputs, 0);
    const inputs = [emitter.read(x), emitter.int64([x.shape.at(-1) ?? 1])];
    const outputs = [emitter.write(outputOf(node)), emitter.unique(`${node.name}_places`)];
    emitter.put("TopK", inputs, outputs);
  },
  softmax: (emitter, node) => {
    emitter.put("Softmax", [emitter.read(at(node.inputs, 0))], [emitter.write(outputOf(node))], { axis: { int: -1 } });
  },
  logSoftmax: (emitter, node) => {
    const input = emitter.read(at(node.inputs, 0));
    emitter.put("LogSoftmax", [input], [emitter.write(outputOf(node))], { axis: { int: -1 } });
  },
  count: (emitter, node) => {
    const shape = emitter.node("Shape", [emitter.read(at(node.inputs, 0))], `${node.name}_shape`);
    const sizes = emitter.node("Gather", [shape, emitter.int64(node.attributes.axes)], `${node.name}_sizes`);
    const product = emitter.node("ReduceProd", [sizes], `${node.name}_product`, { keepdims: { int: 0 } });
    emitter.put("Cast", [product], [emitter.write(outputOf(node))], FLOAT);
  },
};
