/** Writes a graph as an ONNX model. */
import { type GraphFunction, type Node, type Value, nodesFor } from "../graph.ts";
import type { LoweredModel } from "../lowering/model.ts";
import { elementwise } from "./elementwise.ts";
import { dynamic } from "./dynamic.ts";
import { Emitter, NotEmittable, type Ranges, nameOf } from "./emitter.ts";
import { type OnnxModel, type OnnxValue, writeOnnx } from "./file.ts";
import { linear } from "./linear.ts";
import type { Emits, Quantizers } from "./operation.ts";
import { reducing } from "./reducing.ts";
import { shaping } from "./shaping.ts";
import { statically } from "./static.ts";

const emits: Emits = { ...elementwise, ...linear, ...reducing, ...shaping };

/** Weights by name, as they are now. */
export async function weightsOf({ weights }: LoweredModel): Promise<Map<string, Float32Array>> {
  const values = await Promise.all(
    weights.map(async ({ name, variable }) => [name, (await variable.data()) as Float32Array] as const),
  );
  return new Map(values);
}

export type Precision = "Float32" | "Int8Dynamic" | "Int8Static";

export type EmitOptions =
  | { readonly precision: "Float32" | "Int8Dynamic"; readonly ranges?: never }
  /** `ranges`: of the model's values, as `calibrate` finds them. */
  | { readonly precision: "Int8Static"; readonly ranges: Ranges };

const QUANTIZERS: Readonly<Record<Precision, Quantizers>> = {
  Float32: {},
  Int8Dynamic: dynamic,
  Int8Static: statically,
};

/** The model's answer as an ONNX file. Throws NotEmittable for what ONNX does not have. */
export async function emitOnnx(
  model: LoweredModel,
  options: EmitOptions = { precision: "Float32" },
): Promise<Uint8Array<ArrayBuffer>> {
  const { file } = onnxModel(model.answer, await weightsOf(model), options);
  return writeOnnx(file);
}

/** As emitOnnx, in float32, with values of the graph among the outputs: names of outputs by names of values. */
export async function emitObserved(
  model: LoweredModel,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; observed: ReadonlyMap<string, string> }> {
  const { file, emitter } = onnxModel(model.answer, await weightsOf(model), { precision: "Float32" });
  const inputs = new Set(file.inputs.map(({ name }) => name));
  const floats = [...emitter.written()].filter(({ value, name }) => value.dtype === "float32" && !inputs.has(name));
  const outputs = floats.map(({ name }): OnnxValue => ({ name, type: "float32" }));
  return {
    bytes: writeOnnx({ ...file, outputs: [...file.outputs, ...outputs] }),
    observed: new Map(floats.map(({ value, name }) => [nameOf(value), name])),
  };
}

function onnxModel(
  { inputs, outputs }: GraphFunction,
  weights: ReadonlyMap<string, Float32Array>,
  { precision, ranges }: EmitOptions,
): { file: OnnxModel; emitter: Emitter } {
  const nodes = nodesFor(outputs.map(({ value }) => value));
  const emitter = new Emitter(weights, usersOf(nodes, outputs), ranges);
  for (const { name, value } of inputs) emitter.write(value, "last", name);
  for (const node of nodes) write(emitter, node, QUANTIZERS[precision]);
  const written = outputs.map(({ name, value }): OnnxValue => {
    const output = emitter.unique(name);
    emitter.put("Identity", [emitter.read(value)], [output]);
    return { name: output, type: value.dtype, shape: value.shape };
  });
  const file = {
    name: "model",
    inputs: inputs.map(({ name, value }) => ({ name, type: value.dtype, shape: value.shape })),
    outputs: written,
    nodes: emitter.nodes,
    weights: emitter.weights,
  };
  return { file, emitter };
}

type AnyEmit<Result> = ((emitter: Emitter, node: Node) => Result) | undefined;

function write(emitter: Emitter, node: Node, quantizers: Quantizers): void {
  if (["input", "weight", "constant"].includes(node.operation)) return;
  // What is known beforehand is written where it is used.
  if (emitter.isDone(node) || node.outputs.every((output) => emitter.literal(output) !== undefined)) return;
  // The node's operation is the one by which the functions are found.
  const quantize = quantizers[node.operation] as AnyEmit<boolean>;
  if (quantize?.(emitter, node) === true) return;
  const emit = emits[node.operation] as AnyEmit<void>;
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
