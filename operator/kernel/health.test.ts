import { EventLoopWatch, HealthServer } from "./health.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { FakeClock } from "./testing/fake-clock.ts";

const fails = () => {
  throw new Error("a mistake of the caller");
};

describe("the health server", () => {
  it("fails a probe with the reasons, and only while there are some", async () => {
    let problem: string | undefined = "not synced";
    const server = new HealthServer({ port: 0, host: "127.0.0.1", ready: { informer: () => problem } });
    server.addLive("loop", () => undefined);
    await server.start();
    const get = async (path: string, method = "GET") => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
      return [response.status, await response.text()];
    };
    expect(await get("/livez")).toEqual([200, "[+] loop ok\nok\n"]);
    expect(await get("/readyz?verbose")).toEqual([503, "[-] informer: not synced\nfailed\n"]);
    problem = undefined;
    expect(await get("/readyz")).toEqual([200, "[+] informer ok\nok\n"]);
    expect((await get("/metrics"))[0]).toBe(404);
    expect((await get("/livez", "POST"))[0]).toBe(405);
    await server.stop();
    expect(server.port).toBeUndefined();
  });

  it("answers 500 where a page or a check fails, and goes on", async () => {
    const pages = { "/page": () => Promise.reject(new Error("no news")) };
    const server = new HealthServer({ port: 0, host: "127.0.0.1", live: { bad: fails }, pages });
    await server.start();
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
      return [response.status, await response.text()];
    };
    expect(await get("/page")).toEqual([500, "/page failed: no news\n"]);
    expect(await get("/livez")).toEqual([500, "/livez failed: a mistake of the caller\n"]);
    expect(await get("/readyz")).toEqual([200, "ok\n"]);
    await server.stop();
  });
});

describe("the watch over the event loop", () => {
  it("fails after a long stall until a tick is on time again, and logs shorter ones", async () => {
    const clock = new FakeClock();
    const warnings: unknown[] = [];
    const logger: Logger = { ...silentLogger, warn: (_message, fields) => warnings.push(fields) };
    let stall = 0;
    const stalling = Object.assign(Object.create(clock) as FakeClock, {
      monotonic: () => clock.monotonic() + stall,
      setTimeout: clock.setTimeout.bind(clock),
      clearTimeout: clock.clearTimeout.bind(clock),
    });
    const watch = new EventLoopWatch({ clock: stalling, logger });
    watch.start();
    await clock.advance(1000);
    expect(watch.check()).toBeUndefined();
    stall = 12_000;
    await clock.advance(500);
    expect(watch.check()).toBe("the event loop was blocked for 12.0 s");
    expect(warnings).toEqual([{ seconds: 12 }]);
    await clock.advance(500);
    expect(watch.check()).toBeUndefined();
    watch.stop();
    expect(clock.pendingTimers).toBe(0);
  });
});
