/** HTTP/2 without TLS, as gRPC clients speak it: streams are held, then passed on frame by frame. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { HeldRequest, Refusal } from "./holds.ts";
import { refusalText, RETRY_SECONDS } from "./refusal.ts";

const CONNECT_MILLISECONDS = 2000;
/** gRPC's UNAVAILABLE: clients may try again. */
const UNAVAILABLE = "14";
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

export function heldHttp2(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  portOf: () => number | undefined,
): HeldRequest {
  return {
    timeout: grpcTimeout(headers["grpc-timeout"]),
    forward: (address) => {
      const port = portOf();
      // The model's pods speak no HTTP/2.
      if (port === undefined) return Promise.resolve(refuseHttp2(stream, headers, "the model is not served over gRPC"));
      return forward(stream, headers, `http://${host(address)}:${port}`);
    },
    refuse: (refusal: Refusal) => refuseHttp2(stream, headers, refusalText(refusal)),
  };
}

const host = (address: string): string => (address.includes(":") ? `[${address}]` : address);

/** Milliseconds of a grpc-timeout header such as 500m; undefined where there is none. */
export function grpcTimeout(header: string | string[] | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(header));
  return match === null ? undefined : Number(match[1]) * (UNITS[match[2] ?? ""] ?? 1);
}

function refuseHttp2(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, message: string): "Done" {
  if (stream.destroyed || stream.headersSent) return "Done";
  const isGrpc = String(headers["content-type"]).startsWith("application/grpc");
  const answer: OutgoingHttpHeaders = isGrpc
    ? {
        ":status": 200,
        "content-type": "application/grpc",
        "grpc-status": UNAVAILABLE,
        "grpc-message": encodeURIComponent(message),
      }
    : { ":status": 503, "retry-after": String(RETRY_SECONDS) };
  stream.respond(answer, { endStream: true });
  // What the client still sends is not wanted.
  stream.close(constants.NGHTTP2_NO_ERROR);
  return "Done";
}

async function forward(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  origin: string,
): Promise<"Done" | "Unreached"> {
  if (stream.destroyed) return "Done";
  const session = await reach(origin);
  if (session === undefined) return "Unreached";
  await pass(stream, session.request({ ...headers }, { endStream: stream.readableEnded }), headers);
  session.close();
  return "Done";
}

/** A connection of its own for each stream: there are few, and none outlives its answer. */
function reach(origin: string): Promise<ClientHttp2Session | undefined> {
  return new Promise((resolve) => {
    const session = connect(origin);
    const fail = () => {
      clearTimeout(timer);
      session.destroy();
      resolve(undefined);
    };
    const timer = setTimeout(fail, CONNECT_MILLISECONDS);
    session.once("error", fail);
    session.once("connect", () => {
      clearTimeout(timer);
      session.off("error", fail);
      // The streams hear of it too.
      session.on("error", () => undefined);
      resolve(session);
    });
  });
}

function pass(client: ServerHttp2Stream, pod: ClientHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
  return new Promise((resolve) => {
    let trailers: IncomingHttpHeaders | undefined;
    pod.once("response", (answer, flags) => {
      if (client.destroyed) return;
      const isWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      client.respond(answer, isWhole ? { endStream: true } : { waitForTrailers: true });
      if (!isWhole) pod.pipe(client);
    });
    pod.once("trailers", (last) => {
      trailers = last;
    });
    client.once("wantTrailers", () => {
      if (trailers === undefined) client.close();
      else client.sendTrailers(trailers);
    });
    client.pipe(pod);
    pod.once("error", () => undefined);
    client.once("error", () => undefined);
    pod.once("close", () => {
      if (pod.rstCode === constants.NGHTTP2_NO_ERROR || client.destroyed) return;
      if (client.headersSent) client.close(pod.rstCode);
      else refuseHttp2(client, headers, "the pod closed the connection before it answered");
    });
    client.once("close", () => {
      if (!pod.destroyed) pod.close(client.rstCode === 0 ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
      resolve();
    });
  });
}
