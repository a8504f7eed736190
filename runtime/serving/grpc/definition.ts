/** The services of the gRPC port, from the .proto files beside this one. */
import { fileURLToPath } from "node:url";
import type { ServiceDefinition } from "@grpc/grpc-js";
import { type PackageDefinition, loadSync } from "@grpc/proto-loader";

/** The inference service's full name. */
export const INFERENCE = "inference.GRPCInferenceService";

/** 64-bit integers are strings, absent messages are absent, absent lists are empty. */
const FORM = { keepCase: true, longs: String, arrays: true, objects: true, oneofs: true } as const;

/** The package of a .proto file beside this one. */
export function loadProto(file: string): PackageDefinition {
  return loadSync(fileURLToPath(new URL(file, import.meta.url)), FORM);
}

/** The service of that full name. */
export function serviceOf(definition: PackageDefinition, name: string): ServiceDefinition {
  const found = definition[name];
  if (found === undefined || "format" in found) throw new Error(`there is no service ${name}`);
  return found;
}
