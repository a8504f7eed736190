import { AccessLog, type AccessLevel } from "./access-log.ts";
import { FakeClock } from "./testing/fake-clock.ts";

const now = () => new Date(0);

function setUp(level: AccessLevel) {
  const clock = new FakeClock();
  const texts: string[] = [];
  const log = new AccessLog({ level, clock, write: (text) => texts.push(text), now });
  const record = (code: number | string, requestId = "a") =>
    log.record({ requestId, protocol: "v1", call: "predict", code, seconds: 0.5, client: "10.0.0.1", model: "m" });
  const lines = () =>
    texts.flatMap((text) => text.trimEnd().split("\n")).map((line) => JSON.parse(line) as Record<string, unknown>);
  return { clock, texts, log, record, lines };
}

describe("access log", () => {
  it("writes all requests, together, a little later", () => {
    const { clock, texts, record, lines } = setUp("All");
    record(200, "a");
    record(429, "b");
    expect(texts).toEqual([]);
    clock.advance(200);
    expect(texts).toHaveLength(1);
    expect(lines()).toEqual([
      expect.objectContaining({ time: "1970-01-01T00:00:00.000Z", message: "request", requestId: "a", code: 200 }),
      expect.objectContaining({ requestId: "b", code: 429, model: "m", client: "10.0.0.1", seconds: 0.5 }),
    ]);
    expect(clock.pending).toBe(0);
  });

  it("writes those that were not answered with a result, or none, if told so", () => {
    const errors = setUp("Errors");
    for (const code of [200, 404, "OK", "UNAVAILABLE"]) errors.record(code);
    errors.log.flush();
    expect(errors.lines().map(({ code }) => code)).toEqual([404, "UNAVAILABLE"]);
    const none = setUp("None");
    none.record(500);
    none.log.flush();
    expect(none.texts).toEqual([]);
  });

  it("writes at most a thousand lines a second, and says how many it left out", () => {
    const { clock, log, record, lines } = setUp("All");
    for (let request = 0; request < 1500; request++) record(429);
    log.flush();
    expect(lines()).toHaveLength(1001);
    expect(lines().at(-1)).toMatchObject({ level: "warn", message: "requests were not logged", count: 500 });
    clock.advance(1000);
    record(200, "later");
    log.flush();
    expect(lines().at(-1)).toMatchObject({ requestId: "later" });
  });
});
