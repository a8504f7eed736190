/** One bounded question to a pod's own address. Pods are not trusted. */
import { type Connections, textOf } from "../kernel/exchange.ts";

const TIMEOUT_MILLISECONDS = 1000;
const LARGEST_BYTES = 64 * 1024;

export interface Question {
  readonly ip: string;
  readonly port: number;
  readonly path: string;
  /** The connection is not kept for the next question. */
  readonly once?: boolean;
  /** Until the whole answer is there; default 1 s. */
  readonly milliseconds?: number;
  /** Of the answer; default 64 KiB. */
  readonly bytes?: number;
  readonly signal?: AbortSignal;
}

/** The answer as JSON; undefined where there is no good one. Follows no redirect. Never throws. */
export async function askPod(connections: Connections, question: Question): Promise<unknown> {
  const { ip, port, path, once = false, milliseconds = TIMEOUT_MILLISECONDS, bytes = LARGEST_BYTES, signal } = question;
  const host = ip.includes(":") ? `[${ip}]` : ip;
  try {
    const response = await connections.send(`http://${host}:${port}${path}`, {
      method: "GET",
      headers: { accept: "application/json", ...(once ? { connection: "close" } : {}) },
      deadlineMilliseconds: milliseconds,
      ...(signal === undefined ? {} : { signal }),
    });
    const text = await textOf(response, bytes);
    return response.statusCode === 200 ? (JSON.parse(text) as unknown) : undefined;
  } catch {
    // Whatever went wrong, nothing that counts was said.
    return undefined;
  }
}
