import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { rules } from "../../operator/rbac.ts";
import { Api } from "../cluster/api.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, optimizationJob, Space, trainingJob } from "./operator/objects.ts";

let server: ApiServer;
let space: Space;
let kubelet: FakeKubelet;
let operator: RunningOperator;
let robot: Api;
const prober = new FakeProber();

/**
 * The operator as a ServiceAccount with its own rules and nothing else, where owner references need rights too, in a
 * namespace that admits restricted pods only.
 */
beforeAll(async () => {
  server = await startBed(["--enable-admission-plugins=OwnerReferencesPermissionEnforcement"]);
  space = new Space(server.api, await server.namespace());
  kubelet = new FakeKubelet(server.api, space.namespace);
  await server.api.patch(`/api/v1/namespaces/${space.namespace}`, {
    metadata: { labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
  });
  const kubeconfig = await server.serviceAccountKubeconfig(space.namespace, "operator");
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  await server.api.post(`${rbac}/clusterroles`, { metadata: { name: "operator" }, rules });
  await server.api.post(`${rbac}/clusterrolebindings`, {
    metadata: { name: "operator" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "operator" },
    subjects: [{ kind: "ServiceAccount", name: "operator", namespace: space.namespace }],
  });
  operator = await startOperator({ kubeconfig, namespaces: [], prober });
  robot = await Api.fromKubeconfig(kubeconfig);
}, 90_000);
afterAll(async () => {
  await operator.stop();
  await robot.close();
  await server.stop();
}, 30_000);

describe("with exactly its own rights, the operator", () => {
  it("runs jobs from creation to a new run", async () => {
    await space.create(trainingJob("digits", { ttlSecondsAfterFinished: 600 }));
    const [pod] = await kubelet.waitFor("modelwright.dev/training-job=digits");
    if (pod === undefined) throw new Error("no pod");
    const run = pod.metadata.labels["modelwright.dev/run"] ?? "";
    const artefact = { uri: `pvc://models/digits/${run}`, digest: digest("a"), format: "TfjsLayers", bytes: 1 };
    const report = {
      kind: "TrainingProgress",
      run,
      state: "Succeeded",
      progressPercent: 100,
      epoch: 3,
      epochs: 3,
      step: 1,
      artefact,
    };
    await kubelet.end(pod, 0, JSON.stringify(report));
    await space.status("trainingjobs", "digits", "has succeeded", ({ state }) => state === "Succeeded");
    await space.waitChild("jobs", run, ({ spec }) => spec["ttlSecondsAfterFinished"] === 600);
    await space.create(optimizationJob("small"));
    await space.status("optimizationjobs", "small", "has a run", (status) => status.run !== undefined);
    await space.patch("trainingjobs", "digits", { epochs: 4 });
    await space.waitGone("jobs", run);
    await space.waitEvent("digits", "ArtefactWritten");
  }, 60_000);

  it("runs a training with several workers, and cleans up after it", async () => {
    await space.create(trainingJob("shared", { workers: 2 }));
    const [pod] = await kubelet.waitFor("modelwright.dev/training-job=shared", 2);
    const run = pod?.metadata.labels["modelwright.dev/run"] ?? "";
    await space.waitChild("services", run);
    await space.patch("trainingjobs", "shared", { epochs: 4 });
    await space.waitGone("services", run);
    await space.waitGone("jobs", run);
  }, 60_000);

  it("serves, updates, gives up and cleans up", async () => {
    await space.create(modelDeployment("served", { rollout: { revisionHistoryLimit: 0, keepPrevious: "3s" } }));
    const seen = await space.status(
      "modeldeployments",
      "served",
      "has a revision",
      ({ stableRevision }) => stableRevision !== undefined,
    );
    const first = seen.stableRevision ?? "";
    await ready(first, "1");
    await space.patch("modeldeployments", "served", { model: { digest: digest("2") } });
    const { canaryRevision: second = "" } = await space.status(
      "modeldeployments",
      "served",
      "updates",
      ({ canaryRevision }) => canaryRevision !== undefined,
    );
    await ready(second, "2");
    await space.status(
      "modeldeployments",
      "served",
      "serves",
      (status) => status.stableRevision === second && condition(status, "Ready")?.reason === "Serving",
    );
    await space.waitGone("deployments", first);
    await space.waitGone("configmaps", first);
    await space.waitGone("poddisruptionbudgets", first);
    await space.waitGone("services", first);
  }, 60_000);

  it("can read no Secret", async () => {
    await expect(robot.get("/api/v1/secrets")).rejects.toMatchObject({ status: 403 });
    await expect(robot.get(`/api/v1/namespaces/${space.namespace}/secrets/any`)).rejects.toMatchObject({ status: 403 });
  });

  it("works where only restricted pods are admitted", async () => {
    const spec = { containers: [{ name: "main", image: "example" }] };
    const plain = server.api.post(space.childPath("pods"), { metadata: { name: "plain" }, spec });
    await expect(plain).rejects.toThrow(/violates PodSecurity "restricted/);
  });

  it("was refused nothing", () => {
    expect(operator.writes.filter((write) => write.endsWith("403"))).toEqual([]);
  });
});

async function ready(revision: string, character: string): Promise<void> {
  const [pod] = await kubelet.waitFor(`modelwright.dev/revision=${revision}`);
  if (pod === undefined) throw new Error("no pod");
  prober.set(await kubelet.run(pod), {
    kind: "ServingProgress",
    revision,
    state: "Serving",
    model: { uri: "pvc://models/digits/one", digest: digest(character) },
  });
  await kubelet.run(pod, { ready: true });
}
