import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { daemonPid, identify, logTail, startDaemon, stopDaemon } from "./daemon.ts";
import { withLock } from "./lock.ts";
import { startService } from "./service.ts";
import { until } from "./wait.ts";

let state: string;
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), "modelwright-daemon-"));
  await mkdir(join(state, "log"));
});
afterEach(async () => {
  await stopDaemon({ state, name: "sleeper" }, 0);
  await rm(state, { recursive: true });
});

const sleeper = { path: "/bin/sleep", args: ["300"] };

describe("a daemon", () => {
  it("runs once, however often it is started, until it is stopped", async () => {
    const daemon = { state, name: "sleeper" };
    await startDaemon(daemon, sleeper);
    const pid = await daemonPid(daemon);
    await startDaemon(daemon, sleeper);
    expect(await daemonPid(daemon)).toBe(pid);
    await stopDaemon(daemon);
    expect(await daemonPid(daemon)).toBeUndefined();
    expect(pid === undefined ? undefined : identify(pid)).toBeUndefined();
  });

  it("is not confused with a stranger that got its number", async () => {
    const daemon = { state, name: "sleeper" };
    await writeFile(join(state, "sleeper.pid"), `${process.pid} 1`); // this very process, but started at another time
    expect(await daemonPid(daemon)).toBeUndefined();
    await stopDaemon(daemon); // would end this test
  });

  it("that ends at once is reported with the end of its log", async () => {
    const daemon = { state, name: "failing" };
    const program = { path: "/bin/sh", args: ["-c", "echo first; echo the reason >&2; exit 3"] };
    await expect(startService(daemon, program, async () => false)).rejects.toThrow(/failing ended: first\nthe reason/);
    expect(await logTail(daemon, 1)).toBe("the reason");
  });

  it("attached to a process ends with it, even when that one is killed", async () => {
    const script = `
      const { startDaemon } = await import(${JSON.stringify(join(import.meta.dirname, "daemon.ts"))});
      await startDaemon({ state: ${JSON.stringify(state)}, name: "sleeper" }, { path: "/bin/sleep", args: ["300"], attached: true });
      process.kill(process.pid, "SIGKILL");`;
    const parent = { state, name: "parent" };
    await startDaemon(parent, { path: process.execPath, args: ["--input-type=module", "-e", script] });
    await until("the parent is gone", async () => (await daemonPid(parent)) === undefined, { within: 10_000 });
    expect(await readFile(join(state, "sleeper.pid"), "utf8")).toMatch(/^\d+ \d+$/);
    await until("its daemon is gone", async () => (await daemonPid({ state, name: "sleeper" })) === undefined, {
      within: 5000,
    });
  }, 20_000);
});

describe("the lock of a cluster", () => {
  it("lets one command change the cluster at a time", async () => {
    const order: string[] = [];
    const work = (name: string) =>
      withLock(
        join(state, "lock"),
        () => undefined,
        async () => {
          order.push(`${name} begins`);
          await Promise.resolve();
          order.push(`${name} ends`);
        },
      );
    await Promise.all([work("a"), work("b")]);
    expect(order.map((line) => line.split(" ")[1])).toEqual(["begins", "ends", "begins", "ends"]);
  });

  it("is taken over from a command that was killed", async () => {
    await writeFile(join(state, "lock"), "999999999 1");
    expect(
      await withLock(
        join(state, "lock"),
        () => undefined,
        async () => "done",
      ),
    ).toBe("done");
  });
});
