/** The answer of a gRPC inference call as values that can be compared, whatever its form on the wire. Pure. */
import type { InferResponseMessage } from "../grpc/infer-message.ts";
import { isObject } from "../json.ts";
import { valuesOf } from "./http-answer.ts";

export function comparableMessage({ outputs, raw_output_contents: raws }: InferResponseMessage): unknown {
  return outputs.filter(isObject).map(({ name, datatype, shape, contents }, index) => {
    const raw = raws[index];
    const form = { name, datatype, shape: Array.isArray(shape) ? shape.map(Number) : [] };
    const values = raw === undefined ? listOf(contents) : valuesOf(String(datatype), new Uint8Array(raw));
    return { ...form, values };
  });
}

/** Of its typed lists one is filled; numbers that no number holds are texts. */
function listOf(contents: unknown): unknown[] {
  if (!isObject(contents)) return [];
  const filled = Object.values(contents).find((values) => Array.isArray(values) && values.length > 0);
  if (!Array.isArray(filled)) return [];
  return filled.map((value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
    return typeof value === "string" ? value : Number(value);
  });
}
