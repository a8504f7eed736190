/** By what a request is found again: its own id, and the trace that it belongs to. */
import { randomUUID } from "node:crypto";

/** Header, or metadata of a gRPC call. */
export const REQUEST_ID = "x-request-id";
/** W3C Trace Context: https://www.w3.org/TR/trace-context/ */
export const TRACE_PARENT = "traceparent";

export interface RequestIdentity {
  /** The client's, if it is fit for logs; else one of our own. */
  readonly requestId: string;
  /** Of the trace that the client has begun; 32 hex digits. */
  readonly traceId?: string;
  /** The client's own span in it; 16 hex digits. */
  readonly parentSpanId?: string;
}

const FIT = /^[A-Za-z0-9._:/+=-]{1,128}$/;
/** Later versions may have more after the flags. */
const PARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/;

export function identityOf(header: (name: string) => string | undefined): RequestIdentity {
  const given = header(REQUEST_ID);
  const requestId = given !== undefined && FIT.test(given) ? given : randomUUID();
  const [, traceId, parentSpanId] = PARENT.exec(header(TRACE_PARENT) ?? "") ?? [];
  return traceId === undefined || parentSpanId === undefined ? { requestId } : { requestId, traceId, parentSpanId };
}
