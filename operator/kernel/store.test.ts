import * as fc from "fast-check";
import type { Identified } from "./meta.ts";
import { Store } from "./store.ts";

interface Record_ extends Identified {
  readonly colours: readonly string[];
}

function record(name: string, owner: string | undefined, colours: readonly string[]): Record_ {
  const ownerReferences = owner
    ? [{ apiVersion: "v1", kind: "Owner", name: owner, uid: `uid-${owner}`, controller: true }]
    : [];
  return { metadata: { namespace: "ns", name, uid: `uid-${name}`, resourceVersion: "1", ownerReferences }, colours };
}

describe.each([{ compact: false }, { compact: true }])("a store that is compact: $compact", ({ compact }) => {
  it("finds records by name, by controlling owner and by an index of the caller", () => {
    const store = new Store<Record_>({ compact, indexes: { colour: ({ colours }) => colours } });
    store.put(record("a", "x", ["red", "blue"]));
    store.put(record("b", "x", ["blue"]));
    expect(store.get("ns", "a")?.colours).toEqual(["red", "blue"]);
    expect(store.byOwner("uid-x").map(({ metadata }) => metadata.name)).toEqual(["a", "b"]);
    expect(store.byIndex("colour", "red").map(({ metadata }) => metadata.name)).toEqual(["a"]);
    expect(store.byIndex("colour", "green")).toEqual([]);
  });

  it("names the indexes that there are when asked for another", () => {
    expect(() => new Store().byIndex("colour", "red")).toThrow("no index named colour; there are owner");
  });

  it("keeps every index equal to a scan of all records, whatever is put and removed", () => {
    const name = fc.constantFrom("a", "b", "c", "d", "e");
    const colours = fc.uniqueArray(fc.constantFrom("red", "green", "blue"), { maxLength: 3 });
    const owner = fc.option(fc.constantFrom("x", "y"), { nil: undefined });
    const step = fc.record({ put: fc.boolean(), name, colours, owner });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50, size: "max" }), (steps) => {
        const store = new Store<Record_>({ compact, indexes: { colour: (item) => item.colours } });
        const model = new Map<string, Record_>();
        for (const action of steps) {
          const key = `ns/${action.name}`;
          const next = record(action.name, action.owner, action.colours);
          const before = action.put ? store.put(next) : store.remove(key);
          expect(before).toEqual(model.get(key));
          expect(store.versionOf(key)).toBe(action.put ? "1" : undefined);
          if (action.put) model.set(key, next);
          else model.delete(key);
        }
        const all = [...model.values()];
        expect(new Set(store.list())).toEqual(new Set(all));
        for (const colour of ["red", "green", "blue"]) {
          const wanted = all.filter((item) => item.colours.includes(colour));
          expect(new Set(store.byIndex("colour", colour))).toEqual(new Set(wanted));
        }
        for (const uid of ["uid-x", "uid-y"]) {
          const wanted = all.filter((item) => item.metadata.ownerReferences?.[0]?.uid === uid);
          expect(new Set(store.byOwner(uid))).toEqual(new Set(wanted));
        }
      }),
    );
  });
});
