import { describe, expect, it } from "@jest/globals";
import * as fc from "fast-check";
import { findCondition } from "../../kernel/conditions.ts";
import { knownConditions } from "../../runs/status.ts";
import { digest, modelDeployment } from "../../testing/objects.ts";
import { type Behaviour, ServingWorld } from "../../testing/serving-world.ts";

type Rollout = Record<string, unknown>;

const STEPS = [
  { weight: 10, duration: "1m" },
  { weight: 50, duration: "1m" },
];
const CANARY = { strategy: "Canary", steps: STEPS };

function served(rollout: Rollout, replicas = 4, spec: Rollout = {}): { world: ServingWorld; first: string } {
  const model = { uri: "pvc://models/m1", digest: digest("1") };
  const world = new ServingWorld({ model, scaling: { replicas }, rollout, ...spec });
  world.settle();
  return { world, first: world.selected ?? "" };
}

/** Changes spec.rollout as a user does; the schema fills in its defaults. */
function rollout(world: ServingWorld, of: Rollout): void {
  world.change({ rollout: modelDeployment({ rollout: of, gpu: { count: 1 } }).spec.rollout });
}

/** Lets seconds pass, one by one. */
function pass(world: ServingWorld, seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    world.reconcile();
    world.kubernetes(1);
  }
}

function passUntil(world: ServingWorld, holds: () => boolean, most = 120): number {
  for (let second = 0; second < most; second++) {
    if (holds()) return second;
    pass(world, 1);
  }
  throw new Error(`waited in vain: ${JSON.stringify(world.owner.status?.conditions)}`);
}

const reasons = (world: ServingWorld) => world.notes.map(({ reason }) => reason);
const condition = (world: ServingWorld, type: string) => findCondition(knownConditions(world.owner.status ?? {}), type);
const status = (world: ServingWorld) => world.owner.status ?? {};
const weights = (world: ServingWorld) => world.told().map((directive) => directive?.weight);
const update = (world: ServingWorld) => status(world).canaryRevision ?? "";

describe("a canary", () => {
  it("goes by its steps: first the pods, then the weight, at last the switch", () => {
    const { world, first } = served(CANARY);
    world.model("m3");
    passUntil(world, () => status(world).step === 1);
    const second = update(world);
    expect(weights(world)).toEqual([10, 10, 10, 10]);
    expect(world.replicas(second)).toBe(1);
    expect(world.ready(second)).toBe(1);
    // Not before the pods that serve say that they do it.
    expect(status(world)).toMatchObject({ canaryWeight: 0, stableRevision: first });
    passUntil(world, () => status(world).canaryWeight === 10);
    expect(status(world).stableRevision).toBe(first);
    expect(status(world).revisions?.map(({ name, weight, state }) => [name, weight, state])).toEqual([
      [second, 10, "Serving"],
      [first, 90, "Serving"],
    ]);
    expect(condition(world, "RolloutHealthy")).toMatchObject({ status: "True", reason: "Updating" });
    expect(condition(world, "Progressing")?.message).toContain("step 1 of 2, 10 % of the requests");
    passUntil(world, () => status(world).step === 2);
    expect(world.ready(second)).toBe(2);
    passUntil(world, () => world.selected === second);
    expect(world.ready(second)).toBe(4);
    world.settle();
    expect(world.replicas(first)).toBe(0);
    expect(weights(world)).toEqual([undefined, undefined, undefined, undefined]);
    expect(status(world)).toMatchObject({ canaryWeight: 0, stableRevision: second });
    expect(condition(world, "RolloutHealthy")).toMatchObject({ status: "True", reason: "UpToDate" });
    expect(reasons(world).filter((reason) => reason !== "ModelLoaded")).toEqual([
      "RevisionCreated",
      "CanaryStepStarted",
      "CanaryStepStarted",
      "Promoted",
    ]);
  });

  it.each<[string, Behaviour, Rollout, RegExp]>([
    ["fails", { failing: 0.1 }, {}, /requests failed \(analysis.maxErrorRate 0.01\)/],
    ["is slow", { seconds: 0.5 }, { maxLatencyP99: "100ms" }, /analysis.maxLatencyP99 100ms/],
    ["is slower than the other", { seconds: 0.02 }, { maxLatencyRatio: 1.5 }, /analysis.maxLatencyRatio 1.5/],
    ["answers otherwise", { drifting: 0.5 }, { maxPredictionDrift: 0.02 }, /analysis.maxPredictionDrift 0.02/],
  ])("that %s is rolled back within ten seconds, and nothing of it is left", (_, behaviour, analysis, why) => {
    const shadow = { percent: 20 };
    const { world, first } = served({ ...CANARY, analysis, shadow });
    world.behaviours.set("m3", behaviour);
    world.model("m3");
    passUntil(world, () => weights(world).every((weight) => weight === 10));
    const second = update(world);
    const seconds = passUntil(world, () => reasons(world).includes("RolledBack"));
    expect(seconds).toBeLessThanOrEqual(10);
    expect(weights(world)).toEqual([undefined, undefined, undefined, undefined]);
    world.settle();
    expect(world.selected).toBe(first);
    expect(world.replicas(second)).toBe(0);
    expect(reasons(world)).toContain("AnalysisFailed");
    expect(status(world).lastFailure).toMatchObject({ reason: "AnalysisFailed", revision: second });
    expect(status(world).lastFailure?.message).toMatch(why);
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "UpdateFailed" });
    expect(condition(world, "RolloutHealthy")).toMatchObject({ status: "False", reason: "AnalysisFailed" });
    expect(condition(world, "Stalled")?.status).toBe("True");
  });

  it("stays where it is when the analysis fails and autoRollback is false, until it is told what to do", () => {
    const { world, first } = served({ ...CANARY, autoRollback: false });
    world.behaviours.set("m3", { failing: 0.5 });
    world.model("m3");
    pass(world, 300);
    expect(status(world)).toMatchObject({ step: 1, canaryWeight: 10, stableRevision: first });
    expect(condition(world, "RolloutHealthy")).toMatchObject({ status: "False", reason: "AnalysisFailed" });
    expect(reasons(world).filter((reason) => reason === "AnalysisFailed")).toHaveLength(1);
    const revision = update(world);
    rollout(world, { ...CANARY, autoRollback: false, action: { type: "Abort", revision } });
    world.settle();
    expect(world.selected).toBe(first);
    expect(status(world).lastFailure).toMatchObject({ reason: "Aborted", revision });
  });

  it("waits while it is paused, and goes on where it was", () => {
    const { world, first } = served(CANARY);
    rollout(world, { ...CANARY, paused: true });
    world.model("m3");
    pass(world, 30);
    expect(world.names("deployments")).toHaveLength(2);
    expect(world.replicas(update(world))).toBe(0);
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "RolloutPaused" });
    expect(condition(world, "Progressing")?.status).toBe("False");
    rollout(world, CANARY);
    passUntil(world, () => status(world).step === 1);
    rollout(world, { ...CANARY, paused: true });
    pass(world, 1000);
    expect(status(world)).toMatchObject({ step: 1, canaryWeight: 10, stableRevision: first });
    rollout(world, CANARY);
    passUntil(world, () => status(world).step === 2, 10);
    world.settle();
    passUntil(world, () => world.selected !== first);
  });

  it("is promoted or aborted by an action, once, and for the revision that it names only", () => {
    const { world, first } = served(CANARY);
    rollout(world, { ...CANARY, action: { type: "Promote", revision: "digits-0000000000" } });
    world.model("m3");
    pass(world, 20);
    expect(status(world)).toMatchObject({ step: 1, stableRevision: first });
    const second = update(world);
    rollout(world, { ...CANARY, action: { type: "Promote", revision: second } });
    expect(passUntil(world, () => world.selected === second)).toBeLessThan(10);
    world.model("m1");
    passUntil(world, () => world.selected === first, 200);
    world.model("m3");
    pass(world, 30);
    expect(status(world)).toMatchObject({ step: 1, stableRevision: first });
  });

  it("waits for enough requests, and is given up when they do not come", () => {
    const rules = { ...CANARY, analysis: { minRequests: 1000 }, progressDeadline: "5m" };
    const { world, first } = served(rules);
    world.traffic.requestsPerSecond = 0;
    world.model("m3");
    passUntil(world, () => status(world).step === 1);
    pass(world, 100);
    expect(status(world).step).toBe(1);
    expect(condition(world, "Progressing")?.message).toContain("waits for 1000 requests");
    passUntil(world, () => reasons(world).includes("RolledBack"), 400);
    expect(status(world).stableRevision).toBe(first);
    world.settle();
    expect(status(world).lastFailure?.reason).toBe("ProgressDeadlineExceeded");
    expect(status(world).lastFailure?.message).toContain("analysis.minRequests (1000)");
  });

  it("does not count a step before all pods follow it, and gives up when they do not", () => {
    const { world, first } = served({ ...CANARY, progressDeadline: "2m" });
    world.traffic.deaf = true;
    world.model("m3");
    pass(world, 110);
    expect(status(world)).toMatchObject({ step: 1, stableRevision: first });
    pass(world, 30);
    expect(status(world).lastFailure?.message).toContain("do not follow");
  });

  it("tells new pods of the version that serves their share before they are ready", () => {
    const { world } = served(CANARY);
    world.model("m3");
    passUntil(world, () => weights(world).every((weight) => weight === 10));
    world.change({ scaling: { mode: "Manual", replicas: 6 } });
    pass(world, 3);
    expect(weights(world)).toEqual([10, 10, 10, 10, 10, 10]);
  });

  it("copies requests in a step without weight", () => {
    const steps = [{ weight: 0, duration: "1m" }];
    const { world, first } = served({ strategy: "Canary", steps, shadow: { percent: 50, tolerance: 0.01 } });
    world.model("m3");
    passUntil(world, () => world.told().every((directive) => directive?.shadow?.percent === 50));
    expect(status(world)).toMatchObject({ step: 1, canaryWeight: 0 });
    passUntil(world, () => world.selected !== first);
  });

  it("gives up a pod that crashes in the middle, and sends it no more requests", () => {
    const { world, first } = served(CANARY);
    world.model("m3");
    passUntil(world, () => weights(world).every((weight) => weight === 10));
    world.behaviours.set("m3", "crash");
    passUntil(world, () => weights(world).every((weight) => weight === undefined), 10);
    world.settle();
    expect(status(world)).toMatchObject({ stableRevision: first, lastFailure: { reason: "InputMissing" } });
  });
});

describe("blue and green", () => {
  const BLUE_GREEN = { strategy: "BlueGreen", keepPrevious: "2m" };

  it("keeps the old pods for a while, which send their clients' requests to the new ones", () => {
    const { world, first } = served(BLUE_GREEN, 2);
    world.model("m3");
    passUntil(world, () => world.selected !== first);
    pass(world, 60);
    expect(world.ready(first)).toBe(2);
    pass(world, 70);
    expect(world.replicas(first)).toBe(0);
  });

  it("goes back at once when the new version fails its users", () => {
    const { world, first } = served(BLUE_GREEN, 2);
    world.model("m3");
    passUntil(world, () => world.selected !== first);
    const second = world.selected ?? "";
    pass(world, 10);
    world.behaviours.set("m3", { failing: 0.2 });
    expect(passUntil(world, () => world.selected === first)).toBeLessThanOrEqual(10);
    expect(world.ready(first)).toBe(2);
    world.settle();
    expect(world.replicas(second)).toBe(0);
    expect(status(world).lastFailure).toMatchObject({ reason: "AnalysisFailed", revision: second });
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "UpdateFailed" });
    expect(reasons(world)).toEqual(expect.arrayContaining(["Promoted", "AnalysisFailed", "RolledBack"]));
  });

  it.each(["2m", "0s"])("is undone by an action, also when the old pods are gone (kept %s)", (keepPrevious) => {
    const { world, first } = served({ strategy: "BlueGreen", keepPrevious }, 2);
    world.model("m3");
    passUntil(world, () => world.selected !== first);
    const second = world.selected ?? "";
    pass(world, 60);
    const action = { type: "Undo", revision: second };
    rollout(world, { strategy: "BlueGreen", keepPrevious, action });
    const seconds = passUntil(world, () => world.selected === first);
    if (keepPrevious === "2m") expect(seconds).toBeLessThanOrEqual(3);
    world.settle();
    expect(world.selected).toBe(first);
    expect(world.replicas(second)).toBe(0);
    expect(status(world).lastFailure).toMatchObject({ reason: "Aborted", revision: second });
    expect(world.reconcile()).toEqual([]);
  });

  it("says that nothing can be undone where nothing served before", () => {
    const { world, first } = served(BLUE_GREEN, 2);
    rollout(world, { ...BLUE_GREEN, action: { type: "Undo", revision: first } });
    world.settle();
    expect(world.ready(first)).toBe(2);
    expect(condition(world, "RolloutHealthy")).toMatchObject({ status: "False", reason: "InvalidSpec" });
  });
});

describe("a pinned revision", () => {
  it("serves whatever the model says, until it is pinned no more", () => {
    const { world, first } = served({ keepPrevious: "0s" }, 2);
    world.model("m3");
    world.settle();
    const second = world.selected ?? "";
    rollout(world, { pinRevision: first });
    world.settle();
    expect(world.selected).toBe(first);
    world.model("m5");
    world.settle();
    expect(world.selected).toBe(first);
    rollout(world, {});
    world.settle();
    expect([first, second]).not.toContain(world.selected);
  });

  it("that does not exist is named, and changes nothing", () => {
    const { world, first } = served({}, 2);
    rollout(world, { pinRevision: "digits-none" });
    world.settle();
    expect(world.ready(first)).toBe(2);
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "InvalidSpec" });
    expect(condition(world, "RolloutHealthy")?.message).toContain("no revision digits-none");
  });
});

describe("rolling", () => {
  it("moves pod by pod, one more than asked for at most, and never one less", () => {
    const { world, first } = served({ strategy: "Rolling" }, 4);
    world.model("m3");
    let most = 0;
    const seen = new Set<number | undefined>();
    passUntil(world, () => {
      const pods = world.names("deployments").reduce((sum, name) => sum + (world.replicas(name) ?? 0), 0);
      most = Math.max(most, pods);
      expect(world.names("deployments").reduce((sum, name) => sum + world.ready(name), 0)).toBeGreaterThanOrEqual(4);
      for (const weight of weights(world)) seen.add(weight);
      return world.selected !== first;
    });
    expect(most).toBe(5);
    expect([...seen]).toEqual([undefined, 25, 50, 75]);
    world.settle();
    expect(world.replicas(first)).toBe(0);
    expect(world.ready(world.selected)).toBe(4);
  });

  it("goes back when the new version fails", () => {
    const { world, first } = served({ strategy: "Rolling", analysis: { minRequests: 100 } }, 4);
    world.behaviours.set("m3", { failing: 0.3 });
    world.model("m3");
    passUntil(world, () => reasons(world).includes("RolledBack"));
    world.settle();
    expect(world.selected).toBe(first);
    expect(world.ready(first)).toBe(4);
  });
});

describe("recreating", () => {
  it("stops the old pods first, and says that nothing answers meanwhile", () => {
    const { world, first } = served({ strategy: "Recreate" }, 2);
    world.model("m3");
    passUntil(world, () => world.replicas(first) === 0);
    passUntil(world, () => condition(world, "Ready")?.status === "False");
    expect(condition(world, "Ready")?.reason).toBe("Updating");
    world.settle();
    expect(world.selected).not.toBe(first);
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "Serving" });
  });

  it("brings the old pods back when the new ones fail", () => {
    const { world, first } = served({ strategy: "Recreate" }, 2);
    world.behaviours.set("m3", "crash");
    world.model("m3");
    world.settle();
    expect(world.selected).toBe(first);
    expect(world.ready(first)).toBe(2);
    expect(status(world).lastFailure?.reason).toBe("InputMissing");
  });
});

function scarce(of: Rollout, spec: Record<string, unknown> = {}) {
  const { world, first } = served(of, 1, { gpu: { count: 1 }, ...spec });
  world.gpus = 1;
  world.behaviours.set("m3", "noGpu");
  world.model("m3");
  return { world, first };
}

describe("without a GPU to spare", () => {
  it("waits, says so, and goes on when there is one, however long it took", () => {
    const { world, first } = scarce({});
    pass(world, 3600);
    expect(world.ready(first)).toBe(1);
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "Updating" });
    expect(condition(world, "Reconciling")?.message).toContain("WaitingForGpu: no node has nvidia.com/gpu to spare");
    expect(reasons(world).filter((reason) => reason === "WaitingForGpu")).toHaveLength(1);
    world.gpus = 2;
    world.settle();
    expect(world.selected).not.toBe(first);
  });

  it("fails after its timeout where it is told so", () => {
    const { world, first } = scarce({ onNoSpareGpu: "Fail", gpuWaitTimeout: "1m" });
    pass(world, 55);
    expect(reasons(world)).not.toContain("RolledBack");
    pass(world, 15);
    expect(status(world).lastFailure).toMatchObject({ reason: "WaitingForGpu" });
    expect(world.ready(first)).toBe(1);
  });

  it.each([{}, CANARY])("swaps after its timeout: the old version makes room (%j)", (strategy) => {
    const { world, first } = scarce({ ...strategy, onNoSpareGpu: "Swap", gpuWaitTimeout: "1m" });
    pass(world, 55);
    expect(world.ready(first)).toBe(1);
    world.settle();
    expect(world.selected).not.toBe(first);
    expect(world.replicas(first)).toBe(0);
    expect(reasons(world)).toEqual(expect.arrayContaining(["WaitingForGpu", "SwapRollout", "Promoted"]));
  });

  it("brings the old version back when what it was swapped for fails", () => {
    const { world, first } = scarce({ onNoSpareGpu: "Swap", gpuWaitTimeout: "1m" });
    passUntil(world, () => world.replicas(first) === 0);
    world.behaviours.set("m3", "crash");
    world.settle();
    expect(world.selected).toBe(first);
    expect(world.ready(first)).toBe(1);
    expect(status(world).lastFailure?.reason).toBe("InputMissing");
  });
});

describe("without quota in its queue", () => {
  const held = { reason: "WaitingForQuota", message: "1 more needed for nvidia.com/gpu" } as const;
  const queued = (of: Rollout) => {
    const { world, first } = scarce(of, { queueName: "team-a" });
    world.held = held;
    return { world, first };
  };

  it("waits beyond every deadline while the old version serves, and goes on when it is admitted", () => {
    const { world, first } = queued({});
    pass(world, 3600);
    expect(world.ready(first)).toBe(1);
    expect(condition(world, "Ready")).toMatchObject({ status: "True", reason: "Updating" });
    expect(condition(world, "Queued")).toMatchObject({ status: "True", reason: "WaitingForQuota" });
    expect(condition(world, "Queued")?.message).toContain("pods wait: 1 more needed");
    expect(reasons(world).filter((reason) => reason === "WaitingForQuota")).toHaveLength(1);
    expect(status(world).lastFailure).toBeUndefined();
    world.gpus = 2;
    world.settle();
    expect(world.selected).not.toBe(first);
    expect(condition(world, "Queued")).toMatchObject({ status: "False", reason: "Admitted" });
  });

  it("does after gpuWaitTimeout what onNoSpareGpu says", () => {
    const swap = queued({ onNoSpareGpu: "Swap", gpuWaitTimeout: "1m" });
    pass(swap.world, 55);
    expect(swap.world.ready(swap.first)).toBe(1);
    swap.world.settle();
    expect(swap.world.selected).not.toBe(swap.first);
    const fail = queued({ onNoSpareGpu: "Fail", gpuWaitTimeout: "1m" });
    pass(fail.world, 75);
    expect(reasons(fail.world)).toContain("RolledBack");
    expect(fail.world.ready(fail.first)).toBe(1);
  });
});

const MODELS: Record<string, Behaviour> = {
  m1: "good",
  m2: "good",
  m3: "crash",
  m4: { failing: 0.5 },
  m5: "good",
};
const STRATEGIES: Rollout[] = [
  { keepPrevious: "10s" },
  {
    strategy: "Canary",
    steps: [
      { weight: 20, duration: "5s" },
      { weight: 60, duration: "5s" },
    ],
  },
  { strategy: "Canary", steps: [{ weight: 50, duration: "5s" }], paused: true },
  { strategy: "Rolling" },
];

type Step =
  | { readonly do: "model"; readonly name: string }
  | { readonly do: "rollout"; readonly of: Rollout; readonly action?: "Promote" | "Abort" | "Undo" }
  | { readonly do: "scale"; readonly replicas: number }
  | { readonly do: "crash"; readonly after: number }
  | { readonly do: "pass"; readonly seconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("model" as const), name: fc.constantFrom(...Object.keys(MODELS)) }),
  fc.record(
    {
      do: fc.constant("rollout" as const),
      of: fc.constantFrom(...STRATEGIES),
      action: fc.constantFrom("Promote" as const, "Abort" as const, "Undo" as const),
    },
    { requiredKeys: ["do", "of"] },
  ),
  fc.record({ do: fc.constant("scale" as const), replicas: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ do: fc.constant("crash" as const), after: fc.integer({ min: 0, max: 6 }) }),
  fc.record({ do: fc.constant("pass" as const), seconds: fc.integer({ min: 1, max: 12 }) }),
);

function take(world: ServingWorld, one: Step): void {
  switch (one.do) {
    case "model":
      return world.model(one.name);
    case "rollout": {
      const revision = status(world).canaryRevision ?? status(world).stableRevision;
      const action =
        one.action === undefined || revision === undefined ? {} : { action: { type: one.action, revision } };
      return rollout(world, { ...one.of, ...action });
    }
    case "scale":
      return world.change({ scaling: { mode: "Manual", replicas: one.replicas } });
    case "crash":
      return void world.reconcile(one.after);
    case "pass":
      return pass(world, one.seconds);
  }
}

describe("whatever users do by whatever strategy, and wherever the operator is cut off,", () => {
  it("what serves always has ready pods, and requests go only to versions that are ready", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { world } = served({}, 2);
        for (const [model, behaviour] of Object.entries(MODELS)) world.behaviours.set(model, behaviour);
        for (const one of steps) {
          take(world, one);
          expect(world.ready(world.selected)).toBeGreaterThan(0);
        }
      }),
      { numRuns: 150 },
    );
  });

  it("it ends where the spec says, with nothing shared and nothing left to write", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 30 }),
        fc.constantFrom(...STRATEGIES.filter((of) => !of["paused"])),
        (steps, last) => {
          const { world } = served({}, 2);
          for (const [model, behaviour] of Object.entries(MODELS)) world.behaviours.set(model, behaviour);
          for (const one of steps) take(world, one);
          rollout(world, last);
          // Asked for anew, should it have been given up.
          world.model("m3");
          world.settle();
          world.change({ scaling: { mode: "Manual", replicas: 3 } });
          world.model("m5");
          world.settle();
          const { stable, desired, views } = world.see();
          expect(stable).toBe(desired);
          expect(world.ready(stable)).toBe(3);
          expect([...views.keys()].filter((name) => name !== stable && (world.replicas(name) ?? 0) !== 0)).toEqual([]);
          expect(weights(world)).toEqual([undefined, undefined, undefined]);
          expect(world.reconcile()).toEqual([]);
        },
      ),
      { numRuns: 150 },
    );
  });
});
