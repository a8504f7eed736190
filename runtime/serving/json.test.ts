import * as fc from "fast-check";
import { Decimal, JsonSyntaxError, parseLenientJson } from "./json.ts";

describe("lenient JSON", () => {
  it("reads everything that strict JSON is", () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 0, max: 3 }), (text, indent) => {
        const value: unknown = JSON.parse(text);
        expect(parseLenientJson(JSON.stringify(value, null, indent))).toEqual(value);
      }),
    );
  });

  it.each([
    ["NaN", Number.NaN],
    ["[Infinity,-Infinity]", [Infinity, -Infinity]],
    ['{"a":1} trailing', { a: 1 }],
    ["1.0", 1],
    [String.raw`"\u00e9\n"`, "é\n"],
  ])("reads %s", (text, value) => {
    expect(parseLenientJson(text)).toEqual(value);
  });

  it("tells whole numbers from decimals when asked to", () => {
    expect(parseLenientJson("[1, 1.0, 1e2, 1.5]", { exact: true })).toEqual([1, new Decimal(1), new Decimal(100), 1.5]);
  });

  it.each([
    ["instances = [1, 2]", "Invalid value.", 0],
    ["[1 2]", "Missing a comma or ] after an array element.", 3],
    ['{"a" 1}', "Missing a colon after a name of object member.", 5],
    ['{"a":1 "b":2}', "Missing a comma or } after an object member.", 7],
    ["{1:2}", "Missing a name for object member.", 1],
    ['"open', "Invalid string.", 0],
    ["-", "Invalid value.", 0],
    ["[".repeat(100), "More than 64 levels.", 65],
  ])("says what is wrong with %s and where", (text, message, offset) => {
    let error: unknown;
    try {
      parseLenientJson(text);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(JsonSyntaxError);
    expect(error).toMatchObject({ message, offset });
  });

  it("keeps __proto__ as data", () => {
    expect(Object.keys(parseLenientJson('{"__proto__":{"polluted":true}}') as object)).toEqual(["__proto__"]);
    expect({}).not.toHaveProperty("polluted");
  });
});
