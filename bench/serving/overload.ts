/** Ours, with a batch that takes 10 ms and more, asked for 2, 5 and 10 times what it can do; and what `/livez` takes then. */
import { HttpConnection } from "./http-connection.ts";
import { type Connection, type Request, closedLoop, openLoop, quantile } from "./load.ts";
import { whileRunning } from "./measure.ts";
import { ours } from "./servers.ts";

/** As many clients as fill a batch while another one is computed, so that the most is found. */
const CLIENTS = 192;
const PROBE_MILLISECONDS = 20;

const request: Request = {
  path: "/v1/models/m:predict",
  body: Buffer.from('{"instances":[[0.1,2.25,-3,4]]}'),
  headers: { "Content-Type": "application/json" },
};

/** Asks whether the server lives until told to end; milliseconds that answers took, ascending. */
function probing(port: number): () => Promise<number[]> {
  const times: number[] = [];
  const controller = new AbortController();
  const loop = (async () => {
    while (!controller.signal.aborted) {
      const askedAt = performance.now();
      const answer = await fetch(`http://127.0.0.1:${port}/v2/health/live`).catch(() => undefined);
      await answer?.arrayBuffer();
      times.push(answer?.status === 200 ? performance.now() - askedAt : Infinity);
      await new Promise((resolve) => setTimeout(resolve, PROBE_MILLISECONDS));
    }
  })();
  return async () => {
    controller.abort();
    await loop;
    return times.sort((a, b) => a - b);
  };
}

export async function overload(folder: string, { seconds, cores }: { seconds: number; cores: number }): Promise<void> {
  await whileRunning(ours("ONNX Runtime", "OnnxRuntime"), { folder, cores }, request, async ({ port }) => {
    const open = (): Connection => new HttpConnection(port, request);
    const clients = Array.from({ length: CLIENTS }, open);
    await closedLoop(clients, 1);
    const { rate } = await closedLoop(clients, seconds);
    for (const client of clients) client.close();
    console.log(
      "| overload | offered/s | answered/s | of the most | p99 ms | refused | refused in, p50 / p99 ms | failed | live in, p99 ms |",
    );
    console.log("|---|---|---|---|---|---|---|---|---|");
    console.log(`| none | | ${rate.toFixed(0)} | 1.00 | | | | | |`);
    for (const factor of [2, 5, 10]) {
      const end = probing(port);
      const found = await openLoop(open, rate * factor, seconds);
      const live = quantile(await end(), 0.99);
      const cells = [
        found.offered.toFixed(0),
        found.good.toFixed(0),
        (found.good / rate).toFixed(2),
        found.goodP99.toFixed(0),
        found.refused.toFixed(2),
        `${found.refusedP50.toFixed(1)} / ${found.refusedP99.toFixed(1)}`,
        String(found.failed),
        live.toFixed(1),
      ];
      console.log(`| ${[`${factor}x`, ...cells].join(" | ")} |`);
    }
  });
}
