/** Requests over HTTP with what a download needs: checked addresses, few redirects, time limits. */
import { once } from "node:events";
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { Failure } from "../../failure.ts";
import { checkHost, guardedLookup, type Reach } from "./addresses.ts";

export interface Call {
  method?: "GET" | "HEAD";
  headers?: Readonly<Record<string, string>>;
  /** PEM. */
  ca?: string | undefined;
  reach: Reach;
}

const IDLE_MILLISECONDS = 30_000;
const MOST_REDIRECTS = 5;

async function send(url: URL, { method = "GET", headers = {}, ca, reach }: Call): Promise<IncomingMessage> {
  checkHost(url.hostname, reach);
  const secure = url.protocol === "https:";
  const request = (secure ? httpsRequest : httpRequest)(url, {
    method,
    headers: { "user-agent": "modelwright", ...headers },
    lookup: guardedLookup(reach),
    // Through a proxy where the environment names one; it then resolves names.
    agent: new (secure ? HttpsAgent : HttpAgent)({ proxyEnv: process.env }),
    ...(secure && ca !== undefined ? { ca } : {}),
  });
  request.setTimeout(IDLE_MILLISECONDS, () => {
    request.destroy(Object.assign(new Error("no data for 30 seconds"), { code: "ETIMEDOUT" }));
  });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return response;
}

const REDIRECTS = [301, 302, 303, 307, 308];

/**
 * The answer, after at most five redirects; they stay encrypted, and credentials go to the first host only.
 * The caller reads or destroys the body.
 */
export async function call(url: URL, options: Call): Promise<IncomingMessage> {
  let [at, headers] = [url, options.headers ?? {}];
  for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
    const response = await send(at, { ...options, headers });
    const { location } = response.headers;
    if (!REDIRECTS.includes(response.statusCode ?? 0) || location === undefined) return response;
    response.destroy();
    const next = new URL(location, at);
    if (next.protocol !== at.protocol || next.username !== "" || next.password !== "") {
      throw new Failure(
        "AccessDenied",
        `${url.host} redirects to another protocol or with credentials; correct the URI`,
      );
    }
    if (next.host !== at.host) headers = withoutCredentials(headers);
    at = next;
  }
  throw new Failure("AccessDenied", `${url.host} redirects more than ${MOST_REDIRECTS} times; correct the URI`);
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== "authorization"));
}

/** The whole body, of at most `limit` bytes. Throws RangeError. */
export async function bodyOf(response: Readable, limit: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > limit) throw new RangeError(`the answer is longer than ${limit} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
