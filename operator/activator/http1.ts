/** HTTP/1.1 requests: held with their bodies still on the way, then passed on as they came. */
import { type ClientRequest, type IncomingMessage, request as ask, type ServerResponse } from "node:http";
import type { HeldRequest, Refusal } from "./holds.ts";
import { refusalText, RETRY_SECONDS } from "./refusal.ts";

/** Headers of one connection; they are not passed on. */
const OWN = new Set(["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]);
const CONNECT_MILLISECONDS = 2000;

export function heldHttp1(request: IncomingMessage, response: ServerResponse, portOf: () => number): HeldRequest {
  return {
    timeout: statedTimeout(request.headers["modelwright-timeout-ms"]),
    forward: (address) => forward(request, response, address, portOf()),
    refuse: (refusal) => refuse(response, refusal),
  };
}

function statedTimeout(header: string | string[] | undefined): number | undefined {
  const milliseconds = Number(header);
  return header !== undefined && milliseconds > 0 ? milliseconds : undefined;
}

function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent || response.destroyed) return;
  const body = JSON.stringify({ error: refusalText(refusal) });
  response.writeHead(503, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "retry-after": String(RETRY_SECONDS),
    connection: "close",
  });
  response.end(body);
}

function forward(
  request: IncomingMessage,
  response: ServerResponse,
  address: string,
  port: number,
): Promise<"Done" | "Unreached"> {
  if (response.destroyed) return Promise.resolve("Done");
  return new Promise((resolve) => {
    let reached = false;
    const { method, url: path } = request;
    const passed = ask({ host: address, port, method, path, headers: passedOn(request.rawHeaders), agent: false });
    const timer = setTimeout(() => passed.destroy(new Error("no connection in time")), CONNECT_MILLISECONDS);
    passed.once("socket", (socket) => {
      socket.once("connect", () => {
        clearTimeout(timer);
        reached = true;
        socket.setNoDelay(true);
        request.pipe(passed);
      });
    });
    const gone = () => passed.destroy();
    response.once("close", gone);
    const end = (outcome: "Done" | "Unreached") => {
      clearTimeout(timer);
      response.off("close", gone);
      resolve(outcome);
    };
    passed.once("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, [...pairs(passedOn(answer.rawHeaders)), "Connection", "close"]);
      answer.pipe(response);
      answer.once("error", () => response.destroy());
    });
    passed.once("error", () => {
      if (reached) broken(response);
      else if (!response.destroyed) return end("Unreached");
      return end("Done");
    });
    response.once("close", () => end("Done"));
    keepQuiet(passed);
  });
}

/** A later error than the first one has nobody left to tell. */
function keepQuiet(request: ClientRequest): void {
  request.on("error", () => undefined);
}

/** The pod has got some of the request, so that nobody else may. */
function broken(response: ServerResponse): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = JSON.stringify({ error: "the pod closed the connection before it answered; try again" });
  response.writeHead(502, { "content-type": "application/json", connection: "close" });
  response.end(body);
}

/** As name, value, name, value: repeated headers stay repeated. */
function passedOn(raw: readonly string[]): string[] {
  const named = raw
    .flatMap((name, index) => (index % 2 === 0 && name.toLowerCase() === "connection" ? [raw[index + 1] ?? ""] : []))
    .flatMap((value) => value.split(",").map((name) => name.trim().toLowerCase()));
  return raw.filter((_, index) => {
    const name = (raw[index - (index % 2)] ?? "").toLowerCase();
    return !OWN.has(name) && !named.includes(name);
  });
}

const pairs = (headers: readonly string[]): string[] => [...headers];
