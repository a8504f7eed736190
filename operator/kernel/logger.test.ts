import { Writable } from "node:stream";
import { ApiError } from "./errors.ts";
import { createLogger, type LogLevel, withLogFields } from "./logger.ts";

function capture(level: LogLevel = "info") {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>);
      done();
    },
  });
  return { lines, logger: createLogger({ level, stream, fields: { program: "p" } }) };
}

describe("a logger", () => {
  it("writes one JSON object a line, with its own fields and those of the call", () => {
    const { lines, logger } = capture();
    logger.child({ part: "x" }).info("ready", { port: 1 });
    expect(lines).toEqual([
      { level: "info", message: "ready", program: "p", part: "x", port: 1, time: expect.any(String) },
    ]);
  });

  it("adds the fields of the surrounding work, also after an await", async () => {
    const { lines, logger } = capture();
    await withLogFields({ reconcileId: "r1" }, async () => {
      await Promise.resolve();
      withLogFields({ key: "k" }, () => logger.warn("inside"));
    });
    logger.warn("outside");
    expect(lines[0]).toMatchObject({ reconcileId: "r1", key: "k" });
    expect(lines[1]).not.toHaveProperty("reconcileId");
  });

  it("keeps the code, the stack and the causes of an error", () => {
    const { lines, logger } = capture();
    const cause = new Error("socket closed");
    logger.error("failed", {
      error: new ApiError({ status: 0, reason: "ConnectionFailed", message: "no answer", cause }),
    });
    expect(lines[0]?.["error"]).toMatchObject({
      name: "ApiError",
      code: "ApiConnectionFailed",
      message: "no answer",
      stack: expect.stringContaining("logger.test"),
      cause: { message: "socket closed" },
    });
  });

  it("computes the fields of debug lines only when they are written", () => {
    let computed = 0;
    const fields = () => ({ computed: ++computed });
    const quiet = capture();
    quiet.logger.debug("detail", fields);
    expect(computed).toBe(0);
    const loud = capture("debug");
    loud.logger.debug("detail", fields);
    expect(loud.lines[0]).toMatchObject({ level: "debug", computed: 1 });
  });
});
