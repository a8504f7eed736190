import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { ServingProgress } from "../../crds/contract/progress.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FakeProber, IMAGE, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet, type Pod } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, Space } from "./operator/objects.ts";

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

function start(image = IMAGE): Promise<RunningOperator> {
  return startOperator({ kubeconfig: server.kubeconfig, namespaces: [space.namespace], prober, image });
}

const labelOf = (revision: string) => `modelwright.dev/revision=${revision}`;

function report(revision: string, character: string, more: Partial<ServingProgress> = {}): ServingProgress {
  return {
    kind: "ServingProgress",
    revision,
    state: "Serving",
    engine: "TensorFlow",
    device: "CPU",
    model: { uri: "pvc://models/digits/one", digest: digest(character) },
    loadSeconds: 0.123_456,
    ...more,
  };
}

/** Lets pods of a revision serve a model with the digest of that character. */
async function serve(revision: string, character: string, count = 1): Promise<Pod[]> {
  const pods = await kubelet.waitFor(labelOf(revision), count);
  for (const pod of pods) {
    if (pod.status.phase === "Running") continue;
    const address = await kubelet.run(pod);
    prober.set(address, report(revision, character));
    await kubelet.run(pod, { ready: true });
  }
  return pods;
}

/** Lets a pod that failed before serve. */
async function serveAgain(pod: Pod, revision: string): Promise<void> {
  prober.set(await kubelet.run(pod, { restarts: 2 }), report(revision, "1"));
  await kubelet.run(pod, { ready: true, restarts: 2 });
}

const status = (what: string, holds: Parameters<typeof space.status<"modeldeployments">>[3], within?: number) =>
  space.status("modeldeployments", "digits", what, holds, within);

/** Creates a deployment with a first revision that serves. Returns the revision. */
async function served(spec: Record<string, unknown> = {}, replicas = 1): Promise<string> {
  await space.create(modelDeployment("digits", { scaling: { replicas }, ...spec }));
  const { stableRevision = "" } = await status("has a revision", ({ stableRevision: name }) => name !== undefined);
  await serve(stableRevision, "1", replicas);
  await status("serves", (seen) => condition(seen, "Ready")?.reason === "Serving" && seen.engine !== undefined);
  return stableRevision;
}

const SECOND = { model: { uri: "pvc://models/digits/two", digest: digest("2") } };

/** Asks for the second model. Returns the name of its revision. */
async function update(): Promise<string> {
  await space.patch("modeldeployments", "digits", SECOND);
  const { canaryRevision = "" } = await status("updates", ({ canaryRevision: name }) => name !== undefined);
  return canaryRevision;
}

async function selected(): Promise<string | undefined> {
  return (await space.child("services", "digits"))?.spec.selector?.["modelwright.dev/revision"];
}

describe("a ModelDeployment", () => {
  it("becomes a Deployment behind a Service, and says what serves", async () => {
    const revision = await served();
    expect(await selected()).toBe(revision);
    const service = await space.waitChild("services", "digits");
    expect(service.spec["ports"]).toMatchObject([
      { name: "http", port: 80, targetPort: "http" },
      { name: "grpc", port: 9000, targetPort: "grpc" },
    ]);
    const map = await space.waitChild("configmaps", revision);
    expect(map.immutable).toBe(true);
    expect(JSON.parse(map.data?.["job.json"] ?? "")).toMatchObject({
      kind: "ServingRun",
      revision,
      model: { uri: "pvc://models/digits/one", digest: digest("1") },
    });
    const seen = await status("is complete", ({ engine }) => engine !== undefined);
    expect(seen).toMatchObject({
      url: `http://digits.${space.namespace}.svc`,
      grpcUrl: `digits.${space.namespace}.svc:9000`,
      replicas: 1,
      readyReplicas: 1,
      selector: `modelwright.dev/model-deployment=digits,modelwright.dev/revision=${revision}`,
      model: { uri: "pvc://models/digits/one", digest: digest("1") },
      engine: "TensorFlow",
      performance: { loadSeconds: 0.12346 },
      revisions: [{ name: revision, state: "Serving" }],
    });
    // Nothing that it does not need: one pod has no budget, and what serves has the one Service.
    expect(await space.children("services")).toHaveLength(1);
    expect(await space.children("poddisruptionbudgets")).toEqual([]);
  }, 60_000);

  it("switches to a new version when all its pods serve, and stops the old one when traffic has moved", async () => {
    const first = await served({ rollout: { keepPrevious: "0s" } }, 2);
    const budget = await space.waitChild("poddisruptionbudgets", first);
    expect(budget.spec).toMatchObject({ maxUnavailable: 1, unhealthyPodEvictionPolicy: "AlwaysAllow" });
    const second = await update();
    await space.waitEvent("digits", "RevisionCreated");
    await space.waitChild("services", second);
    await kubelet.waitFor(labelOf(second), 2);
    expect((await space.child("deployments", first))?.spec.replicas).toBe(2);
    const [one] = await kubelet.waitFor(labelOf(second), 2);
    if (one === undefined) throw new Error("no pod");
    prober.set(await kubelet.run(one), report(second, "2"));
    await kubelet.run(one, { ready: true });
    await status(
      "has one ready pod of two",
      ({ revisions }) => revisions?.some(({ name, readyReplicas }) => name === second && readyReplicas === 1) === true,
    );
    expect(await selected()).toBe(first);

    await serve(second, "2", 2);
    await status("serves the second", ({ stableRevision }) => stableRevision === second);
    expect(await selected()).toBe(second);
    await space.waitChild("deployments", first, ({ spec }) => spec.replicas === 0);
    const seen = await status("is done", (now) => condition(now, "Ready")?.reason === "Serving");
    expect(seen.model?.digest).toBe(digest("2"));
    expect(seen.revisions).toMatchObject([{ name: second }, { name: first, state: "Retired" }]);
    await space.waitEvent("digits", "Promoted");
  }, 60_000);

  it("gives a version up that cannot load, keeps the old one, and returns to it by name", async () => {
    const first = await served();
    const second = await update();
    const [pod] = await kubelet.waitFor(labelOf(second));
    if (pod === undefined) throw new Error("no pod");
    const failure = {
      reason: "DigestMismatch",
      message: "the model at spec.model.uri has another digest",
      exitCode: 65,
    };
    const said = { ...report(second, "2"), state: "Failed", failure };
    await kubelet.crash(pod, 65, JSON.stringify(said));
    const failed = await status("failed", (now) => condition(now, "Ready")?.reason === "UpdateFailed", 10_000);
    expect(failed.lastFailure).toMatchObject({ reason: "DigestMismatch", exitCode: 65, revision: second });
    expect(condition(failed, "Ready")).toMatchObject({ status: "True", reason: "UpdateFailed" });
    expect(condition(failed, "Stalled")?.status).toBe("True");
    await space.waitChild("deployments", second, ({ spec }) => spec.replicas === 0);
    expect(await selected()).toBe(first);
    const given = await status(
      "lists it",
      ({ revisions }) => revisions?.some(({ state }) => state === "Failed") === true,
    );
    expect(given.stableRevision).toBe(first);
    await space.waitEvent("digits", "RolledBack");

    await space.patch("modeldeployments", "digits", { model: { uri: "pvc://models/digits/one", digest: digest("1") } });
    const back = await status("is well", (now) => condition(now, "Ready")?.reason === "Serving");
    expect(back.stableRevision).toBe(first);
    expect(back.lastFailure).toBeUndefined();

    // The same version asked for again is tried anew.
    await space.patch("modeldeployments", "digits", SECOND);
    await space.waitChild("deployments", second, ({ spec }) => spec.replicas === 1);
    await serve(second, "2");
    await status("serves the second", ({ stableRevision }) => stableRevision === second);
  }, 60_000);

  it("pins what the first pod loaded where the manifest names no digest", async () => {
    await space.create(
      modelDeployment("digits", { model: { uri: "pvc://models/digits/one" }, scaling: { replicas: 2 } }),
    );
    const { stableRevision = "" } = await status("has a revision", ({ stableRevision: name }) => name !== undefined);
    const [one, two] = await kubelet.waitFor(labelOf(stableRevision), 2);
    if (one === undefined || two === undefined) throw new Error("no pods");
    expect((await space.child("configmaps", stableRevision))?.immutable).toBeUndefined();
    prober.set(await kubelet.run(one), report(stableRevision, "7"));
    await kubelet.run(one, { ready: true });
    const map = await space.waitChild("configmaps", stableRevision, ({ immutable }) => immutable === true);
    expect(JSON.parse(map.data?.["job.json"] ?? "")).toMatchObject({ model: { digest: digest("7") } });
    await status("shows the digest", ({ model }) => model?.digest === digest("7"));

    prober.set(await kubelet.run(two), report(stableRevision, "8"));
    await kubelet.run(two, { ready: true });
    await until("the pod with other bytes is deleted", async () =>
      (await kubelet.pods(labelOf(stableRevision))).every(({ metadata }) => metadata.name !== two.metadata.name),
    );
    const seen = await status("tells why", ({ lastFailure }) => lastFailure !== undefined);
    expect(seen.lastFailure?.reason).toBe("DigestMismatch");
    expect(condition(seen, "Ready")?.status).toBe("True");
  }, 60_000);

  it("is scaled by kubectl scale, stopped by suspend and started again", async () => {
    const revision = await served();
    await server.api.patch(`${space.path("modeldeployments", "digits")}/scale`, { spec: { replicas: 3 } });
    await serve(revision, "1", 3);
    await status("has 3 pods", ({ readyReplicas }) => readyReplicas === 3);
    const scale = await server.api.get<{ status: { replicas: number; selector: string } }>(
      `${space.path("modeldeployments", "digits")}/scale`,
    );
    expect(scale.status.replicas).toBe(3);
    expect(scale.status.selector).toContain(revision);
    await space.waitEvent("digits", "ScaledUp");

    await space.patch("modeldeployments", "digits", { suspend: true });
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 0);
    const seen = await status("is suspended", ({ replicas }) => replicas === 0);
    expect(condition(seen, "Suspended")?.status).toBe("True");
    expect(condition(seen, "Ready")).toMatchObject({ status: "False", reason: "Suspended" });
    await space.patch("modeldeployments", "digits", { suspend: false, scaling: { replicas: 1 } });
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 1);
    await serve(revision, "1");
    await status("serves", (now) => condition(now, "Ready")?.reason === "Serving");
    await space.waitEvent("digits", "Resumed");
  }, 60_000);
});

describe("a ModelDeployment in trouble", () => {
  it("gives up a version that is not ready in time", async () => {
    const first = await served({ rollout: { progressDeadline: "2s" } });
    const second = await update();
    const [pod] = await kubelet.waitFor(labelOf(second));
    if (pod === undefined) throw new Error("no pod");
    await kubelet.run(pod);
    const seen = await status("is given up", (now) => condition(now, "Ready")?.reason === "UpdateFailed", 10_000);
    expect(seen.lastFailure).toMatchObject({ reason: "ProgressDeadlineExceeded", revision: second });
    expect(seen.stableRevision).toBe(first);
    await kubelet.waitFor(labelOf(second), 0);
  }, 60_000);

  it("gives up a version whose image cannot be pulled", async () => {
    const first = await served();
    await space.patch("modeldeployments", "digits", { runtime: { image: "registry.example/none:1" } });
    const { canaryRevision: second = "" } = await status(
      "updates",
      ({ canaryRevision }) => canaryRevision !== undefined,
    );
    const [pod] = await kubelet.waitFor(labelOf(second));
    if (pod === undefined) throw new Error("no pod");
    await kubelet.waiting(pod, "ErrImagePull");
    await kubelet.waiting(pod, "ImagePullBackOff");
    const seen = await status("is given up", (now) => condition(now, "Ready")?.reason === "UpdateFailed", 10_000);
    expect(seen.lastFailure?.reason).toBe("ImagePullFailed");
    expect(seen.lastFailure?.message).toContain("registry.example/none:1");
    expect(await selected()).toBe(first);
  }, 60_000);

  it("shows why the first version does not come up, keeps trying, and serves when the cause has gone", async () => {
    await space.create(modelDeployment("digits"));
    const { stableRevision = "" } = await status("has a revision", ({ stableRevision: name }) => name !== undefined);
    const [pod] = await kubelet.waitFor(labelOf(stableRevision));
    if (pod === undefined) throw new Error("no pod");
    await kubelet.unschedulable(pod, 'persistentvolumeclaim "models" not found');
    await status("names the claim", (now) => condition(now, "Ready")?.reason === "ClaimNotFound");
    const failure = { reason: "InputMissing", message: "there is no model at pvc://models/digits/one", exitCode: 66 };
    await kubelet.crash(pod, 66, JSON.stringify({ ...report(stableRevision, "1"), state: "Failed", failure }));
    const seen = await status("names the input", (now) => condition(now, "Ready")?.reason === "InputMissing");
    expect(condition(seen, "Stalled")?.message).toBe(failure.message);
    expect((await space.child("deployments", stableRevision))?.spec.replicas).toBe(1);
    await serveAgain(pod, stableRevision);
    const well = await status("serves", (now) => condition(now, "Ready")?.reason === "Serving");
    expect(condition(well, "Stalled")).toBeUndefined();
  }, 60_000);

  it("replaces a first version that never served by the next one, also where there is room for one only", async () => {
    await space.create(modelDeployment("digits"));
    const { stableRevision: first = "" } = await status(
      "has a revision",
      ({ stableRevision: name }) => name !== undefined,
    );
    const [pod] = await kubelet.waitFor(labelOf(first));
    if (pod === undefined) throw new Error("no pod");
    await kubelet.crash(pod, 66);
    await status("fails", (now) => condition(now, "Ready")?.reason === "InputMissing");
    const second = await update();
    await space.waitChild("deployments", first, ({ spec }) => spec.replicas === 0);
    await kubelet.waitFor(labelOf(first), 0);
    await serve(second, "2");
    await status(
      "serves the second",
      (now) => now.stableRevision === second && condition(now, "Ready")?.reason === "Serving",
    );
  }, 60_000);

  it("goes on serving while an update is refused by the API server, and says why", async () => {
    const first = await served();
    await space.patch("modeldeployments", "digits", { pod: { nodeSelector: { "bad key": "x" } } });
    const seen = await status("is refused", (now) => condition(now, "Ready")?.reason === "UpdateFailed");
    expect(condition(seen, "Ready")?.status).toBe("True");
    expect(seen.lastFailure?.reason).toBe("InvalidSpec");
    expect(seen.lastFailure?.message).toContain("bad key");
    expect(await selected()).toBe(first);
  }, 60_000);

  it("names the quota that keeps its pods from being created", async () => {
    await server.api.post(`/api/v1/namespaces/${space.namespace}/resourcequotas`, {
      metadata: { name: "small" },
      spec: { hard: { "requests.memory": "1Gi" } },
      status: {},
    });
    await server.api.patch(`/api/v1/namespaces/${space.namespace}/resourcequotas/small/status`, {
      status: { hard: { "requests.memory": "1Gi" }, used: { "requests.memory": "0" } },
    });
    await space.create(modelDeployment("digits", { resources: { requests: { memory: "2Gi" } } }));
    const seen = await status("names it", (now) => condition(now, "Ready")?.reason === "QuotaExceeded");
    expect(condition(seen, "Ready")?.message).toContain("exceeded quota: small");
  }, 60_000);

  it("repairs what somebody else changed or removed", async () => {
    const revision = await served();
    await server.api.patch(space.childPath("services", "digits"), {
      spec: { selector: { "modelwright.dev/revision": "none" } },
    });
    await until("the selector is back", async () => (await selected()) === revision);
    await server.api.delete(space.childPath("services", "digits"));
    await space.waitChild("services", "digits");
    await server.api.patch(space.childPath("deployments", revision), {
      spec: { template: { spec: { terminationGracePeriodSeconds: 1 } }, replicas: 5 },
    });
    await space.waitChild("deployments", revision, ({ spec }) => {
      const { spec: pod } = spec["template"] as { spec: { terminationGracePeriodSeconds: number } };
      return spec.replicas === 1 && pod.terminationGracePeriodSeconds === 60;
    });
  }, 60_000);
});

describe("the operator", () => {
  it("writes nothing when it starts again, also with another default image", async () => {
    const revision = await served();
    await operator.stop();
    operator = await start("registry.example/modelwright/runtime:2");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(operator.writes).toEqual([]);
    expect((await space.child("deployments", revision))?.spec.replicas).toBe(1);
  }, 60_000);

  it("leaves a foreign Service of the same name alone and says so", async () => {
    const spec = { ports: [{ port: 80 }], selector: { app: "other" } };
    await server.api.post(space.childPath("services"), { metadata: { name: "digits" }, spec });
    await space.create(modelDeployment("digits"));
    const seen = await status("sees the conflict", (now) => condition(now, "Ready")?.reason === "NameConflict");
    expect(condition(seen, "Ready")?.message).toContain("Service digits");
    expect(condition(seen, "Stalled")?.status).toBe("True");
    expect((await space.child("services", "digits"))?.spec.selector).toEqual({ app: "other" });
  }, 60_000);

  it("lets Kubernetes remove all children with their owner", async () => {
    const revision = await served();
    await server.api.delete(space.path("modeldeployments", "digits"));
    await space.waitGone("deployments", revision);
    await space.waitGone("configmaps", revision);
    await space.waitGone("services", "digits");
  }, 60_000);
});
