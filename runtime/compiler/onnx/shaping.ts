/** Operations that put elements elsewhere. */
import type { Value } from "../graph.ts";
import { type Emitter, axisIn, inLayout } from "./emitter.ts";
import { commonLayout } from "./elementwise.ts";
import { type Emits, at, outputOf } from "./operation.ts";

/** Stands for the end of a dimension, and beyond it. */
const END = 2 ** 31 - 1;

const MANY = 2;

function shapeOf(emitter: Emitter, value: Value): string {
  return emitter.node("Shape", [emitter.read(value)], `${value.node.name}_shape`);
}

/** Images keep their order. */
function kept(emitter: Emitter, x: Value) {
  const layout = x.shape.length > MANY ? emitter.layoutOf(x) : "last";
  return { layout, input: emitter.read(x, layout) };
}

export const shaping: Emits = {
  reshape: (emitter, node) => {
    const inputs = [emitter.read(at(node.inputs, 0)), emitter.int64(outputOf(node).shape)];
    emitter.put("Reshape", inputs, [emitter.write(outputOf(node))]);
  },
  reshapeAs: (emitter, node) => {
    const inputs = [emitter.read(at(node.inputs, 0)), shapeOf(emitter, at(node.inputs, 1))];
    emitter.put("Reshape", inputs, [emitter.write(outputOf(node))]);
  },
  broadcastAs: (emitter, node) => {
    const inputs = [emitter.read(at(node.inputs, 0)), shapeOf(emitter, at(node.inputs, 1))];
    emitter.put("Expand", inputs, [emitter.write(outputOf(node))]);
  },
  transpose: (emitter, node) => {
    const perm = { ints: node.attributes.permutation };
    emitter.put("Transpose", [emitter.read(at(node.inputs, 0))], [emitter.write(outputOf(node))], { perm });
  },
  concat: (emitter, node) => {
    const rank = outputOf(node).shape.length;
    const layout = commonLayout(emitter, node.inputs, rank);
    const inputs = node.inputs.map((input) => emitter.read(input, layout));
    const axis = axisIn(layout, node.attributes.axis, rank);
    emitter.put("Concat", inputs, [emitter.write(outputOf(node), layout)], { axis: { int: axis } });
  },
  split: (emitter, node) => {
    const { axis, sizes } = node.attributes;
    const x = at(node.inputs, 0);
    const { layout, input } = kept(emitter, x);
    const outputs = node.outputs.map((output) => emitter.write(output, layout));
    const along = axisIn(layout, axis, x.shape.length);
    emitter.put("Split", [input, emitter.int64(sizes)], outputs, { axis: { int: along } });
  },
  slice: (emitter, node) => {
    const { begin, size } = node.attributes;
    const { layout, input } = kept(emitter, at(node.inputs, 0));
    const starts = inLayout(layout, begin);
    const ends = inLayout(layout, size).map((length, axis) => (length === -1 ? END : (starts[axis] ?? 0) + length));
    const axes = starts.map((_, axis) => axis).filter((axis) => starts[axis] !== 0 || ends[axis] !== END);
    const pick = (list: readonly number[]) => emitter.int64(axes.map((axis) => list[axis] ?? 0));
    emitter.put(
      "Slice",
      [input, pick(starts), pick(ends), emitter.int64(axes)],
      [emitter.write(outputOf(node), layout)],
    );
  },
  pad: (emitter, node) => {
    const { before, after } = node.attributes;
    const { layout, input } = kept(emitter, at(node.inputs, 0));
    const pads = [...inLayout(layout, before), ...inLayout(layout, after)];
    emitter.put("Pad", [input, emitter.int64(pads)], [emitter.write(outputOf(node), layout)]);
  },
  tile: (emitter, node) => {
    const inputs = [emitter.read(at(node.inputs, 0)), emitter.int64(node.attributes.times)];
    emitter.put("Tile", inputs, [emitter.write(outputOf(node))]);
  },
  reverse: (emitter, node) => {
    const axes = emitter.int64([node.attributes.axis]);
    const inputs = [
      emitter.read(at(node.inputs, 0)),
      emitter.int64([-1]),
      emitter.int64([-END - 1]),
      axes,
      emitter.int64([-1]),
    ];
    emitter.put("Slice", inputs, [emitter.write(outputOf(node))]);
  },
  gather: (emitter, node) => {
    const inputs = node.inputs.map((input) => emitter.read(input));
    emitter.put("Gather", inputs, [emitter.write(outputOf(node))], { axis: { int: node.attributes.axis } });
  },
  oneHot: (emitter, node) => {
    const values = emitter.tensor("off_on", "float32", [2], Float32Array.of(0, 1));
    const inputs = [emitter.read(at(node.inputs, 0)), emitter.int32(node.attributes.depth), values];
    emitter.put("OneHot", inputs, [emitter.write(outputOf(node))], { axis: { int: -1 } });
  },
};
