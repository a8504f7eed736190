/**
 * How much of a bare HTTP server's speed is left when it serves a model: requests per second of `modelwright serve`
 * against a node:http server that parses and writes the same JSON. The model is tiny, so what is measured is the path
 * around it. `node bench/serving.ts [SECONDS] [ENGINE]`
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { JSON_LENGTH_HEADER } from "../runtime/serving/infer.ts";
import { writeLinearModel } from "../runtime/serving/testing/models.ts";
import { startServer } from "../runtime/serving/testing/program.ts";
import { HttpConnection } from "./serving/http-connection.ts";
import { type Request, closedLoop } from "./serving/load.ts";

const CONNECTIONS = 32;

/** The floor: reads a JSON body and writes one. */
function serveFloor(): void {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { instances } = JSON.parse(Buffer.concat(chunks).toString()) as { instances: number[][] };
      const body = JSON.stringify({ predictions: instances });
      response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
      response.end(body);
    });
  });
  server.listen(0, "127.0.0.1", () => process.send?.(server.address()));
  process.on("disconnect", () => process.exit());
}

async function main(seconds: number, engine: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), "bench-serving-"));
  const floor = fork(import.meta.filename, ["--floor"]);
  const [{ port }] = (await once(floor, "message")) as [{ port: number }];
  const server = await startServer([await writeLinearModel(join(scratch, "linear")), "--engine", engine]);
  const json = Buffer.from(JSON.stringify({ instances: [[0.1, 2.25, -3, 4]] }));
  const headers = { "Content-Type": "application/json" };
  const input = { name: "x", datatype: "FP32", shape: [1, 4], parameters: { binary_data_size: 16 } };
  const head = Buffer.from(JSON.stringify({ parameters: { binary_data_output: true }, inputs: [input] }));
  const binary = Buffer.concat([head, Buffer.from(new Float32Array([0.1, 2.25, -3, 4]).buffer)]);
  try {
    const requests: [string, number, Request][] = [
      ["bare node:http, JSON", port, { path: "/", body: json, headers }],
      ["predict, JSON", server.port, { path: "/v1/models/linear:predict", body: json, headers }],
      [
        "infer, binary",
        server.port,
        { path: "/v2/models/linear/infer", body: binary, headers: { [JSON_LENGTH_HEADER]: String(head.length) } },
      ],
    ];
    let floorRate = 0;
    for (const [name, at, request] of requests) {
      const clients = Array.from({ length: CONNECTIONS }, () => new HttpConnection(at, request));
      await closedLoop(clients, 1);
      const { rate, p50, p99 } = await closedLoop(clients, seconds);
      for (const client of clients) client.close();
      floorRate ||= rate;
      console.log(
        `${name.padEnd(22)} ${rate.toFixed(0)}/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${(rate / floorRate).toFixed(2)} of bare`,
      );
    }
  } finally {
    floor.disconnect();
    await server.program.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

const [first = "5", engine = "Wasm"] = process.argv.slice(2);
if (first === "--floor") serveFloor();
else await main(Number(first), engine);
