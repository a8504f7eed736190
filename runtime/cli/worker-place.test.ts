import { UsageError } from "./usage.ts";
import { workerPlace } from "./worker-place.ts";

const flags = { worker: "1", "worker-address": ["a:9400", "[::1]:9401"], "workers-key": "key" };

it("a worker is told its number, the key and where each listens", () => {
  expect(workerPlace(flags)).toEqual({
    index: 1,
    keyFile: "key",
    addresses: [
      { host: "a", port: 9400 },
      { host: "[::1]", port: 9401 },
    ],
  });
  expect(workerPlace({})).toBeUndefined();
});

it.each([
  [{ worker: "2" }, "--worker must be a whole number from 0 to 1"],
  [{ worker: "" }, "--worker must be a whole number from 0 to 1"],
  [{ "workers-key": undefined }, "a worker needs --worker NUMBER, --workers-key FILE"],
  [{ "worker-address": ["a:1"] }, "a --worker-address for each of them"],
  [{ "worker-address": ["a", "b:2"] }, "--worker-address a must be of the form HOST:PORT"],
  [{ "worker-address": ["a:1", "b:99999"] }, "--worker-address b:99999 must be"],
])("%j is refused: %s", (change, message) => {
  expect(() => workerPlace({ ...flags, ...change })).toThrow(UsageError);
  expect(() => workerPlace({ ...flags, ...change })).toThrow(message);
});
