import { describe, expect, it } from "@jest/globals";
import * as fc from "fast-check";
import { findCondition } from "../kernel/conditions.ts";
import { knownConditions } from "../runs/status.ts";
import { type Behaviour, ServingWorld } from "../testing/serving-world.ts";
import { digest } from "../testing/objects.ts";

function ready(world: ServingWorld) {
  return findCondition(knownConditions(world.owner.status ?? {}), "Ready");
}

function served(spec: Record<string, unknown> = {}): { world: ServingWorld; first: string } {
  const world = new ServingWorld({ model: { uri: "pvc://models/m1", digest: digest("1") }, ...spec });
  world.settle();
  return { world, first: world.selected ?? "" };
}

describe("a rollout", () => {
  it("serves the first version and comes to rest, without an event for what status says", () => {
    const { world, first } = served({ scaling: { mode: "Manual", replicas: 2 } });
    expect(world.ready(first)).toBe(2);
    expect(ready(world)).toMatchObject({ status: "True", reason: "Serving" });
    expect(world.notes).toEqual([]);
  });

  it("needs no more than a Service, a record and a Deployment for one pod", () => {
    const { world } = served();
    expect(["services", "configmaps", "deployments", "poddisruptionbudgets"].map((p) => world.names(p).length)).toEqual(
      [1, 1, 1, 0],
    );
  });

  it("gives several pods a budget, also those that come later", () => {
    const { world, first } = served();
    world.change({ scaling: { mode: "Manual", replicas: 3 } });
    world.settle();
    expect(world.names("poddisruptionbudgets")).toEqual([first]);
  });

  it("gives an update a Service of its own, and tells of it", () => {
    const { world, first } = served();
    world.model("m2");
    world.reconcile();
    const second = world.names("deployments").find((name) => name !== first);
    expect(world.names("services")).toContain(second);
    world.settle();
    expect(world.notes.map(({ reason }) => reason)).toEqual(["RevisionCreated", "Promoted", "ModelLoaded"]);
  });

  it("keeps the old pods until traffic has moved for some seconds", () => {
    const { world, first } = served();
    world.model("m2");
    while (world.selected === first) {
      expect(world.replicas(first)).toBe(1);
      world.reconcile();
      world.kubernetes();
    }
    world.reconcile();
    expect(world.replicas(first)).toBe(1);
    world.settle();
    expect(world.replicas(first)).toBe(0);
  });

  it("changes nothing when only the operator's default image changes, and takes it with the next version", () => {
    const { world, first } = served();
    world.image = "registry.example/runtime:2";
    expect(world.reconcile()).toEqual([]);
    world.model("m2");
    const images = world
      .reconcile()
      .flatMap((write) =>
        write.verb === "create" && write.resource.plural === "deployments" ? [JSON.stringify(write.object)] : [],
      );
    expect(images).toEqual([expect.stringContaining("registry.example/runtime:2")]);
    world.settle();
    expect(world.selected).not.toBe(first);
  });

  it("returns to an old version by its name", () => {
    const { world, first } = served();
    world.model("m2");
    world.settle();
    world.model("m1");
    world.settle();
    expect(world.selected).toBe(first);
    expect(world.names("deployments")).toHaveLength(2);
  });

  it("gives a bad version up, and tries it anew when it is asked for again", () => {
    const { world, first } = served();
    world.behaviours.set("m2", "crash");
    world.model("m2");
    world.settle();
    expect(world.selected).toBe(first);
    expect(ready(world)).toMatchObject({ status: "True", reason: "UpdateFailed" });
    expect(world.owner.status?.lastFailure).toMatchObject({ reason: "InputMissing", exitCode: 66 });
    world.model("m1");
    world.settle();
    expect(world.owner.status?.lastFailure).toBeUndefined();
    world.behaviours.set("m2", "good");
    world.model("m2");
    world.settle();
    expect(world.selected).not.toBe(first);
    expect(ready(world)).toMatchObject({ status: "True", reason: "Serving" });
  });

  it("gives a version up that is never ready, at its deadline", () => {
    const { world, first } = served({ rollout: { progressDeadline: "60s" } });
    world.behaviours.set("m2", "slow");
    world.model("m2");
    world.settle();
    expect(ready(world)).toMatchObject({ status: "True", reason: "Updating" });
    world.kubernetes(60);
    world.settle();
    expect(world.owner.status?.lastFailure?.reason).toBe("ProgressDeadlineExceeded");
    expect(world.selected).toBe(first);
  });

  it("keeps as many old revisions as it is told, and removes all of the others", () => {
    const { world } = served({ rollout: { revisionHistoryLimit: 2 }, scaling: { mode: "Manual", replicas: 2 } });
    for (const model of ["m2", "m3", "m4", "m5"]) {
      world.model(model);
      world.settle();
    }
    for (const plural of ["deployments", "configmaps", "poddisruptionbudgets"])
      expect(world.names(plural)).toHaveLength(3);
    // Only an update has a Service of its own.
    expect(world.names("services")).toEqual(["digits"]);
  });

  it("stops all pods while suspended, and starts a pending update together with what served", () => {
    const { world, first } = served();
    world.change({ suspend: true });
    world.settle();
    expect(world.replicas(first)).toBe(0);
    expect(ready(world)).toMatchObject({ status: "False", reason: "Suspended" });
    world.change({ suspend: false });
    world.settle();
    expect(ready(world)).toMatchObject({ status: "True", reason: "Serving" });
  });

  it("does not switch to a version that nobody has tried while no pod is asked for", () => {
    const { world, first } = served();
    world.change({ scaling: { mode: "Manual", replicas: 0 } });
    world.behaviours.set("m2", "crash");
    world.model("m2");
    world.settle();
    expect(world.selected).toBe(first);
    expect(ready(world)).toMatchObject({ status: "False", reason: "ScaledToZero" });
    world.change({ scaling: { mode: "Manual", replicas: 2 } });
    world.settle();
    expect(world.selected).toBe(first);
    expect(world.ready(first)).toBe(2);
  });
});

type Step =
  | { readonly do: "model"; readonly name: string }
  | { readonly do: "scale"; readonly replicas: number }
  | { readonly do: "suspend"; readonly suspend: boolean }
  | { readonly do: "crash"; readonly after: number }
  | { readonly do: "reconcile" }
  | { readonly do: "kubernetes" };

const MODELS: Record<string, Behaviour> = { m1: "good", m2: "good", m3: "crash", m4: "slow", m5: "good" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("model" as const), name: fc.constantFrom(...Object.keys(MODELS)) }),
  fc.record({ do: fc.constant("scale" as const), replicas: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ do: fc.constant("crash" as const), after: fc.integer({ min: 0, max: 5 }) }),
  fc.constant({ do: "reconcile" as const }),
  fc.constant({ do: "kubernetes" as const }),
);

function take(world: ServingWorld, one: Step): void {
  switch (one.do) {
    case "model":
      return world.model(one.name);
    case "scale":
      return world.change({ scaling: { mode: "Manual", replicas: one.replicas } });
    case "suspend":
      return world.change({ suspend: one.suspend });
    case "crash":
      return void world.reconcile(one.after);
    case "reconcile":
      return void world.reconcile();
    case "kubernetes":
      return world.kubernetes();
  }
}

describe("whatever users do and wherever the operator is cut off,", () => {
  it("what served once always has ready pods behind the Service", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { world } = served();
        for (const [model, behaviour] of Object.entries(MODELS)) world.behaviours.set(model, behaviour);
        for (const one of steps) {
          take(world, one);
          expect(world.ready(world.selected)).toBeGreaterThan(0);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("it ends where the spec says, with nothing left to write", () => {
    const suspend = fc.record({ do: fc.constant("suspend" as const), suspend: fc.boolean() });
    fc.assert(
      fc.property(fc.array(fc.oneof(step, suspend), { maxLength: 40 }), (steps) => {
        const { world } = served();
        for (const [model, behaviour] of Object.entries(MODELS)) world.behaviours.set(model, behaviour);
        for (const one of steps) take(world, one);
        world.change({ suspend: false, scaling: { mode: "Manual", replicas: 2 } });
        world.model("m5");
        world.settle();
        const { stable, desired, views } = world.see();
        expect(stable).toBe(desired);
        expect(world.ready(stable)).toBe(2);
        const others = [...views.keys()].filter((name) => name !== stable);
        expect(others.filter((name) => (world.replicas(name) ?? 0) !== 0)).toEqual([]);
        expect(world.reconcile()).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});
