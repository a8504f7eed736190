/** An ONNX model (onnx/onnx.proto) as data, and its bytes. */
import { ProtobufWriter } from "../protobuf.ts";

/** onnx.TensorProto.DataType. */
const TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
} as const;

export type OnnxType = keyof typeof TYPES;

/** Values, row by row; bool is 0 and 1, float16 its bits. */
export interface OnnxTensor {
  readonly name: string;
  readonly type: Exclude<OnnxType, "string">;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** What goes in or comes out. Without shape, it may have any. */
export interface OnnxValue {
  readonly name: string;
  readonly type: OnnxType;
  /** -1 is open; the first dimension that is, is the batch. */
  readonly shape?: readonly number[];
}

export type OnnxAttribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly string: string };

export interface OnnxNode {
  readonly operation: string;
  /** Of operations that are not ONNX's own. */
  readonly domain?: string;
  readonly name: string;
  /** "" is an input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

export interface OnnxModel {
  readonly name: string;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly nodes: readonly OnnxNode[];
  readonly weights: readonly OnnxTensor[];
}

const IR_VERSION = 10;
/** The newest that every ONNX Runtime of the last two years computes. */
export const OPSET = 21;

/** The file: the same model gives the same bytes. */
export function writeOnnx({ name, inputs, outputs, nodes, weights }: OnnxModel): Uint8Array<ArrayBuffer> {
  const graph = new ProtobufWriter();
  for (const node of nodes) graph.message(1, nodeMessage(node));
  graph.string(2, name);
  for (const weight of weights) graph.message(5, tensorMessage(weight));
  for (const value of inputs) graph.message(11, valueMessage(value));
  for (const value of outputs) graph.message(12, valueMessage(value));
  const model = new ProtobufWriter().integer(1, IR_VERSION).string(2, "modelwright").message(7, graph);
  model.message(8, opset("", OPSET));
  const domains = new Set(nodes.map(({ domain = "" }) => domain));
  for (const domain of [...domains].filter((one) => one !== "").sort()) model.message(8, opset(domain, 1));
  return model.finish();
}

function opset(domain: string, version: number): ProtobufWriter {
  return new ProtobufWriter().string(1, domain).integer(2, version);
}

function nodeMessage({ operation, domain, name, inputs, outputs, attributes = {} }: OnnxNode): ProtobufWriter {
  const message = new ProtobufWriter();
  for (const input of inputs) message.string(1, input);
  for (const output of outputs) message.string(2, output);
  message.string(3, name).string(4, operation);
  for (const [key, attribute] of Object.entries(attributes)) message.message(5, attributeMessage(key, attribute));
  if (domain !== undefined) message.string(7, domain);
  return message;
}

/** AttributeProto.AttributeType: FLOAT 1, INT 2, STRING 3, INTS 7. */
function attributeMessage(name: string, attribute: OnnxAttribute): ProtobufWriter {
  const message = new ProtobufWriter().string(1, name);
  if ("float" in attribute) return message.float(2, attribute.float).integer(20, 1);
  if ("int" in attribute) return message.integer(3, attribute.int).integer(20, 2);
  if ("string" in attribute) return message.string(4, attribute.string).integer(20, 3);
  return message.integers(8, attribute.ints).integer(20, 7);
}

function tensorMessage({ name, type, shape, data }: OnnxTensor): ProtobufWriter {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return new ProtobufWriter().integers(1, shape).integer(2, TYPES[type]).string(8, name).bytes(9, bytes);
}

function valueMessage({ name, type, shape }: OnnxValue): ProtobufWriter {
  const tensor = new ProtobufWriter().integer(1, TYPES[type]);
  if (shape !== undefined) {
    const dimensions = new ProtobufWriter();
    for (const [axis, size] of shape.entries()) {
      const open = axis === 0 ? "batch" : `${name}_${axis}`;
      const dimension = new ProtobufWriter();
      dimensions.message(1, size === -1 ? dimension.string(2, open) : dimension.integer(1, size));
    }
    tensor.message(2, dimensions);
  }
  return new ProtobufWriter().string(1, name).message(2, new ProtobufWriter().message(1, tensor));
}
