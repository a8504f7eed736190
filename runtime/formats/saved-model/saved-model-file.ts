/**
 * What a SavedModel says of itself (tensorflow/core/protobuf/saved_model.proto and meta_graph.proto), without an engine:
 * the signatures by which it is called. Its graph is not looked at.
 */
import type { ArtefactManifest, Datatype, Tensor } from "../../../crds/contract/artefact.ts";
import { type Field, ProtobufSyntaxError, fieldsOf, textOf } from "../onnx/protobuf-reader.ts";
import { unsupported } from "../unsupported.ts";

/** Which of its graphs is served, by TensorFlow's convention. */
export const SERVING_TAG = "serve";
/** The signature that clients mean when they name none. */
const DEFAULT_SIGNATURE = "serving_default";
const INTERNAL = new Set(["__saved_model_init_op", "__saved_model_train_op"]);

/** tensorflow/core/framework/types.proto: what tfjs-node can hand over in both directions. */
const DATATYPES: Readonly<Record<number, Datatype>> = { 1: "FP32", 3: "INT32", 9: "INT64", 10: "BOOL" };

type Signature = ArtefactManifest["signature"];

export interface SavedModelFile {
  /** The name of the one that clients mean when they name none. */
  readonly served: string;
  readonly signatures: Readonly<Record<string, Signature>>;
}

/** Throws Failure ModelUnsupported naming what is wrong. */
export function readSavedModel(bytes: Uint8Array, shownAs: string): SavedModelFile {
  try {
    const found = definitions(bytes, shownAs);
    const served = servedOf([...found.keys()], shownAs);
    const read = [...found].map(([name, definition]) => [name, signatureOf(name, definition, shownAs)]);
    return { served, signatures: Object.fromEntries(read) as Record<string, Signature> };
  } catch (error) {
    if (!(error instanceof ProtobufSyntaxError)) throw error;
    throw unsupported(shownAs, `is no SavedModel (${error.message}); export it again`, error);
  }
}

function servedOf(names: readonly string[], shownAs: string): string {
  const [only] = names;
  if (names.includes(DEFAULT_SIGNATURE)) return DEFAULT_SIGNATURE;
  if (names.length === 1 && only !== undefined) return only;
  throw unsupported(
    shownAs,
    `has no signature ${DEFAULT_SIGNATURE}, but ${names.join(", ") || "none"}; export it with that one`,
  );
}

/** SignatureDef: inputs 1, outputs 2. */
function signatureOf(name: string, definition: Uint8Array, shownAs: string): Signature {
  const tensors = (field: number) =>
    entries(definition, field)
      .map(([key, info]) => tensor(key, info, shownAs))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  const signature = { inputs: tensors(1), outputs: tensors(2) };
  if (signature.outputs.length === 0)
    throw unsupported(shownAs, `signature ${name} has no outputs; export it with some`);
  return signature;
}

/** SavedModel: meta_graphs 2. MetaGraphDef: meta_info_def 1 with tags 4, signature_def 5. */
function definitions(bytes: Uint8Array, shownAs: string): Map<string, Uint8Array> {
  const graphs = messages(bytes, 2);
  const served = graphs.find((graph) => {
    const tags = messages(graph, 1).flatMap((info) => fields(info, 4).map(textOf));
    return tags.length === 1 && tags[0] === SERVING_TAG;
  });
  if (served === undefined) throw unsupported(shownAs, `has no graph with the tag ${SERVING_TAG}; export it with that`);
  return new Map(entries(served, 5).filter(([name]) => !INTERNAL.has(name)));
}

/** TensorInfo: name 1, dtype 2, tensor_shape 3. TensorShapeProto: dim 2 with size 1, unknown_rank 3. */
function tensor(name: string, info: Uint8Array, shownAs: string): Tensor {
  const type = Number(fields(info, 2)[0]?.integer ?? 0n);
  const datatype = DATATYPES[type];
  if (datatype === undefined) {
    throw unsupported(
      shownAs,
      `tensor ${name} has TensorFlow's datatype ${type}; only float32, int32, int64 and bool can be served, cast it`,
    );
  }
  const [shape] = messages(info, 3);
  if (shape === undefined || fields(shape, 3).some(({ integer }) => integer === 1n)) {
    throw unsupported(shownAs, `tensor ${name} has no known number of dimensions; export it with a shape`);
  }
  const sizes = messages(shape, 2).map((dim) => Number(BigInt.asIntN(64, fields(dim, 1)[0]?.integer ?? 0n)));
  return { name, datatype, shape: sizes };
}

function fields(message: Uint8Array, wanted: number): Field[] {
  return [...fieldsOf(message)].filter(({ number }) => number === wanted);
}

function messages(message: Uint8Array, wanted: number): Uint8Array[] {
  return fields(message, wanted).map(({ bytes = new Uint8Array() }) => bytes);
}

/** A map is a list of messages with key 1 and value 2. */
function entries(message: Uint8Array, wanted: number): [string, Uint8Array][] {
  return messages(message, wanted).map((entry) => [
    fields(entry, 1).map(textOf)[0] ?? "",
    messages(entry, 2)[0] ?? new Uint8Array(),
  ]);
}
