import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { FakeProber, IMAGE, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, digest, Space, trainingJob } from "./operator/objects.ts";

let server: ApiServer;
let space: Space;
let kubelet: FakeKubelet;
let prober: FakeProber;
let operator: RunningOperator;

beforeAll(async () => {
  server = await startBed();
}, 90_000);
afterAll(async () => server.stop());

beforeEach(async () => {
  space = new Space(server.api, await server.namespace());
  kubelet = new FakeKubelet(server.api, space.namespace);
  prober = new FakeProber();
  operator = await start();
}, 30_000);
afterEach(async () => operator.stop(), 30_000);

function start(): Promise<RunningOperator> {
  return startOperator({ kubeconfig: server.kubeconfig, namespaces: [space.namespace], prober });
}

const POD = "modelwright.dev/training-job=digits";

/** The run of the TrainingJob named digits, once the operator has named it. */
async function currentRun(): Promise<string> {
  const { run } = await space.status("trainingjobs", "digits", "has a run", (status) => status.run !== undefined);
  return run ?? "";
}

function progress(run: string, more: Partial<TrainingProgress> = {}): TrainingProgress {
  return {
    kind: "TrainingProgress",
    run,
    state: "Training",
    progressPercent: 33,
    etaSeconds: 20,
    engine: "TensorFlow",
    device: "CPU",
    epoch: 1,
    epochs: 3,
    step: 45,
    loss: 0.123_456_789,
    metrics: { accuracy: 0.912_345_67 },
    ...more,
  };
}

function result(run: string, more: Partial<TrainingProgress> = {}): TrainingProgress {
  return progress(run, {
    state: "Succeeded",
    progressPercent: 100,
    epoch: 3,
    evaluation: { loss: 0.1, accuracy: 0.97 },
    artefact: { uri: `pvc://models/digits/${run}`, digest: digest("a"), format: "TfjsLayers", bytes: 4096 },
    ...more,
  });
}

/** A moment of a training. */
const saved = (epoch: number, step: number) => ({ epoch, step, time: "2026-01-01T12:00:00Z" });

async function succeed(run: string): Promise<void> {
  const [pod] = await kubelet.waitFor(POD);
  if (pod === undefined) throw new Error("no pod");
  await kubelet.end(pod, 0, JSON.stringify(result(run)));
  await space.status("trainingjobs", "digits", "has succeeded", ({ state }) => state === "Succeeded");
}

describe("a TrainingJob", () => {
  it("becomes a Job, shows its progress and ends with its artefact", async () => {
    await space.create(trainingJob("digits"));
    const run = await currentRun();
    const job = await space.waitChild("jobs", run);
    const owner = await space.get("trainingjobs", "digits");
    expect(job.metadata.ownerReferences).toMatchObject([
      { name: "digits", uid: owner.metadata.uid, controller: true, blockOwnerDeletion: true },
    ]);
    const map = await space.waitChild("configmaps", run);
    expect(map.immutable).toBe(true);
    expect(JSON.parse(map.data?.["job.json"] ?? "")).toMatchObject({
      kind: "TrainingRun",
      job: { name: "digits", uid: owner.metadata.uid, run },
      output: { uri: `pvc://models/digits/${run}` },
    });

    const [pod] = await kubelet.waitFor(POD);
    if (pod === undefined) throw new Error("no pod");
    expect(pod.spec.containers[0]).toMatchObject({
      image: IMAGE,
      args: ["train", "--job", "/etc/modelwright/job.json"],
    });
    const address = await kubelet.run(pod);
    prober.set(address, progress(run));
    const training = await space.status("trainingjobs", "digits", "trains", ({ state }) => state === "Training");
    expect(training).toMatchObject({
      epoch: 1,
      epochs: 3,
      loss: 0.12346,
      metrics: { accuracy: 0.91235 },
      etaSeconds: 20,
    });
    expect(condition(training, "Reconciling")).toMatchObject({ status: "True", reason: "Running" });

    await kubelet.end(pod, 0, JSON.stringify(result(run)));
    const done = await space.status("trainingjobs", "digits", "has succeeded", ({ state }) => state === "Succeeded");
    expect(done).toMatchObject({
      progressPercent: 100,
      epoch: 3,
      evaluation: { accuracy: 0.97 },
      artefact: { uri: `pvc://models/digits/${run}`, digest: digest("a") },
      engine: "TensorFlow",
    });
    expect(done.etaSeconds).toBeUndefined();
    expect(condition(done, "Complete")?.status).toBe("True");
    expect(condition(done, "Reconciling")).toBeUndefined();
    await space.waitEvent("digits", "TrainingStarted");
    expect(await space.waitEvent("digits", "ArtefactWritten")).toContain(digest("a"));
  }, 60_000);

  it("keeps its result when Kubernetes removes the finished Job, and runs it only once", async () => {
    await space.create(trainingJob("digits", { ttlSecondsAfterFinished: 1 }));
    const run = await currentRun();
    expect((await space.waitChild("jobs", run)).spec["ttlSecondsAfterFinished"]).toBeUndefined();
    await succeed(run);
    await space.waitGone("jobs", run);
    await operator.stop();
    operator = await start();
    await new Promise((resolve) => setTimeout(resolve, 2000));
    expect(operator.writes).toEqual([]);
    expect(await space.child("jobs", run)).toBeUndefined();
    expect((await space.get("trainingjobs", "digits")).status.artefact?.digest).toBe(digest("a"));
  }, 60_000);

  it("starts a new run when its spec changes, removes the old Job, and keeps the last artefact meanwhile", async () => {
    await space.create(trainingJob("digits"));
    const first = await currentRun();
    await succeed(first);
    await space.patch("trainingjobs", "digits", { epochs: 5 });
    const seen = await space.status("trainingjobs", "digits", "has another run", ({ run }) => run !== first);
    expect(seen).toMatchObject({ state: "Pending", epoch: 0, epochs: 5, progressPercent: 0 });
    expect(seen.evaluation).toBeUndefined();
    expect(seen.artefact?.uri).toBe(`pvc://models/digits/${first}`);
    await space.waitGone("jobs", first);
    await space.waitGone("configmaps", first);
    await space.waitChild("jobs", seen.run ?? "");
  }, 60_000);

  it("finds its artefact again when its status is lost", async () => {
    await space.create(trainingJob("digits"));
    const run = await currentRun();
    await succeed(run);
    await operator.stop();
    await server.api.patch(`${space.path("trainingjobs", "digits")}/status`, { status: null });
    const job = await space.waitChild("jobs", run);
    await server.api.delete(`${space.childPath("jobs", run)}?propagationPolicy=Background`);
    await space.waitGone("jobs", run);
    operator = await start();
    const again = await space.waitChild("jobs", run, ({ metadata }) => metadata.uid !== job.metadata.uid);
    expect(again.metadata.name).toBe(run);
    const [pod] = await kubelet.waitFor(POD);
    if (pod === undefined) throw new Error("no pod");
    await kubelet.end(pod, 0, JSON.stringify(result(run, { adopted: true })));
    const seen = await space.status("trainingjobs", "digits", "has succeeded", ({ state }) => state === "Succeeded");
    expect(seen.artefact?.digest).toBe(digest("a"));
  }, 60_000);

  it("fails at once on wrong data, with the runtime's words, and is tried again when its resources change", async () => {
    await space.create(trainingJob("digits"));
    const run = await currentRun();
    const [pod] = await kubelet.waitFor(POD);
    if (pod === undefined) throw new Error("no pod");
    const message = "column digit of pvc://data/train.csv: line 3 is no number; correct the file";
    const failure = { reason: "DataRejected" as const, message, exitCode: 65 };
    await kubelet.end(pod, 65, JSON.stringify(progress(run, { state: "Failed", failure })));
    const seen = await space.status("trainingjobs", "digits", "has failed", ({ state }) => state === "Failed");
    expect(seen.lastFailure).toMatchObject({ reason: "DataRejected", message, exitCode: 65 });
    expect(condition(seen, "Failed")).toMatchObject({ status: "True", reason: "DataRejected" });
    expect(condition(seen, "Stalled")?.status).toBe("True");
    expect(await space.waitEvent("digits", "DataRejected")).toBe(message);
    const job = await space.waitChild("jobs", run);

    await space.patch("trainingjobs", "digits", { resources: { limits: { memory: "2Gi" } } });
    const again = await space.waitChild("jobs", run, ({ metadata }) => metadata.uid !== job.metadata.uid);
    expect(again.spec["template"]).toMatchObject({
      spec: { containers: [{ resources: { limits: { memory: "2Gi" } } }] },
    });
    await succeed(run);
  }, 60_000);

  it("names the limit to raise when a pod runs out of memory, and tries again", async () => {
    await space.create(trainingJob("digits", { backoffLimit: 2 }));
    const [pod] = await kubelet.waitFor(POD);
    if (pod === undefined) throw new Error("no pod");
    await kubelet.end(pod, 137, "", "OOMKilled");
    const seen = await space.status("trainingjobs", "digits", "tells", ({ lastFailure }) => lastFailure !== undefined);
    expect(seen.state).not.toBe("Failed");
    expect(seen.lastFailure).toMatchObject({ reason: "OutOfMemory", exitCode: 137 });
    expect(seen.lastFailure?.message).toContain("spec.resources.limits.memory");
    await succeed(await currentRun());
    expect((await space.get("trainingjobs", "digits")).status.lastFailure).toBeUndefined();
  }, 60_000);

  it("says which image cannot be pulled and what the scheduler lacks", async () => {
    await space.create(trainingJob("digits", { gpu: { count: 1 } }));
    const [pod] = await kubelet.waitFor(POD);
    if (pod === undefined) throw new Error("no pod");
    await kubelet.unschedulable(pod, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.");
    const waiting = await space.status(
      "trainingjobs",
      "digits",
      "waits",
      (status) => condition(status, "Reconciling")?.reason === "WaitingForGpu",
    );
    expect(waiting.state).toBe("Pending");
    await space.waitEvent("digits", "WaitingForGpu");
    await kubelet.waiting(pod, "ImagePullBackOff", "Back-off pulling image");
    const seen = await space.status(
      "trainingjobs",
      "digits",
      "cannot pull",
      ({ lastFailure }) => lastFailure?.reason === "ImagePullFailed",
    );
    expect(seen.lastFailure?.message).toContain(IMAGE);
  }, 60_000);

  it("stops its pod while it is suspended and goes on afterwards", async () => {
    await space.create(trainingJob("digits"));
    const run = await currentRun();
    await kubelet.waitFor(POD);
    await space.patch("trainingjobs", "digits", { suspend: true });
    await space.waitChild("jobs", run, ({ spec }) => spec.suspend === true);
    const seen = await space.status("trainingjobs", "digits", "is suspended", ({ state }) => state === "Suspended");
    expect(condition(seen, "Suspended")?.status).toBe("True");
    await kubelet.waitFor(POD, 0);
    await space.patch("trainingjobs", "digits", { suspend: false });
    await succeed(run);
    await space.waitEvent("digits", "Suspended");
    await space.waitEvent("digits", "Resumed");
  }, 60_000);

  it("loses nothing when it is suspended: it shows where its pod was saved, and where the next goes on", async () => {
    await space.create(trainingJob("digits"));
    const run = await currentRun();
    const [pod] = await kubelet.waitFor(POD);
    if (pod === undefined) throw new Error("no pod");
    await kubelet.bind(pod);
    prober.set(await kubelet.run(pod), progress(run, { checkpoint: saved(1, 45) }));
    await space.status("trainingjobs", "digits", "is saved", ({ checkpoint }) => checkpoint?.step === 45);
    expect(await space.waitEvent("digits", "CheckpointSaved")).toContain("epoch 1, step 45");

    await space.patch("trainingjobs", "digits", { suspend: true });
    // Its pod ends as it is taken away, not before.
    await kubelet.waitFor(POD, 0);
    const failure = { reason: "Terminated", message: "The run was asked to end", exitCode: 143 } as const;
    const last = progress(run, { state: "Failed", epoch: 1, step: 71, checkpoint: saved(1, 71), failure });
    await kubelet.end(pod, 143, JSON.stringify(last));
    // It is gone before its run is looked at.
    await kubelet.remove(pod);
    const seen = await space.status("trainingjobs", "digits", "is saved", ({ checkpoint }) => checkpoint?.step === 71);
    expect(seen).toMatchObject({ state: "Suspended", epoch: 1, step: 71, progressPercent: 33 });
    expect(seen.lastFailure).toBeUndefined();

    await space.patch("trainingjobs", "digits", { suspend: false });
    const [next] = await kubelet.waitFor(POD);
    if (next === undefined) throw new Error("no pod");
    const address = await kubelet.run(next);
    prober.set(address, progress(run, { state: "Starting", progressPercent: 0, epoch: 0, step: 0 }));
    const starting = await space.status("trainingjobs", "digits", "starts", ({ state }) => state === "Starting");
    expect(starting).toMatchObject({ epoch: 1, step: 71, progressPercent: 33 });
    prober.set(address, progress(run, { step: 80, checkpoint: saved(1, 71), resumed: saved(1, 71) }));
    const resumed = await space.status("trainingjobs", "digits", "goes on", ({ step }) => step === 80);
    expect(resumed).toMatchObject({ state: "Training", resumed: { step: 71 }, checkpoint: { step: 71 } });
    await kubelet.end(next, 0, JSON.stringify(result(run)));
    await space.status("trainingjobs", "digits", "has succeeded", ({ state }) => state === "Succeeded");
  }, 60_000);

  it("tells its next pod when states are to be saved at other times", async () => {
    await space.create(trainingJob("digits"));
    const run = await currentRun();
    const job = await space.waitChild("jobs", run);
    await space.patch("trainingjobs", "digits", { checkpoint: { everySteps: 50, keep: 3 } });
    await space.waitChild("jobs", run, ({ metadata }) => metadata.uid !== job.metadata.uid);
    const map = await space.waitChild("configmaps", run);
    expect(JSON.parse(map.data?.["job.json"] ?? "")).toMatchObject({ checkpoint: { everySteps: 50, keep: 3 } });
    await succeed(run);
  }, 60_000);

  it("shows the API server's own words about a wrong affinity, and starts when it is corrected", async () => {
    const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } } };
    await space.create(trainingJob("digits", { pod: { affinity } }));
    const seen = await space.status(
      "trainingjobs",
      "digits",
      "is refused",
      ({ lastFailure }) => lastFailure !== undefined,
    );
    expect(seen.state).toBe("Failed");
    expect(seen.lastFailure?.reason).toBe("InvalidSpec");
    expect(seen.lastFailure?.message).toContain("nodeSelectorTerms");
    await space.waitEvent("digits", "InvalidSpec");
    await space.patch("trainingjobs", "digits", { pod: null });
    await succeed(seen.run ?? "");
  }, 60_000);

  it("names the quota that keeps its pod from being created", async () => {
    const quotas = `/api/v1/namespaces/${space.namespace}/resourcequotas`;
    const hard = { "requests.memory": "1Gi" };
    await server.api.post(quotas, { metadata: { name: "small" }, spec: { hard } });
    await server.api.patch(`${quotas}/small/status`, { status: { hard, used: { "requests.memory": "0" } } });
    await space.create(trainingJob("digits", { resources: { requests: { memory: "2Gi" } } }));
    const seen = await space.status(
      "trainingjobs",
      "digits",
      "names it",
      (status) => condition(status, "Reconciling")?.reason === "QuotaExceeded",
    );
    expect(condition(seen, "Reconciling")?.message).toContain("exceeded quota: small");
  }, 60_000);

  it("leaves a foreign Job of the same name alone and says so", async () => {
    await operator.stop();
    await space.create(trainingJob("digits"));
    operator = await start();
    const run = await currentRun();
    await space.waitChild("jobs", run);
    await operator.stop();
    await server.api.delete(`${space.childPath("jobs", run)}?propagationPolicy=Background`);
    await space.waitGone("jobs", run);
    const template = { spec: { restartPolicy: "Never", containers: [{ name: "main", image: "example" }] } };
    const foreign = await space.api.post<{ metadata: { uid: string } }>(space.childPath("jobs"), {
      metadata: { name: run },
      spec: { suspend: true, template },
    });
    operator = await start();
    const seen = await space.status(
      "trainingjobs",
      "digits",
      "sees the conflict",
      (status) => condition(status, "Stalled")?.reason === "NameConflict",
    );
    expect(seen.lastFailure?.message).toContain(`Job ${run}`);
    expect((await space.child("jobs", run))?.metadata.uid).toBe(foreign.metadata.uid);
    expect(operator.writes.filter((write) => write.startsWith("DELETE"))).toEqual([]);
  }, 60_000);
});
