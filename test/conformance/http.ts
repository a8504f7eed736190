/** One HTTP exchange over a real socket, without a client library's help. */
import { type Agent, type IncomingHttpHeaders, request as httpRequest } from "node:http";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Ask {
  readonly method?: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
}

/** GET, or POST when there is a body. */
export function ask(url: string, { method, body, headers = {}, agent }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
    const options = { method: method ?? (body === undefined ? "GET" : "POST"), headers: { ...length, ...headers } };
    const request = httpRequest(url, { ...options, ...(agent && { agent }) }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** The body of an answer as strict JSON. */
export function parsed(answer: Answer): unknown {
  return JSON.parse(answer.body.toString());
}
