import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { HttpProber } from "./prober.ts";

let server: Server;
let prober: HttpProber;
let answer: RequestListener;

const REPORT = { kind: "ServingProgress", revision: "digits-1", state: "Serving", model: { uri: "pvc://a/b" } };

beforeEach(async () => {
  server = createServer((request, response) => answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  prober = new HttpProber((server.address() as AddressInfo).port);
});
afterEach(async () => {
  await prober.close();
  server.closeAllConnections();
  server.close();
});

describe("asking a pod", () => {
  it("gives its report", async () => {
    answer = (request, response) => response.end(request.url === "/progress" ? JSON.stringify(REPORT) : "");
    expect(await prober.probe("127.0.0.1")).toEqual(REPORT);
  });

  it.each<{ what: string; how: RequestListener }>([
    { what: "a redirect", how: (_, response) => response.writeHead(302, { location: "/progress?again" }).end() },
    { what: "an error", how: (_, response) => response.writeHead(500).end(JSON.stringify(REPORT)) },
    { what: "no JSON", how: (_, response) => response.end("<html>") },
    { what: "an unknown field", how: (_, response) => response.end(JSON.stringify({ ...REPORT, extra: 1 })) },
    {
      what: "a number that is none",
      how: (_, response) => response.end(JSON.stringify({ ...REPORT, loadSeconds: 0 }).replace(":0", ":1e999")),
    },
    {
      what: "more than 64 KiB",
      how: (_, response) => response.end(JSON.stringify({ ...REPORT, device: "x".repeat(70_000) })),
    },
    { what: "more than it says", how: (_, response) => response.write(" ".repeat(100_000)) },
    { what: "nothing, for long", how: () => undefined },
  ])("gives nothing when the answer is $what", async ({ how }) => {
    answer = how;
    expect(await prober.probe("127.0.0.1")).toBeUndefined();
  });

  it("follows no redirect", async () => {
    const paths: (string | undefined)[] = [];
    answer = (request, response) => {
      paths.push(request.url);
      response.writeHead(307, { location: "/other" }).end();
    };
    await prober.probe("127.0.0.1");
    expect(paths).toEqual(["/progress"]);
  });

  it("gives nothing when nobody listens", async () => {
    const nobody = new HttpProber(1);
    expect(await nobody.probe("127.0.0.1")).toBeUndefined();
    await nobody.close();
  });
});
