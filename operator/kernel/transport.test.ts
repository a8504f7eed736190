import { ApiError } from "./errors.ts";
import { pauseBefore } from "./transport.ts";

const error = (status: number, retryAfterSeconds?: number) =>
  new ApiError({ status, reason: "Any", message: "", retryAfterSeconds });

describe("a refused call is repeated", () => {
  it.each([
    ["a read after no answer", error(0), true, 100],
    ["a read after a 500", error(500), true, 100],
    ["anything after a 429", error(429), false, 100],
    ["anything after a 429, as late as it asks", error(429, 3), false, 3000],
    ["anything after a 503 that asks for it", error(503, 2), false, 2000],
  ])("for %s", (_name, failure, idempotent, pause) => {
    expect(pauseBefore(failure, 1, idempotent, () => 0)).toBe(pause);
  });

  it.each([
    ["a write whose fate is unknown", error(0), false],
    ["a write after a plain 500", error(500), false],
    ["a conflict", error(409), true],
    ["what is not found", error(404), true],
    ["a wait longer than ten seconds", error(429, 60), true],
  ])("but not for %s", (_name, failure, idempotent) => {
    expect(pauseBefore(failure, 1, idempotent)).toBeUndefined();
  });

  it("four times at most, each time later and not all clients together", () => {
    const pauses = [1, 2, 3, 4, 5].map((attempt) => pauseBefore(error(500), attempt, true, () => 0));
    expect(pauses).toEqual([100, 200, 400, 800, undefined]);
    expect(pauseBefore(error(500), 1, true, () => 1)).toBe(125);
  });
});
