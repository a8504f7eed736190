import { jest } from "@jest/globals";
import { installAddon } from "../cluster/addons.ts";
import { up } from "../cluster/cluster.ts";
import type { Kubectl, Observed } from "../cluster/kubectl.ts";
import { condition, deployment, digitsNamespace, isReady, type Platform, smallTraining } from "./platform.ts";
import { startPlatform, succeeded } from "./platform.ts";

jest.setTimeout(300_000);

const NAME = "e2e-kueue";
const quiet = () => undefined;

let platform: Platform;
let kubectl: Kubectl;
let remove: (() => Promise<void>) | undefined;

/** Kueue is built where it is not in the cache. */
beforeAll(async () => {
  platform = await startPlatform();
  await installAddon(await up({ log: quiet }), "kueue", quiet);
  ({ kubectl, remove } = await digitsNamespace(platform, NAME));
  await kubectl.apply(queueObject("ResourceFlavor", {}));
  await quota("500m");
  await kubectl.apply(queueObject("LocalQueue", { clusterQueue: NAME }));
  await kubectl.apply({
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: NAME },
    value: 1000,
    // Whom to stop is for Kueue to say.
    preemptionPolicy: "Never",
  });
}, 900_000);

afterAll(async () => {
  await remove?.();
  await kubectl.run(["delete", "localqueue", "--all", "--wait=false"]);
  await kubectl.run(["delete", "clusterqueue,resourceflavor,priorityclass", NAME, "--wait=false"]);
});

function queueObject(kind: string, spec: object) {
  return { apiVersion: "kueue.x-k8s.io/v1beta2", kind, metadata: { name: NAME }, spec };
}

/** Processors that all in the queue may ask for together. */
async function quota(cpu: string): Promise<void> {
  const resources = [
    { name: "cpu", nominalQuota: cpu },
    { name: "memory", nominalQuota: "16Gi" },
  ];
  const spec = {
    namespaceSelector: {},
    preemption: { withinClusterQueue: "LowerPriority" },
    resourceGroups: [{ coveredResources: ["cpu", "memory"], flavors: [{ name: NAME, resources }] }],
  };
  await kubectl.apply(queueObject("ClusterQueue", spec));
}

const POD = { resources: { requests: { cpu: "400m", memory: "256Mi" }, limits: { cpu: "1", memory: "1Gi" } } };
const queued = { ...POD, queueName: NAME };
const urgent = { ...queued, pod: { priorityClassName: NAME } };

const reasonOf = (object: Observed) => condition(object, "Queued")?.reason;
const stepOf = ({ status }: Observed) => Number(status?.step ?? 0);

async function eventsOf(name: string): Promise<string[]> {
  const text = await kubectl.run(["get", "events", "-o", "json"]);
  const { items } = JSON.parse(text) as { items: { reason: string; involvedObject: { name: string } }[] };
  return items.filter(({ involvedObject }) => involvedObject.name === name).map(({ reason }) => reason);
}

async function podsOf(label: string): Promise<string[]> {
  const names = await kubectl.run(["get", "pods", "-l", label, "-o", "name"]);
  return names === "" ? [] : names.split("\n");
}

it("a training is admitted, preempted by one of higher priority, and goes on where it was saved", async () => {
  // It does not end while it is looked at.
  const long = { ...queued, epochs: 100_000, batchSize: 16, checkpoint: { everyEpochs: 1 } };
  await kubectl.apply(smallTraining("first", long));
  await kubectl.until("trainingjob", "first", (job) => job.status?.state === "Training" && stepOf(job) >= 200);
  await kubectl.apply(smallTraining("second", queued));
  const second = await kubectl.until("trainingjob", "second", ({ status }) => status?.queue?.position === 1);
  expect(second.status).toMatchObject({ state: "Queued" });
  expect(condition(second, "Queued")).toMatchObject({ status: "True", reason: "WaitingForQuota" });

  await kubectl.apply(smallTraining("urgent", urgent));
  const preempted = await kubectl.until("trainingjob", "first", (job) => reasonOf(job) === "Preempted");
  expect(preempted.status).toMatchObject({ state: "Queued", restarts: 0 });
  expect(condition(preempted, "Failed")?.status).toBe("False");
  await kubectl.until("trainingjob", "urgent", succeeded);
  const first = await kubectl.until(
    "trainingjob",
    "first",
    (job) => job.status?.state === "Training" && stepOf(job) > (job.status.resumed?.step ?? Infinity),
  );
  expect(first.status?.resumed?.step).toBeGreaterThanOrEqual(200);
  expect(first.status).toMatchObject({ restarts: 0 });
  expect(reasonOf(first)).toBe("Admitted");
  expect(first.status?.lastFailure).toBeUndefined();
  expect(await eventsOf("first")).toEqual(expect.arrayContaining(["Admitted", "Preempted", "Resumed"]));
  // Its place is free for who still waits.
  await kubectl.run(["delete", "trainingjob", "first"]);
  await kubectl.until("trainingjob", "second", succeeded);
});

it("all workers of a training are admitted together, or none", async () => {
  await quota("500m");
  await kubectl.apply(smallTraining("pair", { ...queued, workers: 2, epochs: 100_000 }));
  // One of them would fit.
  await kubectl.until("trainingjob", "pair", (job) => reasonOf(job) === "WaitingForQuota");
  expect(await podsOf("modelwright.dev/training-job=pair")).toEqual([]);
  await quota("900m");
  const pair = await kubectl.until(
    "trainingjob",
    "pair",
    ({ status }) => status?.state === "Training" && status.workers?.running === 2,
  );
  expect(reasonOf(pair)).toBe("Admitted");
  await kubectl.run(["delete", "trainingjob", "pair"]);
});

it("a deployment serves with the pods that fit the quota, and goes on when one of them is preempted", async () => {
  await quota("500m");
  const model = { from: { kind: "TrainingJob", name: "urgent" } };
  await kubectl.apply(deployment("served", { ...queued, model, scaling: { replicas: 2 } }));
  const one = await kubectl.until(
    "modeldeployment",
    "served",
    (object) => isReady(object) && reasonOf(object) === "WaitingForQuota",
  );
  expect(one.status).toMatchObject({ readyReplicas: 1 });
  await quota("900m");
  await kubectl.until("modeldeployment", "served", ({ status }) => status?.readyReplicas === 2);

  // It takes the place of one pod for as long as it is there.
  await kubectl.apply(smallTraining("third", { ...urgent, epochs: 100_000 }));
  await kubectl.until("trainingjob", "third", ({ status }) => status?.state === "Training");
  const left = await kubectl.until(
    "modeldeployment",
    "served",
    (object) => reasonOf(object) === "WaitingForQuota" && object.status?.readyReplicas === 1,
  );
  expect(isReady(left)).toBe(true);
  await kubectl.run(["delete", "trainingjob", "third"]);
  const again = await kubectl.until("modeldeployment", "served", ({ status }) => status?.readyReplicas === 2);
  expect(isReady(again)).toBe(true);
});
