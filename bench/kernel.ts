/**
 * The kernel's informer and client beside those of client-node, on the same work before one real API server, in
 * alternating order, each time in a fresh process: `node bench/kernel.ts`. Less than two minutes.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { loadConnection } from "../operator/kernel/kube-config.ts";
import { type ApiServer, startApiServer } from "../test/cluster/apiserver.ts";
import { faults, patience, recovery } from "./kernel/recovery.ts";
import { type Contender, type ListResult, type Order, serveOrder, type WriteResult } from "./kernel/work.ts";

const ROUNDS = 3;
const LISTED = 2000;
const WRITTEN = 500;
const BYTES = 2000;

/** Passes bytes to the API server, and counts the connections (each with a TLS handshake of its own). */
async function startRelay(url: string) {
  const port = Number(new URL(url).port);
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    const upstream = connect(port, "127.0.0.1");
    socket.on("error", () => upstream.destroy());
    upstream.on("error", () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { address, count: () => connections, stop: () => server.close() };
}

async function inProcess<Result>(order: Order): Promise<Result> {
  const child = fork(import.meta.filename, ["--child"], { execArgv: ["--expose-gc"] });
  const ended = once(child, "exit");
  child.send(order);
  const first = await Promise.race([once(child, "message"), ended]);
  await ended;
  if (child.exitCode !== 0) throw new Error(`${order.contender} failed to ${order.task}`);
  return first[0] as Result;
}

async function fill(server: ApiServer): Promise<string> {
  const namespace = await server.namespace("bench");
  let next = 0;
  const lane = async () => {
    for (let index = next++; index < LISTED; index = next++) {
      const body = {
        metadata: { name: `object-${index}`, labels: { app: "bench" } },
        data: { text: "x".repeat(BYTES) },
      };
      await server.api.post(`/api/v1/namespaces/${namespace}/configmaps`, body);
    }
  };
  await Promise.all(Array.from({ length: 20 }, lane));
  return namespace;
}

const median = (values: readonly number[]): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;

type Measures<Name extends string> = Record<Name, number>;

/** The median of each measure, by contender; contenders take turns, in another order each round. */
async function rounds<Name extends string>(
  contenders: readonly Contender[],
  run: (contender: Contender) => Promise<Measures<Name>>,
): Promise<(contender: Contender, measure: Name) => number> {
  const results = new Map<Contender, Measures<Name>[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      results.set(contender, [...(results.get(contender) ?? []), await run(contender)]);
    }
  }
  return (contender, measure) => median((results.get(contender) ?? []).map((result) => result[measure]));
}

function row(what: string, ours: number, theirs: number, digits: number, projected?: number) {
  return {
    what,
    kernel: ours.toFixed(digits),
    "kernel, projected": projected === undefined ? "" : projected.toFixed(digits),
    "client-node": theirs.toFixed(digits),
    "client-node / kernel": (theirs / ours).toFixed(2),
  };
}

async function compareLists(kubeconfig: string, namespace: string) {
  const contenders = ["kernel", "kernel, projected", "client-node"] as const;
  const of = await rounds(contenders, (contender) =>
    inProcess<ListResult & Measures<keyof ListResult>>({
      task: "list",
      contender,
      kubeconfig,
      namespace,
      count: LISTED,
    }),
  );
  const line = (what: string, measure: keyof ListResult, digits: number) =>
    row(what, of("kernel", measure), of("client-node", measure), digits, of("kernel, projected", measure));
  return [
    line(`list ${LISTED} objects: ms`, "milliseconds", 0),
    line("  event loop late, p99 ms", "delayP99", 1),
    line("  event loop late, at most ms", "delayMax", 1),
    line("  event loop held, at most processor ms", "hold", 1),
    line("  RSS grows, MiB", "rss", 1),
    line("  heap grows, MiB", "heap", 1),
  ];
}

async function compareWrites(server: ApiServer, kubeconfig: string, connections: () => number) {
  const of = await rounds(["kernel", "client-node"], async (contender) => {
    const before = connections();
    const namespace = await server.namespace("bench");
    const result = await inProcess<WriteResult>({ task: "write", contender, kubeconfig, namespace, count: WRITTEN });
    return { ...result, connections: connections() - before };
  });
  const line = (what: string, measure: keyof WriteResult | "connections", digits: number) =>
    row(what, of("kernel", measure), of("client-node", measure), digits);
  return [
    line(`${WRITTEN} creates and ${WRITTEN} patches: requests/s`, "requestsPerSecond", 0),
    line("  TLS connections opened", "connections", 0),
    line("  processor ms a request", "cpu", 2),
  ];
}

const shown = (seconds: number | undefined): string =>
  seconds === undefined ? `not in ${patience}` : seconds.toFixed(2);

async function compareRecoveries(server: ApiServer) {
  const connection = await loadConnection({ kubeconfig: server.kubeconfig });
  return Promise.all(
    faults.map(async (fault) => {
      const [ours, theirs] = await Promise.all([
        recovery(server, connection, "kernel", fault),
        recovery(server, connection, "client-node", fault),
      ]);
      return {
        what: `watch meets one ${fault}: s to the next sight`,
        kernel: shown(ours),
        "client-node": shown(theirs),
      };
    }),
  );
}

async function main(): Promise<void> {
  const started = performance.now();
  const server = await startApiServer();
  const relay = await startRelay(server.url);
  try {
    const namespace = await fill(server);
    const kubeconfig = join(server.state, "relay.kubeconfig");
    await writeFile(kubeconfig, (await readFile(server.kubeconfig, "utf8")).replace(server.url, relay.address));
    const rows = [
      ...(await compareLists(kubeconfig, namespace)),
      ...(await compareWrites(server, kubeconfig, relay.count)),
      ...(await compareRecoveries(server)),
    ];
    console.table(Object.fromEntries(rows.map(({ what, ...figures }) => [what, figures])));
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(`Medians of ${ROUNDS} rounds; objects of ${BYTES} bytes. Took ${seconds} s.`);
  } finally {
    relay.stop();
    await server.stop();
  }
}

await (process.argv.includes("--child") ? serveOrder() : main());
