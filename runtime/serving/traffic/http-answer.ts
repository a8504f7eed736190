/** The answer of an inference call as values that can be compared, whatever its form on the wire. Pure. */
import type { Reply } from "../calls.ts";
import { JSON_LENGTH_HEADER } from "../infer.ts";
import { isObject, parseLenientJson } from "../json.ts";

type View = new (buffer: ArrayBuffer) => ArrayBufferView;

const VIEWS: Readonly<Record<string, View>> = {
  FP32: Float32Array,
  FP64: Float64Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
};

export function comparable({ headers, body }: Reply): unknown {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const length = header(headers, JSON_LENGTH_HEADER);
  try {
    if (length === undefined) return parseLenientJson(bytes.toString());
    const document = parseLenientJson(bytes.subarray(0, Number(length)).toString());
    return { document, tensors: tensorsOf(document, bytes.subarray(Number(length))) };
  } catch {
    return bytes;
  }
}

function tensorsOf(document: unknown, bytes: Buffer): ArrayBufferView[] {
  const outputs = isObject(document) && Array.isArray(document["outputs"]) ? document["outputs"] : [];
  let start = 0;
  return outputs.filter(isObject).flatMap(({ datatype, parameters }) => {
    const size = isObject(parameters) ? Number(parameters["binary_data_size"]) : Number.NaN;
    if (!Number.isSafeInteger(size)) return [];
    const own = new Uint8Array(bytes.subarray(start, start + size));
    start += size;
    return [valuesOf(String(datatype), own)];
  });
}

/** A tensor's bytes, aligned, as its values; as bytes where they are no numbers that can be compared. */
export function valuesOf(datatype: string, bytes: Uint8Array<ArrayBuffer>): ArrayBufferView {
  const view = VIEWS[datatype];
  return view === undefined ? bytes : new view(bytes.buffer);
}

function header(headers: Reply["headers"], name: string): string | undefined {
  const key = Object.keys(headers).find((candidate) => candidate.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : headers[key];
}
