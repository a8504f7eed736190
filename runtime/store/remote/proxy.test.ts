import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { ObjectStore } from "./s3.ts";
import { bodyOf, call } from "./web.ts";

const NAMES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] as const;

let proxy: Server;
let asked: string[];

beforeEach(async () => {
  asked = [];
  proxy = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end("from the proxy");
  });
  proxy.on("connect", (request, socket) => {
    asked.push(`CONNECT ${request.url}`);
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  Object.assign(process.env, { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: ".lab" });
});
afterEach(async () => {
  for (const name of NAMES) delete process.env[name];
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
});

const reach = { to: "Public", allowedHosts: [] } as const;

describe("a proxy that the environment names", () => {
  it("is asked for what is outside, by names that only it can resolve", async () => {
    const response = await call(new URL("http://files.test/data.csv"), { reach });
    expect((await bodyOf(response, 100)).toString()).toBe("from the proxy");
    await expect(call(new URL("https://files.test/data.csv"), { reach })).rejects.toThrow(/403/);
    expect(asked).toEqual(["GET http://files.test/data.csv", "CONNECT files.test:443"]);
  });

  it("is not asked for hosts that are excluded: their addresses are checked here as ever", async () => {
    await expect(call(new URL("http://nowhere.lab/data.csv"), { reach })).rejects.toMatchObject({ code: "ENOTFOUND" });
    expect(asked).toEqual([]);
  });

  it("is never asked for an address that no pod may reach", async () => {
    const metadata = new URL("http://169.254.169.254/latest");
    await expect(call(metadata, { reach })).rejects.toMatchObject({ reason: "AccessDenied" });
    expect(asked).toEqual([]);
  });

  it("is asked for object stores too", async () => {
    const store = await ObjectStore.open("s3://bucket/key", { endpoint: "http://store.test" });
    expect(await store.entries("key")).toHaveLength(1);
    store.close();
    expect(asked).toEqual(["HEAD http://store.test/bucket/key"]);
  });
});
