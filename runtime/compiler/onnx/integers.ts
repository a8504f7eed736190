/** Weights as integers of 8 bits, which both ways of computing with them share. */
import type { Chain } from "./chain.ts";
import { channelOf, channelsOf } from "./chain.ts";
import type { Emitter } from "./emitter.ts";
import type { NodeOf } from "./operation.ts";
import { at, outputOf } from "./operation.ts";
import { quantizeWeights } from "./quantization.ts";

/** Operations that ONNX Runtime has besides ONNX's. */
export const CONTRIBUTED = "com.microsoft";

/** Smaller tables are no larger as they are than with a scale for each row. */
const TABLE_ROW = 16;

export interface IntegerKernel {
  readonly name: string;
  /** Of each output channel. */
  readonly scales: Float32Array;
}

/** Stores a chain's kernel, symmetric, each output channel by itself. */
export function storeKernel(emitter: Emitter, chain: Chain): IntegerKernel {
  const { product, kernel } = chain;
  const { data, scales } = quantizeWeights(kernel.data, channelsOf(chain), channelOf(chain));
  return { name: emitter.tensor(`${product.name}_kernel`, "int8", kernel.shape, data), scales };
}

/** Rows of a table of floats as integers with a scale for each row. False when the table is computed or tiny. */
export function gatherIntegers(emitter: Emitter, node: NodeOf<"gather">): boolean {
  const table = emitter.literal(at(node.inputs, 0));
  if (table === undefined || !(table.data instanceof Float32Array) || node.attributes.axis !== 0) return false;
  const [rows = 1, width = 1, ...more] = table.shape;
  if (more.length > 0 || width < TABLE_ROW) return false;
  const { data, scales } = quantizeWeights(table.data, rows, (index) => Math.floor(index / width));
  const indices = emitter.read(at(node.inputs, 1));
  const stored = emitter.tensor(`${node.name}_table`, "int8", table.shape, data);
  const scale = emitter.store(`${node.name}_scales`, { dtype: "float32", shape: [rows, 1], data: scales });
  const numbers = emitter.node(
    "Cast",
    [emitter.node("Gather", [stored, indices], `${node.name}_row`)],
    `${node.name}_number`,
    {
      to: { int: 1 },
    },
  );
  const factor = emitter.node("Gather", [scale, indices], `${node.name}_scale`);
  emitter.put("Mul", [numbers, factor], [emitter.write(outputOf(node))]);
  return true;
}
