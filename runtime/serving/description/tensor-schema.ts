/** Tensors in JSON Schema, and values that fit. */
import type { Datatype, TensorSpec } from "../tensor.ts";

type Json = Readonly<Record<string, unknown>>;

/** Flat or in lists of its shape. */
export const ANY_TENSOR: Json = { type: "array", items: {} };

const BYTES: Json = {
  oneOf: [
    { type: "string" },
    { type: "object", properties: { b64: { type: "string" } }, required: ["b64"], additionalProperties: false },
  ],
};

/** Nested lists, as TensorFlow Serving's calls take and give them. */
export function tensorSchema({ datatype, shape: [size, ...rest] }: TensorSpec): Json {
  if (size === undefined) return scalarSchema(datatype);
  const items = tensorSchema({ name: "", datatype, shape: rest });
  return { type: "array", items, ...(size === -1 ? { minItems: 1 } : { minItems: size, maxItems: size }) };
}

function scalarSchema(datatype: Datatype): Json {
  if (datatype === "BYTES") return BYTES;
  if (datatype === "BOOL") return { type: "boolean" };
  return { type: datatype.includes("INT") ? "integer" : "number" };
}

/** Zeros of that shape; one, where it may have any size. */
export function tensorExample({ datatype, shape: [size, ...rest] }: TensorSpec): unknown {
  if (size === undefined) return datatype === "BYTES" ? "text" : datatype === "BOOL" ? false : 0;
  const item = tensorExample({ name: "", datatype, shape: rest });
  return Array.from({ length: size === -1 ? 1 : size }, () => item);
}
