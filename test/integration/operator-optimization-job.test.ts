import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { Measurement } from "../../crds/optimization-job.ts";
import type { OptimizationProgress, TrainingProgress } from "../../crds/contract/progress.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, optimizationJob, Space, trainingJob } from "./operator/objects.ts";

let server: ApiServer;
let space: Space;
let kubelet: FakeKubelet;
let operator: RunningOperator;

beforeAll(async () => {
  server = await startBed();
}, 90_000);
afterAll(async () => server.stop());

beforeEach(async () => {
  space = new Space(server.api, await server.namespace());
  kubelet = new FakeKubelet(server.api, space.namespace);
  const { namespace } = space;
  operator = await startOperator({ kubeconfig: server.kubeconfig, namespaces: [namespace], prober: new FakeProber() });
}, 30_000);
afterEach(async () => operator.stop(), 30_000);

const TRAINING = "modelwright.dev/training-job=digits";
const OPTIMIZATION = "modelwright.dev/optimization-job=small";

/** Ends the pod of a job with a report as the runtime writes it. */
async function end(label: string, report: (run: string) => object, exitCode = 0): Promise<string> {
  const [pod] = await kubelet.waitFor(label);
  if (pod === undefined) throw new Error("no pod");
  const run = pod.metadata.labels["modelwright.dev/run"] ?? "";
  await kubelet.end(pod, exitCode, JSON.stringify(report(run)));
  return run;
}

/** Lets the TrainingJob succeed with an artefact of that digest. */
async function train(character: string): Promise<string> {
  const run = await end(TRAINING, (name): TrainingProgress => ({
    kind: "TrainingProgress",
    run: name,
    state: "Succeeded",
    progressPercent: 100,
    epoch: 3,
    epochs: 3,
    step: 10,
    artefact: { uri: `pvc://models/digits/${name}`, digest: digest(character), format: "TfjsLayers", bytes: 4000 },
  }));
  await space.status("trainingjobs", "digits", "is trained", ({ artefact }) => artefact?.digest === digest(character));
  return run;
}

const measured = (more: Partial<Measurement>): Measurement => ({
  bytes: 4000,
  parameters: 1000,
  accuracy: 0.97,
  latencyP50Milliseconds: 1.234_567_8,
  throughputPerSecond: 810,
  ...more,
});

function optimized(run: string, more: Partial<OptimizationProgress> = {}): OptimizationProgress {
  return {
    kind: "OptimizationProgress",
    run,
    state: "Succeeded",
    progressPercent: 100,
    before: measured({}),
    after: measured({ bytes: 1000, accuracy: 0.969 }),
    sizeRatio: 4,
    speedup: 0.98,
    accuracyDrop: 0.001,
    artefact: { uri: `pvc://models/small/${run}`, digest: digest("b"), format: "TfjsLayers", bytes: 1000 },
    ...more,
  };
}

const status = (what: string, holds: Parameters<typeof space.status<"optimizationjobs">>[3]) =>
  space.status("optimizationjobs", "small", what, holds);

describe("an OptimizationJob", () => {
  it("waits for the model of a TrainingJob, pins it, and shows what was measured", async () => {
    await space.create(optimizationJob("small"));
    const waiting = await status("waits", (seen) => condition(seen, "Reconciling")?.reason === "WaitingForModel");
    expect(waiting.state).toBe("Pending");
    expect(condition(waiting, "Reconciling")?.message).toContain("TrainingJob digits does not exist");
    await space.create(trainingJob("digits"));
    const trained = await train("a");

    const { run = "" } = await status("has a run", (seen) => seen.run !== undefined);
    const map = await space.waitChild("configmaps", run);
    expect(JSON.parse(map.data?.["job.json"] ?? "")).toMatchObject({
      kind: "OptimizationRun",
      model: { uri: `pvc://models/digits/${trained}`, digest: digest("a") },
    });
    await end(OPTIMIZATION, optimized);
    const done = await status("has succeeded", ({ state }) => state === "Succeeded");
    expect(done).toMatchObject({
      sizeRatio: 4,
      speedup: 0.98,
      accuracyDrop: 0.001,
      before: { latencyP50Milliseconds: 1.2346 },
      after: { bytes: 1000, accuracy: 0.969 },
      model: { digest: digest("a") },
      artefact: { uri: `pvc://models/small/${run}` },
    });
    await space.waitEvent("small", "OptimizationStarted");
    await space.waitEvent("small", "ArtefactWritten");
  }, 60_000);

  it("runs again when its source has a new artefact, and a deployment follows", async () => {
    await space.create(trainingJob("digits"));
    await space.create(optimizationJob("small"));
    await space.create(modelDeployment("digits", { model: { from: { kind: "OptimizationJob", name: "small" } } }));
    await train("a");
    const first = await end(OPTIMIZATION, optimized);
    await space.status("modeldeployments", "digits", "serves it", ({ model }) => model?.digest === digest("b"));

    await space.patch("trainingjobs", "digits", { seed: 7 });
    await kubelet.waitFor(TRAINING);
    await train("c");
    const next = await status("runs again", ({ run, state }) => run !== first && state !== "Succeeded");
    expect(next.artefact?.digest).toBe(digest("b"));
    await end(OPTIMIZATION, (run) => ({
      ...optimized(run),
      artefact: { uri: `pvc://models/small/${run}`, digest: digest("d"), format: "TfjsLayers", bytes: 900 },
    }));
    const seen = await space.status(
      "modeldeployments",
      "digits",
      "updates",
      ({ canaryRevision }) => canaryRevision !== undefined,
    );
    expect(seen.model?.digest).toBe(digest("b"));
    const map = await space.waitChild("configmaps", seen.canaryRevision ?? "");
    expect(JSON.parse(map.data?.["job.json"] ?? "")).toMatchObject({ model: { digest: digest("d") } });
  }, 60_000);

  it("fails when a goal is missed, and says which", async () => {
    await space.create(optimizationJob("small", { model: { uri: "pvc://models/digits/one", digest: digest("a") } }));
    const message = "speedup 0.98 is below spec.goals.minSpeedup 2; lower it or prune";
    const failure = { reason: "GuardMissed" as const, message, exitCode: 78 };
    await end(OPTIMIZATION, (run) => optimized(run, { state: "Failed", failure, missedGoals: ["minSpeedup"] }), 78);
    const seen = await status("has failed", ({ state }) => state === "Failed");
    expect(seen.lastFailure).toMatchObject({ reason: "GuardMissed", message });
    expect(seen).toMatchObject({ speedup: 0.98, missedGoals: ["minSpeedup"] });
    expect(await space.waitEvent("small", "GuardMissed")).toBe(message);
  }, 60_000);

  it("refuses to be its own source", async () => {
    await space.create(optimizationJob("small", { model: { from: { kind: "OptimizationJob", name: "small" } } }));
    const seen = await status("is refused", ({ state }) => state === "Failed");
    expect(seen.lastFailure).toMatchObject({ reason: "InvalidSpec" });
    await space.waitEvent("small", "InvalidSpec");
  }, 30_000);
});
