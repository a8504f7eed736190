import * as fc from "fast-check";
import { FairQueue } from "./fair-queue.ts";

function drain(queue: FairQueue<string>): string[] {
  const left: string[] = [];
  while (queue.size > 0) {
    const [first] = queue.entries;
    left.push(...queue.take((entry) => entry === first).map(({ item }) => item));
  }
  return left;
}

describe("fair queue", () => {
  it("is first in, first out for one caller", () => {
    const queue = new FairQueue<string>();
    for (const item of ["a", "b", "c"]) queue.push(item, "one", 5);
    expect(drain(queue)).toEqual(["a", "b", "c"]);
  });

  it("lets a caller that comes late take its turn before the rest of one that has sent much", () => {
    const queue = new FairQueue<string>();
    for (const item of ["a1", "a2", "a3", "a4"]) queue.push(item, "a", 1);
    queue.push("b1", "b", 1);
    queue.push("b2", "b", 1);
    expect(drain(queue)).toEqual(["a1", "b1", "a2", "b2", "a3", "a4"]);
  });

  it("counts what a request takes: large ones come less often", () => {
    const queue = new FairQueue<string>();
    for (const item of ["A1", "A2"]) queue.push(item, "a", 3);
    for (const item of ["b1", "b2", "b3", "b4"]) queue.push(item, "b", 1);
    expect(drain(queue)).toEqual(["A1", "b1", "b2", "b3", "A2", "b4"]);
  });

  it("gives way when it is full by the newest of who has most, never of who has little", () => {
    const queue = new FairQueue<string>();
    for (const item of ["a1", "a2", "a3"]) queue.push(item, "a", 1);
    queue.push("b1", "b", 1);
    expect(queue.victimFor("c")?.item).toBe("a3");
    expect(queue.victimFor("b")?.item).toBe("a3");
    expect(queue.victimFor("a")).toBeUndefined();
  });

  it("serves callers that always have something waiting equally, within one request of each", () => {
    const costs = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(costs, { minLength: 2, maxLength: 5 }), (callers) => {
        const queue = new FairQueue<number>();
        for (const [caller, requests] of callers.entries()) {
          for (const cost of requests) queue.push(caller, String(caller), cost);
        }
        const served = callers.map(() => 0);
        const left = callers.map(({ length }) => length);
        while (left.every((count) => count > 0)) {
          const [first] = queue.entries;
          for (const { item, cost } of queue.take((entry) => entry === first)) {
            served[item] = (served[item] ?? 0) + cost;
            left[item] = (left[item] ?? 0) - 1;
          }
          expect(Math.max(...served) - Math.min(...served)).toBeLessThanOrEqual(16);
        }
      }),
    );
  });
});
