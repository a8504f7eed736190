import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { ApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, modelDeployment, Space, trainingJob } from "./operator/objects.ts";

/** The tests play Kueue: they write what Kueue 0.19 writes to Jobs, pods and Workloads. */
let server: ApiServer;
let space: Space;
let operator: RunningOperator;

beforeAll(async () => {
  server = await startBed();
}, 90_000);
afterAll(async () => server.stop());

beforeEach(async () => {
  space = new Space(server.api, await server.namespace());
  operator = await start();
}, 30_000);
afterEach(async () => operator.stop(), 30_000);

const start = () =>
  startOperator({ kubeconfig: server.kubeconfig, namespaces: [space.namespace], prober: new FakeProber() });

const QUEUE = "kueue.x-k8s.io/queue-name";
const GATE = "kueue.x-k8s.io/admission";
const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const queued = { queueName: "team-a" };

const anything = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
const WORKLOADS = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "workloads.kueue.x-k8s.io", annotations: { "api-approved.kubernetes.io": "unapproved, a test" } },
  spec: {
    group: "kueue.x-k8s.io",
    scope: "Namespaced",
    names: { plural: "workloads", singular: "workload", kind: "Workload", listKind: "WorkloadList" },
    versions: [
      {
        name: "v1beta2",
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: { type: "object", properties: { spec: anything, status: anything } } },
      },
    ],
  },
};

const workloads = (name = "") =>
  `/apis/kueue.x-k8s.io/v1beta2/namespaces/${space.namespace}/workloads${name && `/${name}`}`;

type Said = [type: string, status: "True" | "False", reason: string, message: string];

async function addWorkload(kind: "Job" | "Pod", owner: { name: string; uid: string }): Promise<string> {
  const name = `${kind.toLowerCase()}-${owner.name}`.slice(0, 63);
  const apiVersion = kind === "Job" ? "batch/v1" : "v1";
  const ownerReferences = [{ apiVersion, kind, name: owner.name, uid: owner.uid, controller: true }];
  const base = { apiVersion: "kueue.x-k8s.io/v1beta2", kind: "Workload" };
  await server.api.post(workloads(), {
    ...base,
    metadata: { name, ownerReferences },
    spec: { active: true, queueName: "team-a" },
  });
  return name;
}

async function say(workload: string, conditions: Said[], clusterQueue?: string): Promise<void> {
  const lastTransitionTime = new Date().toISOString();
  await server.api.patch(`${workloads(workload)}/status`, {
    status: {
      conditions: conditions.map(([type, status, reason, message]) => ({
        type,
        status,
        reason,
        message,
        lastTransitionTime,
      })),
      admission: clusterQueue === undefined ? null : { clusterQueue },
    },
  });
}

const NO_QUOTA: Said = ["QuotaReserved", "False", "Pending", "insufficient unused quota for cpu, 1 more needed"];
const ADMITTED: Said[] = [
  ["QuotaReserved", "True", "QuotaReserved", "Quota reserved in ClusterQueue team"],
  ["Admitted", "True", "Admitted", "The workload is admitted"],
];
const PREEMPTED: Said = ["Evicted", "True", "Preempted", "Preempted to accommodate a workload"];

const inQueue = (reason: string) => (status: Parameters<typeof condition>[0]) =>
  condition(status, "Queued")?.reason === reason;

describe("an object with spec.queueName", () => {
  it("waits and says why while Kueue is not installed, and goes on when it is", async () => {
    await space.create(trainingJob("digits", queued));
    await space.create(modelDeployment("served", queued));
    const training = await space.status("trainingjobs", "digits", "misses Kueue", inQueue("KueueNotInstalled"));
    expect(training).toMatchObject({ state: "Queued" });
    expect(condition(training, "Stalled")?.message).toContain("install it, or remove spec.queueName");
    const served = await space.status("modeldeployments", "served", "misses Kueue", inQueue("KueueNotInstalled"));
    expect(condition(served, "Ready")).toMatchObject({ status: "False", reason: "KueueNotInstalled" });
    expect(await space.children("deployments")).toEqual([]);
    expect((await space.waitChild("jobs", training.run ?? "")).spec.suspend).toBe(true);
    await space.waitEvent("digits", "KueueNotInstalled");

    await server.api.post(CRDS, WORKLOADS);
    // It is looked for at most half a minute later.
    const minute = 60_000;
    await space.status("trainingjobs", "digits", "waits for it", inQueue("WaitingForAdmission"), minute);
    await until("the revision is there", async () => (await space.children("deployments")).length === 1, {
      within: minute,
    });
    const [deployment] = await space.children("deployments");
    expect(deployment?.metadata.labels).toMatchObject({ [QUEUE]: "team-a" });
    expect(deployment?.spec).toMatchObject({ template: { metadata: { labels: { [QUEUE]: "team-a" } } } });
  }, 150_000);

  it("is queued, admitted, preempted and admitted again by Kueue alone, with what Kueue adds to its Job", async () => {
    await space.create(trainingJob("digits", { ...queued, workers: 2 }));
    const { run = "" } = await space.status(
      "trainingjobs",
      "digits",
      "has a run",
      ({ run: name }) => name !== undefined,
    );
    const job = await space.waitChild("jobs", run);
    expect(job.metadata.labels).toMatchObject({ [QUEUE]: "team-a" });
    expect(job.spec).toMatchObject({ suspend: true, parallelism: 2, completionMode: "Indexed" });
    const workload = await addWorkload("Job", job.metadata);
    await say(workload, [NO_QUOTA]);
    const waiting = await space.status("trainingjobs", "digits", "waits", inQueue("WaitingForQuota"));
    expect(waiting.state).toBe("Queued");
    expect(condition(waiting, "Queued")?.message).toContain("1 more needed");

    // First its template, as long as it is suspended.
    const added = {
      nodeSelector: { pool: "a100" },
      tolerations: [{ key: "spot", operator: "Exists", effect: "NoSchedule" }],
      schedulingGates: [{ name: "kueue.x-k8s.io/topology" }],
    };
    const metadata = { labels: { "kueue.x-k8s.io/podset": "main" } };
    await server.api.patch(space.childPath("jobs", run), { spec: { template: { metadata, spec: added } } });
    await server.api.patch(space.childPath("jobs", run), { spec: { suspend: false } });
    await say(workload, ADMITTED, "team");
    const admitted = await space.status("trainingjobs", "digits", "is admitted", inQueue("Admitted"));
    expect(admitted).toMatchObject({ state: "Pending", queue: { clusterQueue: "team" } });
    // A change that the operator writes to the Job leaves all that alone.
    await space.patch("trainingjobs", "digits", { backoffLimit: 1 });
    const changed = await space.waitChild("jobs", run, ({ spec }) => spec["backoffLimit"] === 1);
    expect(changed.metadata.uid).toBe(job.metadata.uid);
    expect(changed.spec).toMatchObject({ suspend: false, template: { metadata, spec: added } });

    await server.api.patch(space.childPath("jobs", run), { spec: { suspend: true } });
    await say(workload, [NO_QUOTA, PREEMPTED]);
    const preempted = await space.status("trainingjobs", "digits", "is preempted", inQueue("Preempted"));
    expect(preempted).toMatchObject({ state: "Queued", restarts: 0 });
    expect(condition(preempted, "Failed")?.status).toBe("False");
    expect(preempted.lastFailure).toBeUndefined();
    await say(workload, ADMITTED, "team");
    await server.api.patch(space.childPath("jobs", run), { spec: { suspend: false } });
    await space.status("trainingjobs", "digits", "is admitted again", inQueue("Admitted"));
    for (const reason of ["WaitingForQuota", "Admitted", "Preempted"]) await space.waitEvent("digits", reason);

    // A restart by itself writes nothing.
    const before = await space.get("trainingjobs", "digits");
    await operator.stop();
    operator = await start();
    await space.patch("trainingjobs", "digits", { backoffLimit: 2 });
    await space.waitChild("jobs", run, ({ spec }) => spec["backoffLimit"] === 2);
    const { observedGeneration } = await space.status(
      "trainingjobs",
      "digits",
      "is as its spec",
      (status, { metadata: { generation } }) => status.observedGeneration === generation,
    );
    const after = await space.get("trainingjobs", "digits");
    expect(condition(after.status, "Queued")).toEqual({ ...condition(before.status, "Queued"), observedGeneration });
    // Its own suspension removes the Job, and with it the use of quota.
    await space.patch("trainingjobs", "digits", { suspend: true });
    await space.waitGone("jobs", run);
    await space.status("trainingjobs", "digits", "is suspended", ({ state }) => state === "Suspended");
    await space.patch("trainingjobs", "digits", { suspend: false });
    expect((await space.waitChild("jobs", run)).metadata.uid).not.toBe(job.metadata.uid);
  }, 120_000);

  it("serves with the pods that were admitted while others wait, and says so", async () => {
    const kubelet = new FakeKubelet(server.api, space.namespace);
    await space.create(modelDeployment("served", { ...queued, scaling: { replicas: 2 } }));
    const label = "modelwright.dev/model-deployment=served";
    const [first, second] = await kubelet.waitFor(label, 2);
    if (first === undefined || second === undefined) throw new Error("no pods");
    await kubelet.run(first, { ready: true });
    await say(await addWorkload("Pod", first.metadata), ADMITTED, "team");
    await kubelet.gated(second, GATE);
    const held = await addWorkload("Pod", second.metadata);
    await say(held, [NO_QUOTA]);
    const waits = await space.status("modeldeployments", "served", "one waits", inQueue("WaitingForQuota"));
    expect(condition(waits, "Queued")?.message).toMatch(/^1 of 2 pods wait: .*1 more needed/);
    const scaling = await space.status(
      "modeldeployments",
      "served",
      "the other serves",
      (status) => condition(status, "Ready")?.status === "True",
    );
    expect(condition(scaling, "Ready")?.reason).toBe("Scaling");
    expect(scaling.lastFailure).toBeUndefined();
    await say(held, ADMITTED, "team");
    await kubelet.run(second, { ready: true });
    const all = await space.status("modeldeployments", "served", "both serve", inQueue("Admitted"));
    expect(condition(all, "Ready")?.status).toBe("True");
    await space.waitEvent("served", "WaitingForQuota");
  }, 60_000);
});
