import { describe, expect, it } from "@jest/globals";
import { covers } from "./covers.ts";

describe("what the API server holds", () => {
  it.each([
    { held: { a: 1, b: 2 }, wanted: { a: 1 }, same: true },
    { held: { a: 2 }, wanted: { a: 1 }, same: false },
    { held: {}, wanted: { a: 1 }, same: false },
    { held: {}, wanted: { a: undefined }, same: true },
    { held: { env: undefined }, wanted: { env: [], limits: {} }, same: true },
    { held: { env: undefined }, wanted: { env: ["x"] }, same: false },
    { held: { cpu: "1", memory: "1Gi" }, wanted: { cpu: "1000m", memory: "1024Mi" }, same: true },
    { held: { cpu: "1" }, wanted: { cpu: "1001m" }, same: false },
    {
      held: [{ name: "sidecar" }, { name: "runtime", image: "a", policy: "x" }],
      wanted: [{ name: "runtime", image: "a" }],
      same: true,
    },
    { held: [{ name: "runtime", image: "b" }], wanted: [{ name: "runtime", image: "a" }], same: false },
    { held: ["a", "b"], wanted: ["a", "b"], same: true },
    { held: ["a"], wanted: ["a", "b"], same: false },
    { held: { args: ["serve"] }, wanted: { args: ["train"] }, same: false },
  ])("$held is as wanted by $wanted: $same", ({ held, wanted, same }) => {
    expect(covers(held, wanted)).toBe(same);
  });
});
