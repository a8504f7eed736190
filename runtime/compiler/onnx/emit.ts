/** Writes a graph as an ONNX model. */
import { type GraphFunction, type Node, type Value, nodesFor } from "../graph.ts";
import type { LoweredModel } from "../lowering/model.ts";
import { elementwise } from "./elementwise.ts";
import { Emitter, NotEmittable } from "./emitter.ts";
import { type OnnxModel, type OnnxValue, writeOnnx } from "./file.ts";
import { linear } from "./linear.ts";
import type { Emits } from "./operation.ts";
import { reducing } from "./reducing.ts";
import { shaping } from "./shaping.ts";

const emits: Emits = { ...elementwise, ...linear, ...reducing, ...shaping };

/** Weights by name, as they are now. */
export async function weightsOf({ weights }: LoweredModel): Promise<Map<string, Float32Array>> {
  const values = await Promise.all(
    weights.map(async ({ name, variable }) => [name, (await variable.data()) as Float32Array] as const),
  );
  return new Map(values);
}

/** The model's answer in float32. Throws NotEmittable for what ONNX does not have. */
export async function emitOnnx(model: LoweredModel): Promise<Uint8Array<ArrayBuffer>> {
  return writeOnnx(onnxModel(model.answer, await weightsOf(model)));
}

function onnxModel({ inputs, outputs }: GraphFunction, weights: ReadonlyMap<string, Float32Array>): OnnxModel {
  const nodes = nodesFor(outputs.map(({ value }) => value));
  const emitter = new Emitter(weights, usersOf(nodes, outputs));
  for (const { name, value } of inputs) emitter.write(value, "last", name);
  for (const node of nodes) write(emitter, node);
  const written = outputs.map(({ name, value }): OnnxValue => {
    const output = emitter.unique(name);
    emitter.put("Identity", [emitter.read(value)], [output]);
    return { name: output, type: value.dtype, shape: value.shape };
  });
  return {
    name: "model",
    inputs: inputs.map(({ name, value }) => ({ name, type: value.dtype, shape: value.shape })),
    outputs: written,
    nodes: emitter.nodes,
    weights: emitter.weights,
  };
}

function write(emitter: Emitter, node: Node): void {
  if (["input", "weight", "constant"].includes(node.operation)) return;
  // What is known beforehand is written where it is used.
  if (emitter.isDone(node) || node.outputs.every((output) => emitter.literal(output) !== undefined)) return;
  // The node's operation is the one by which the function is found.
  const emit = emits[node.operation] as ((emitter: Emitter, node: Node) => void) | undefined;
  if (emit === undefined) throw new NotEmittable(`ONNX has nothing for ${node.operation}`);
  emit(emitter, node);
}

function usersOf(nodes: readonly Node[], outputs: GraphFunction["outputs"]): Map<Value, (Node | undefined)[]> {
  const users = new Map<Value, (Node | undefined)[]>();
  const add = (value: Value, user: Node | undefined) => users.set(value, [...(users.get(value) ?? []), user]);
  for (const node of nodes) for (const input of node.inputs) add(input, node);
  for (const { value } of outputs) add(value, undefined);
  return users;
}
