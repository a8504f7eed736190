import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { ApiServer } from "../cluster/apiserver.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, optimizationJob, Space, trainingJob } from "./operator/objects.ts";
import { CHART, type Operator, Release, startPlainServer } from "./operator/release.ts";

let server: ApiServer;
let release: Release;
let space: Space;
let operator: Operator;
let folder: string;

beforeAll(async () => {
  server = await startPlainServer();
  release = new Release(server, await server.namespace("system"));
  space = new Space(server.api, await server.namespace("team"));
  folder = await mkdtemp(join(tmpdir(), "modelwright-chart-"));
  await release.install(CHART);
  operator = await release.operator();
  await inUse();
}, 120_000);
afterAll(async () => {
  await release.stop();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}, 30_000);

/** A model that serves, a job that runs, one that has ended, one that was given up, one that waits. */
async function inUse(): Promise<void> {
  const kubelet = new FakeKubelet(server.api, space.namespace);
  const pod = async (label: string) => {
    const [first] = await kubelet.waitFor(label);
    if (first === undefined) throw new Error(`no pod has ${label}`);
    return first;
  };
  await space.create(trainingJob("running"));
  await space.create(trainingJob("done"));
  await space.create(trainingJob("failed", { backoffLimit: 0 }));
  await space.create(trainingJob("suspended", { suspend: true }));
  await space.create(optimizationJob("waiting", { model: { from: { kind: "TrainingJob", name: "none" } } }));
  await space.create(modelDeployment("served"));
  await kubelet.run(await pod("modelwright.dev/training-job=running"));
  await kubelet.end(await pod("modelwright.dev/training-job=failed"), 66);
  const ended = await pod("modelwright.dev/training-job=done");
  const run = ended.metadata.labels["modelwright.dev/run"] ?? "";
  const artefact = { uri: `pvc://models/digits/${run}`, digest: digest("a"), format: "TfjsLayers", bytes: 1 };
  const report = { kind: "TrainingProgress", run, state: "Succeeded", progressPercent: 100, epoch: 3, epochs: 3 };
  await kubelet.end(ended, 0, JSON.stringify({ ...report, step: 1, artefact }));
  await kubelet.run(await pod("modelwright.dev/model-deployment=served"), { ready: true });
  await space.status("trainingjobs", "running", "runs", ({ state }) => state === "Starting");
  await space.status("trainingjobs", "done", "has succeeded", ({ state }) => state === "Succeeded");
  await space.status("trainingjobs", "failed", "has failed", ({ state }) => state === "Failed");
  await space.status("trainingjobs", "suspended", "is suspended", ({ state }) => state === "Suspended");
  await space.status("optimizationjobs", "waiting", "waits", ({ conditions }) => conditions !== undefined);
  await space.status(
    "modeldeployments",
    "served",
    "serves",
    (status) => condition(status, "Ready")?.reason === "Serving",
  );
}

const KINDS = [
  "trainingjobs,optimizationjobs,modeldeployments,configmaps,jobs,pods,deployments,replicasets,services,endpointslices",
  "poddisruptionbudgets,resourcequotas,networkpolicies,serviceaccounts,roles,rolebindings",
  "clusterroles,clusterrolebindings,customresourcedefinitions,namespaces",
].join(",");

/** Resource versions of all objects, by kind, namespace and name. */
async function versions(): Promise<Map<string, string>> {
  const { items } = JSON.parse(await release.kubectl("get", KINDS, "--all-namespaces", "--output=json")) as {
    items: { kind: string; metadata: { namespace?: string; name: string; resourceVersion: string } }[];
  };
  return new Map(
    items.map(({ kind, metadata: { namespace = "", name, resourceVersion } }) => [
      `${kind} ${namespace}/${name}`,
      resourceVersion,
    ]),
  );
}

describe("an upgrade to another version of the chart, with other images and other defaults of pods", () => {
  it("writes the operator's Deployment and nothing else, and restarts no pod of a model", async () => {
    await pause(1000);
    const before = await versions();
    expect([...before.keys()].filter((object) => object.startsWith(`Pod ${space.namespace}/`))).toHaveLength(4);
    await release.helm("package", CHART, "--version", "99.0.0", "--app-version", "99.0.0", "--destination", folder);
    const values = "image.tag=v99,runtimeImage.tag=v99,defaultRequests.cpu=2,defaultArchitectures={s390x}";
    const more = "defaultNodeSelector.pool=new,defaultImagePullSecrets={new}";
    await release.install(join(folder, "modelwright-99.0.0.tgz"), "--set", `${values},${more}`);
    expect(await operator.stop("SIGTERM")).toBe(0);
    operator = await release.operator();

    // What is new gets the new defaults; by then everything older has been looked at.
    await space.create(trainingJob("new"));
    await space.create(modelDeployment("new"));
    const { run = "" } = await space.status("trainingjobs", "new", "has a run", (status) => status.run !== undefined);
    const { spec } = await space.waitChild("jobs", run);
    expect(spec["template"]).toMatchObject({
      spec: {
        containers: [{ image: "modelwright/runtime:v99", resources: { requests: { cpu: "2" } } }],
        nodeSelector: { "kubernetes.io/os": "linux", pool: "new" },
        imagePullSecrets: [{ name: "new" }],
      },
    });
    await space.status(
      "modeldeployments",
      "new",
      "has a revision",
      ({ stableRevision }) => stableRevision !== undefined,
    );
    // Running pods are asked every two seconds.
    await pause(3000);

    const after = await versions();
    const changed = [...before].filter(([object, version]) => after.get(object) !== version).map(([object]) => object);
    const own = ["Deployment", "ReplicaSet"].map((kind) => `${kind} ${release.namespace}/models-modelwright`);
    const isOwn = (object: string) => own.some((prefix) => object.startsWith(prefix)) || isOwnPod(object);
    expect(changed.filter((object) => !isOwn(object))).toEqual([]);
    expect(changed).toContain(own[0]);
    const added = [...after.keys()].filter((object) => !before.has(object) && !isOwn(object));
    expect(added.filter((object) => !object.split("/")[1]?.startsWith("new"))).toEqual([]);
  }, 60_000);
});

/** The operator's own pods: no kubelet ends them here. */
function isOwnPod(object: string): boolean {
  return object.startsWith(`Pod ${release.namespace}/models-modelwright-`);
}
