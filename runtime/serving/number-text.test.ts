import * as fc from "fast-check";
import { float32Text, float32Token } from "./number-text.ts";

const digitsOf = (text: string) => text.replace(/e.*|^-|\./g, "").replace(/^0+|0+$/g, "").length;
const fewest = (value: number) =>
  [6, 7, 8, 9].find((digits) => Math.fround(Number(value.toPrecision(digits))) === value) ?? 9;

describe("numbers as text", () => {
  it.each([
    [0.5, "0.5"],
    [2, "2.0"],
    [-0, "-0.0"],
    [999999, "999999.0"],
    [9e6, "9e+06"],
    [3e-5, "3e-05"],
    [Math.fround(0.1), "0.1"],
    [Math.fround(1 / 3), "0.33333334"],
    [16777217 - 1, "16777216.0"],
    [Math.fround(3.4028235e38), "3.4028235e+38"],
    [1.401298464324817e-45, "1.4013e-45"],
  ])("writes %d as %s", (value, text) => {
    expect(float32Text(value)).toBe(text);
  });

  it("writes NaN and Infinity as bare tokens, never as null", () => {
    expect([Number.NaN, Infinity, -Infinity].map(float32Token)).toEqual(["NaN", "Infinity", "-Infinity"]);
  });

  it("gives the same float32 back for every finite float32", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = float32Text(value);
        expect(Object.is(Math.fround(Number(text)), value)).toBe(true);
        expect(Object.is(JSON.parse(text), Number(text))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it("writes no more digits than it takes, beginning with six", () => {
    const nearPowers = fc
      .tuple(fc.integer({ min: -44, max: 37 }), fc.constantFrom(1, 9.999999, 9.9999995, 1.0000001, 9.5))
      .map(([power, digits]) => Math.fround(digits * 10 ** power));
    const any = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.oneof(any, nearPowers), (value) => {
        const precise = value.toPrecision(fewest(value));
        expect(Number(float32Text(value))).toBe(
          Number.isInteger(value) && Math.abs(value) < 1e6 ? value : Number(precise),
        );
        expect(digitsOf(float32Text(value))).toBeLessThanOrEqual(fewest(value));
      }),
      { numRuns: 5000 },
    );
  });
});
