/** Refused requests in gRPC's words. */
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { RequestError, type RequestErrorCode } from "../request-error.ts";

const CODES: Readonly<Record<RequestErrorCode, status>> = {
  InvalidRequest: status.INVALID_ARGUMENT,
  Forbidden: status.PERMISSION_DENIED,
  NotFound: status.NOT_FOUND,
  MethodNotAllowed: status.UNIMPLEMENTED,
  SlowRequest: status.DEADLINE_EXCEEDED,
  TooLarge: status.RESOURCE_EXHAUSTED,
  UnsupportedEncoding: status.UNIMPLEMENTED,
  QueueFull: status.RESOURCE_EXHAUSTED,
  Cancelled: status.CANCELLED,
  HeadersTooLarge: status.RESOURCE_EXHAUSTED,
  Internal: status.INTERNAL,
  Unsupported: status.UNIMPLEMENTED,
  NotReady: status.UNAVAILABLE,
  DeadlineExceeded: status.DEADLINE_EXCEEDED,
};

export function serviceErrorOf(error: unknown): StatusObject {
  const metadata = new Metadata();
  if (!(error instanceof RequestError) || error.code === "Internal") {
    return { code: status.INTERNAL, details: "the server failed on this request", metadata };
  }
  const retryAfter = error.headers["Retry-After"];
  // What gRPC's retry policies look for, in milliseconds.
  if (retryAfter !== undefined) metadata.set("grpc-retry-pushback-ms", String(Number(retryAfter) * 1000));
  return { code: CODES[error.code], details: error.message, metadata };
}
