/** ONNX models, computed by ONNX Runtime. */
import { lstat, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type OnnxTensor, type OnnxType, onnxTensor, openOnnx } from "../engine/onnx-runtime.ts";
import { Failure } from "../failure.ts";
import { type OnnxFile, readOnnx } from "../formats/onnx/model-file.ts";
import { ONNX_FILE } from "../formats/model.ts";
import { unsupported } from "../formats/unsupported.ts";
import type { Executor } from "./executor.ts";
import type { ModelToLoad } from "./inference-engine.ts";
import { type Datatype, type Signature, type Tensor, type TensorData, elements, isNumeric, newData } from "./tensor.ts";

const TYPES: Partial<Record<Datatype, OnnxType>> = {
  FP32: "float32",
  FP64: "float64",
  FP16: "float16",
  INT64: "int64",
  INT32: "int32",
  INT16: "int16",
  INT8: "int8",
  UINT64: "uint64",
  UINT32: "uint32",
  UINT16: "uint16",
  UINT8: "uint8",
  BOOL: "bool",
  BYTES: "string",
};

/** A protobuf message is no larger; larger models keep their weights in files beside it. */
const FILE_LIMIT = 2 ** 31 - 1;

/** Loads `model.onnx` of the folder. Throws Failure: ModelUnsupported, InputMissing, InvalidSpec. */
export async function openOnnxFolder({ dir, shownAs, threads }: ModelToLoad): Promise<Executor> {
  const path = join(dir, ONNX_FILE);
  const name = `${shownAs}/${ONNX_FILE}`;
  const { size } = await stat(path);
  if (size > FILE_LIMIT) throw unsupported(name, `has ${size} bytes; keep the weights in files beside it`);
  const bytes = await readFile(path);
  const file = readOnnx(bytes, name);
  await checkExternal(file, dir, name);
  // What was checked is what is loaded; only weights beside it need the path.
  return openOnnxModel(file.external.length > 0 ? path : bytes, file, name, threads);
}

/** A model that was read and checked. Throws Failure. */
export async function openOnnxModel(
  model: Uint8Array | string,
  file: OnnxFile,
  shownAs: string,
  threads?: number,
): Promise<Executor> {
  const session = await openOnnx(model, shownAs, { threads });
  const names = file.outputs.map(({ name }) => name);
  const compute = async (inputs: readonly Tensor[]): Promise<Tensor[]> => {
    const given = Object.fromEntries(inputs.map((input) => [input.name, toOnnx(input)]));
    const results = await session.run(given, names).catch(refuseRun);
    return file.outputs.map(({ name, datatype }) => fromOnnx(name, datatype, results[name]));
  };
  const signature = await completed(file, compute);
  const why = "it is an ONNX model";
  return { signature, format: "Onnx", engine: "OnnxRuntime", device: "CPU", why, infer: compute };
}

/** Every part of another file must be in it, and that must be a file of the folder and no link to elsewhere. */
async function checkExternal({ external }: OnnxFile, dir: string, shownAs: string): Promise<void> {
  const sizes = new Map<string, number>();
  for (const { location, offset, length } of external) {
    const segments = location.split("/").map((_, index, all) => join(dir, ...all.slice(0, index + 1)));
    for (const path of sizes.has(location) ? [] : segments) {
      const info = await lstat(path).catch(() => undefined);
      const isLast = path === segments.at(-1);
      if (info === undefined || !(isLast ? info.isFile() : info.isDirectory())) {
        throw unsupported(shownAs, `weights are to lie in ${location}, which is no file in the model's folder`);
      }
      if (isLast) sizes.set(location, info.size);
    }
    if (offset + length > (sizes.get(location) ?? 0)) {
      throw unsupported(shownAs, `weights are to lie in ${location} up to byte ${offset + length}, where it has fewer`);
    }
  }
}

/** Where the file tells no shape of an output, two computations on zeros tell it: what differs is open. */
async function completed(
  { inputs, outputs }: OnnxFile,
  compute: (inputs: readonly Tensor[]) => Promise<Tensor[]>,
): Promise<Signature> {
  if (outputs.every(({ shape }) => shape !== undefined)) return { inputs, outputs: outputs as Signature["outputs"] };
  const zeros = (open: number): Tensor[] =>
    inputs.map(({ name, datatype, shape }) => {
      const filled = shape.map((size) => (size === -1 ? open : size));
      return { name, datatype, shape: filled, data: newData(datatype, elements(filled)) };
    });
  const [one, two] = [await compute(zeros(1)), await compute(zeros(2))];
  return {
    inputs,
    outputs: outputs.map(({ name, datatype }, index) => ({
      name,
      datatype,
      shape: (one[index]?.shape ?? []).map((size, axis) => (two[index]?.shape[axis] === size ? size : -1)),
    })),
  };
}

function toOnnx({ name, datatype, shape, data }: Tensor): OnnxTensor {
  const type = TYPES[datatype];
  if (type === undefined) throw new Failure("DataRejected", `input ${name}: ${datatype} has no form in ONNX Runtime`);
  if (isNumeric(data)) return onnxTensor(type, data, shape);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    return onnxTensor(
      type,
      data.map((bytes) => decoder.decode(bytes)),
      shape,
    );
  } catch (cause) {
    throw new Failure("DataRejected", `input ${name} holds bytes that are no UTF-8, which ONNX's strings are`, {
      cause,
    });
  }
}

function fromOnnx(name: string, datatype: Datatype, tensor: OnnxTensor | undefined): Tensor {
  if (tensor === undefined) throw new Error(`the model gave no output ${name}`);
  const { dims: shape, data } = tensor;
  return { name, datatype, shape, data: tensorData(data) };
}

function tensorData(data: OnnxTensor["data"]): TensorData {
  if (Array.isArray(data)) return data.map((text) => new TextEncoder().encode(text));
  // Where JavaScript has an array of halves, it is one, which the types do not say; here they are kept as bits.
  const halves: unknown = data;
  if (halves instanceof Float16Array) {
    return new Uint16Array(halves.buffer as ArrayBuffer, halves.byteOffset, halves.length);
  }
  // By the datatype one of the arrays of TensorData.
  return data as TensorData;
}

const INPUTS_AT_FAULT =
  /out of data bounds|out of bounds|INVALID_ARGUMENT|invalid (expand )?(rank|dimension|shape)|cannot be reshaped|mismatch|incompatible|BroadcastIterator/i;

/** ONNX Runtime tells what it could not compute in words only. */
function refuseRun(cause: unknown): never {
  const message = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0]?.slice(0, 400) ?? "";
  if (/failed to allocate memory|bad_alloc/i.test(message)) {
    throw new Failure("OutOfMemory", `${message}; raise resources.limits.memory or send smaller batches`, { cause });
  }
  throw new Failure(INPUTS_AT_FAULT.test(message) ? "DataRejected" : "InternalError", message, { cause });
}
