/** ModelInfer's messages to tensors and back. Pure. */
import { type TensorEntry, inSignatureOrder, outputNames, readTensor } from "../infer.ts";
import { refuse } from "../request-error.ts";
import { type Datatype, type Signature, type Tensor, isNumeric } from "../tensor.ts";
import { isBinaryOnly, numbersOf, toBinary } from "../wire.ts";

interface ParameterMessage {
  readonly parameter_choice?: "bool_param" | "int64_param" | "string_param" | "double_param" | "uint64_param";
  readonly [choice: string]: unknown;
}

type Contents = Readonly<Record<string, readonly unknown[] | undefined>>;

interface InputMessage {
  readonly name?: string;
  readonly datatype?: string;
  readonly shape: readonly string[];
  readonly contents?: Contents;
}

export interface InferRequestMessage {
  readonly model_name?: string;
  readonly model_version?: string;
  readonly id?: string;
  readonly parameters?: Readonly<Record<string, ParameterMessage>>;
  readonly inputs: readonly InputMessage[];
  readonly outputs: readonly { readonly name?: string }[];
  readonly raw_input_contents: readonly Buffer[];
}

export interface InferResponseMessage {
  readonly model_name: string;
  readonly model_version: string;
  readonly id: string;
  readonly outputs: readonly object[];
  readonly raw_output_contents: readonly Buffer[];
}

export interface GrpcInferRequest {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly string[];
  /** Tensors came as bytes, and go back so. */
  readonly raw: boolean;
  readonly timeoutMicroseconds?: number | undefined;
}

/** Which typed field holds a datatype. */
const FIELDS: Readonly<Record<Exclude<Datatype, "FP16" | "BF16">, string>> = {
  BOOL: "bool_contents",
  UINT8: "uint_contents",
  UINT16: "uint_contents",
  UINT32: "uint_contents",
  UINT64: "uint64_contents",
  INT8: "int_contents",
  INT16: "int_contents",
  INT32: "int_contents",
  INT64: "int64_contents",
  FP32: "fp32_contents",
  FP64: "fp64_contents",
  BYTES: "bytes_contents",
};
const BIG_FIELDS: ReadonlySet<string> = new Set(["int64_contents", "uint64_contents"]);

/** Throws RequestError InvalidRequest. */
export function readInferMessage(message: InferRequestMessage, model: string, signature: Signature): GrpcInferRequest {
  const { inputs, raw_input_contents: raws } = message;
  if (raws.length > 0 && raws.length !== inputs.length) {
    refuse(
      `the number of inputs (${inputs.length}) does not match the expected number of raw input contents (${raws.length}) for model '${model}'.`,
    );
  }
  const tensors = inputs.map((input, index) => readInput(input, raws[index], model, signature));
  return {
    inputs: inSignatureOrder(tensors, model, signature),
    outputs: outputNames(
      message.outputs.map(({ name = "" }) => name),
      model,
      signature,
    ),
    raw: raws.length > 0,
    timeoutMicroseconds: readTimeout(message.parameters?.["timeout"]),
  };
}

function readInput(input: InputMessage, raw: Buffer | undefined, model: string, signature: Signature): Tensor {
  const { name = "", datatype = "", contents } = input;
  const filled = Object.entries(contents ?? {}).filter(([, values]) => (values?.length ?? 0) > 0);
  const entry: TensorEntry = { name, datatype, shape: input.shape.map(Number) };
  if (raw !== undefined) {
    if (filled.length > 0) {
      refuse(
        `contents field must not be specified when using raw_input_contents for input '${name}' for model '${model}'`,
      );
    }
    return readTensor(entry, raw, model, signature);
  }
  const field = Object.hasOwn(FIELDS, datatype) ? FIELDS[datatype as keyof typeof FIELDS] : undefined;
  const other = filled.find(([key]) => key !== field);
  if (other !== undefined) {
    refuse(
      `input '${name}' has datatype ${datatype}, whose values belong into ${field ?? "raw_input_contents"}, not ${other[0]}`,
    );
  }
  const [, values = []] = filled[0] ?? [];
  const data = field !== undefined && BIG_FIELDS.has(field) ? values.map((value) => BigInt(String(value))) : values;
  return readTensor({ ...entry, data }, undefined, model, signature);
}

function readTimeout(parameter: ParameterMessage | undefined): number | undefined {
  if (parameter === undefined) return undefined;
  const value = Number(parameter[parameter.parameter_choice ?? ""]);
  const whole = parameter.parameter_choice === "int64_param" || parameter.parameter_choice === "uint64_param";
  if (!whole || value < 0) refuse("parameter 'timeout' must be a whole number of microseconds");
  return value === 0 ? undefined : value;
}

export interface Answering {
  readonly model: string;
  /** As the client asked for it. */
  readonly version: string;
  readonly id: string;
}

/** Outputs in the order asked for; as bytes when the inputs came so, or when one of them has no other form. */
export function writeInferMessage(
  { model, version, id }: Answering,
  request: Pick<GrpcInferRequest, "outputs" | "raw">,
  tensors: readonly Tensor[],
): InferResponseMessage {
  const outputs = request.outputs.flatMap((name) => tensors.find((tensor) => tensor.name === name) ?? []);
  const raw = request.raw || outputs.some(({ datatype }) => isBinaryOnly(datatype));
  return {
    model_name: model,
    model_version: version,
    id,
    outputs: outputs.map((tensor) => {
      const { name, datatype, shape } = tensor;
      return { name, datatype, shape, ...(raw ? {} : { contents: contentsOf(tensor) }) };
    }),
    raw_output_contents: raw ? outputs.map(({ data }) => toBinary(data)) : [],
  };
}

function contentsOf({ datatype, data }: Tensor): Contents {
  const field = FIELDS[datatype as keyof typeof FIELDS];
  if (!isNumeric(data)) return { [field]: data };
  const numbers = Array.from(numbersOf(data, datatype));
  if (BIG_FIELDS.has(field)) return { [field]: numbers.map(String) };
  return { [field]: datatype === "BOOL" ? numbers.map(Boolean) : numbers };
}
