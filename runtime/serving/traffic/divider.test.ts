import * as fc from "fast-check";
import { Divider, type Shares, startOf, type Way } from "./divider.ts";

const weight = fc.integer({ min: 0, max: 100 });

/** The choices of `pods` pods for requests that come to them in the given order. */
function choices(pods: readonly string[], order: Iterable<number>, shares: Shares): Way[] {
  const dividers = pods.map((name) => new Divider(startOf(name)));
  return Array.from(order, (pod) => dividers[pod % pods.length]?.next(shares) ?? "Keep");
}

const count = (ways: readonly Way[], way: Way) => ways.filter((one) => one === way).length;
const podNames = (pods: number, salt: string) =>
  Array.from({ length: pods }, (_, index) => `digits-0123456789-${salt}-${index.toString(36).padStart(5, "x")}`);

it("gives one pod's requests away within one of the share, at every moment", () => {
  fc.assert(
    fc.property(
      weight,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.integer({ min: 1, max: 2000 }),
      (w, start, n) => {
        const divider = new Divider(Math.min(start, 0.999_999));
        const ways = Array.from({ length: n }, () => divider.next({ weight: w, shadow: 0 }));
        expect(Math.abs(count(ways, "Divert") - (n * w) / 100)).toBeLessThanOrEqual(1);
      },
    ),
  );
});

it("is exact to 1 % over 1,000 requests for up to ten pods, however the requests are spread over them", () => {
  const order = fc.array(fc.nat({ max: 9 }), { minLength: 1000, maxLength: 1000 });
  fc.assert(
    fc.property(weight, fc.integer({ min: 1, max: 10 }), fc.string(), order, (w, pods, salt, spread) => {
      const ways = choices(podNames(pods, salt), spread, { weight: w, shadow: 0 });
      expect(Math.abs(count(ways, "Divert") - 10 * w)).toBeLessThanOrEqual(10);
    }),
    { numRuns: 60 },
  );
});

it("is exact to 1 % over 1,000 requests for a hundred pods that get ten requests each", () => {
  for (const w of [1, 5, 25, 50, 75, 95, 99]) {
    const ways = choices(podNames(100, "7d9f4"), Array.from({ length: 1000 }).keys(), { weight: w, shadow: 0 });
    expect(Math.abs(count(ways, "Divert") - 10 * w)).toBeLessThanOrEqual(10);
  }
});

it("copies its share of the requests that are not diverted", () => {
  fc.assert(
    fc.property(weight, weight, (w, shadow) => {
      const ways = choices(["pod"], Array.from({ length: 1000 }).keys(), { weight: w, shadow });
      const kept = 1000 - count(ways, "Divert");
      expect(Math.abs(count(ways, "Shadow") - (kept * shadow) / 100)).toBeLessThanOrEqual(1);
    }),
  );
});

it("goes on where it was when the share changes", () => {
  const divider = new Divider(0);
  const ways = Array.from({ length: 1000 }, (_, index) =>
    divider.next({ weight: index % 2 === 0 ? 10 : 30, shadow: 0 }),
  );
  expect(count(ways, "Divert")).toBe(200);
});
