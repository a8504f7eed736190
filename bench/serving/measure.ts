/** Starts a server on one processor, asks it from the other one, ends it. */
import { type Connection, type Rate, closedLoop } from "./load.ts";
import { GrpcConnection } from "./grpc-connection.ts";
import { HttpConnection } from "./http-connection.ts";
import { computedSeconds, family, megabytes, pinned, start, stop } from "./processes.ts";
import type { Form } from "./requests.ts";
import type { Request } from "./load.ts";
import type { Server } from "./servers.ts";
import { freePorts } from "../../test/cluster/ports.ts";

const START_MILLISECONDS = 120_000;
const WARM_SECONDS = 0.7;

export interface Running {
  readonly pid: number;
  readonly port: number;
  readonly grpcPort: number;
  readonly startSeconds: number;
}

export function connectionTo({ port, grpcPort }: Running, form: Form, request: Request): Connection {
  return form === "grpc" ? new GrpcConnection(grpcPort, request) : new HttpConnection(port, request);
}

/** `request`: by which it is known to answer; HTTP. */
export async function whileRunning<T>(
  server: Server,
  { folder, cores }: { folder: string; cores: number },
  request: Request,
  ask: (running: Running) => Promise<T>,
): Promise<T> {
  const [port = 0, grpcPort = 0] = await freePorts(2);
  const startedAt = performance.now();
  const child = start(pinned(1, cores, server.command(folder, port, grpcPort)));
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-600)));
  try {
    await answering(port, request, () => (child.exitCode === null ? undefined : said));
    return await ask({
      pid: child.pid ?? 0,
      port,
      grpcPort,
      startSeconds: (performance.now() - startedAt) / 1000,
    });
  } finally {
    await stop(child);
  }
}

async function answering(port: number, { path, body, headers }: Request, failed: () => string | undefined) {
  const deadline = performance.now() + START_MILLISECONDS;
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", body, headers }).catch(
      () => undefined,
    );
    const text = await answer?.text();
    if (answer?.status === 200) return;
    const reason = failed();
    if (reason !== undefined) throw new Error(reason);
    if (performance.now() > deadline)
      throw new Error(`no answer in time; the last was ${answer?.status ?? "none"}: ${text?.slice(0, 300)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export interface Throughput extends Rate {
  readonly processorMilliseconds: number;
  readonly megabytes: number;
}

export async function throughput(
  running: Running,
  form: Form,
  request: Request,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<Throughput> {
  const clients = Array.from({ length: connections }, () => connectionTo(running, form, request));
  try {
    await closedLoop(clients, WARM_SECONDS);
    const pids = await family(running.pid);
    const before = await computedSeconds(pids);
    const startedAt = performance.now();
    const rate = await closedLoop(clients, seconds);
    const took = (performance.now() - startedAt) / 1000;
    const computed = (await computedSeconds(pids)) - before;
    return {
      ...rate,
      processorMilliseconds: (computed * 1000) / (rate.rate * took),
      megabytes: await megabytes(pids),
    };
  } finally {
    for (const client of clients) client.close();
  }
}
