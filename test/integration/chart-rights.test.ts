import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { ApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, optimizationJob, Space, trainingJob } from "./operator/objects.ts";
import { CHART, type Operator, Release, startPlainServer } from "./operator/release.ts";

let server: ApiServer;
let release: Release;
let team: Space;
let other: Space;
let operators: Operator[];

/** Two operators as the chart starts them for one namespace, with what it grants there and nothing else. */
beforeAll(async () => {
  server = await startPlainServer();
  const [system, watched, foreign] = await Promise.all(
    ["system", "team", "other"].map((name) => server.namespace(name)),
  );
  release = new Release(server, system ?? "");
  team = new Space(server.api, watched ?? "");
  other = new Space(server.api, foreign ?? "");
  const values = `watchNamespaces={${team.namespace}},replicas=2,networkPolicy.enabled=true`;
  await release.install(CHART, "--set", values);
  operators = await Promise.all([release.operator(), release.operator()]);
}, 120_000);
afterAll(async () => {
  await release.stop();
  await server.stop();
}, 30_000);

const rbac = "/apis/rbac.authorization.k8s.io/v1";
const ofRelease = "labelSelector=app.kubernetes.io/instance=models";

async function names(path: string): Promise<string[]> {
  const { items } = await server.api.get<{ items: { metadata: { name: string; namespace?: string } }[] }>(path);
  return items.map(({ metadata: { name, namespace } }) => (namespace === undefined ? name : `${namespace}/${name}`));
}

const leads = ({ lines }: Operator) => lines.some(({ message }) => message === "leading");

async function may(user: string, verb: string, resource: string): Promise<boolean> {
  const [plural = "", subresource = ""] = resource.split("/");
  const attributes = { group: "modelwright.dev", namespace: team.namespace, resource: plural, subresource, verb };
  const review = await server.api.post<{ status: { allowed: boolean } }>(
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SubjectAccessReview",
      spec: { user, resourceAttributes: attributes },
    },
  );
  return review.status.allowed;
}

const PLURALS = {
  TrainingJob: "trainingjobs",
  OptimizationJob: "optimizationjobs",
  ModelDeployment: "modeldeployments",
} as const;

const NO_TERM = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } };

const fromUri = (name: string, spec: Record<string, unknown>) =>
  optimizationJob(name, { model: { uri: "pvc://models/digits/one", digest: digest("1") }, ...spec });

describe("with watchNamespaces, the chart", () => {
  it("grants Roles in those namespaces, one for the lease, and nothing in the whole cluster", async () => {
    const roles = [
      `${release.namespace}/models-modelwright-lease`,
      `${team.namespace}/models-modelwright`,
      `${team.namespace}/models-modelwright-activator`,
    ];
    expect(await names(`${rbac}/roles?${ofRelease}`)).toEqual(roles);
    expect(await names(`${rbac}/rolebindings?${ofRelease}`)).toEqual(roles);
    expect(await names(`${rbac}/clusterrolebindings?${ofRelease}`)).toEqual([]);
    // For people, by aggregation.
    const forUsers = ["models-modelwright-edit", "models-modelwright-view"];
    expect(await names(`${rbac}/clusterroles?${ofRelease}`)).toEqual(forUsers);
  });

  it("lets its operators look after these and no others, and one of them at a time", async () => {
    await Promise.all([other.create(trainingJob("digits")), other.create(modelDeployment("served"))]);
    await Promise.all([
      team.create(trainingJob("digits")),
      team.create(modelDeployment("served", { scaling: { replicas: 2 } })),
    ]);
    const { run } = await team.status("trainingjobs", "digits", "has a run", (status) => status.run !== undefined);
    await team.waitChild("jobs", run ?? "");
    const { stableRevision } = await team.status(
      "modeldeployments",
      "served",
      "has a revision",
      (status) => status.stableRevision !== undefined,
    );
    // The workers of a training have a secret and a name.
    await team.create(trainingJob("shared", { workers: 2 }));
    const kubelet = new FakeKubelet(server.api, team.namespace);
    await kubelet.waitFor("modelwright.dev/training-job=shared", 2);
    // A budget comes when there are several pods and one is ready, and goes with them.
    const [pod] = await kubelet.waitFor("modelwright.dev/model-deployment=served", 2);
    if (pod === undefined) throw new Error("no pod");
    await kubelet.run(pod, { ready: true });
    await team.waitChild("poddisruptionbudgets", stableRevision ?? "");
    await team.patch("modeldeployments", "served", { suspend: true });
    await team.waitEvent("served", "Suspended");
    await team.waitGone("poddisruptionbudgets", stableRevision ?? "");
    expect((await other.get("trainingjobs", "digits")).status.observedGeneration).toBe(-1);
    expect((await other.get("modeldeployments", "served")).status.observedGeneration).toBe(-1);
    expect(await names("/apis/coordination.k8s.io/v1/leases")).toContain(`${release.namespace}/modelwright-operator`);
  }, 60_000);

  // What only those check that make pods of it.
  it.each([
    [
      "TrainingJob",
      "more-than-most",
      { resources: { requests: { memory: "2Gi" }, limits: { memory: "1Gi" } } },
      "spec.resources.requests",
    ],
    ["TrainingJob", "no-such-resource", { resources: { limits: { bananas: "1" } } }, "[spec.resources.limits[bananas]"],
    [
      "OptimizationJob",
      "bad-toleration",
      { pod: { tolerations: [{ key: "a", operator: "Exists", value: "b" }] } },
      "spec.pod.tolerations[0].operator",
    ],
    ["OptimizationJob", "bad-label", { pod: { labels: { team: "not a value!" } } }, "spec.pod.labels"],
    ["ModelDeployment", "bad-selector", { pod: { nodeSelector: { "bad key": "x" } } }, "spec.pod.nodeSelector"],
    [
      "ModelDeployment",
      "bad-affinity",
      { pod: { affinity: { nodeAffinity: NO_TERM } } },
      "spec.pod.affinity.nodeAffinity",
    ],
    ["ModelDeployment", "bad-annotation", { pod: { annotations: { "a/b/c": "x" } } }, "spec.pod.annotations"],
  ] as const)("shows what is wrong with a %s in its status: %s", async (kind, name, spec, field) => {
    const wrong = { TrainingJob: trainingJob, OptimizationJob: fromUri, ModelDeployment: modelDeployment }[kind](
      name,
      spec,
    );
    await team.create(wrong);
    const plural = PLURALS[kind];
    const status = await team.status(plural, name, "is refused", ({ lastFailure }) => lastFailure !== undefined);
    expect(status.lastFailure?.reason).toBe("InvalidSpec");
    expect(status.lastFailure?.message).toMatch(/; correct spec$/);
    expect(status.lastFailure?.message).toContain(`: ${field}`);
    expect(condition(status, "Stalled")?.status).toBe("True");
  });

  it("was asked for no more rights", () => {
    const texts = operators.flatMap(({ lines }) => lines.map((line) => JSON.stringify(line)));
    expect(texts.filter((text) => /forbidden/i.test(text))).toEqual([]);
  });

  it("hands over between them at once", async () => {
    const lease = `/apis/coordination.k8s.io/v1/namespaces/${release.namespace}/leases/modelwright-operator`;
    const holder = async () => (await server.api.get<{ spec: { holderIdentity: string } }>(lease)).spec.holderIdentity;
    const before = await holder();
    const [leader, ...more] = operators.filter(leads);
    expect(more).toEqual([]);
    expect(await leader?.stop("SIGTERM")).toBe(0);
    await until("the other leads", async () => ![before, ""].includes(await holder()));
    await until("it says so", () => Promise.resolve(operators.every(leads)));
    await team.create(trainingJob("later"));
    await team.status("trainingjobs", "later", "has a run", ({ run }) => run !== undefined);
  }, 60_000);

  it("tells of quotas that its pods do not fit, and of amounts that quotas want to be said", async () => {
    const quotas = `/api/v1/namespaces/${team.namespace}/resourcequotas`;
    await server.api.post(quotas, {
      metadata: { name: "small" },
      spec: { hard: { "requests.memory": "1Gi", "limits.memory": "1Gi" } },
    });
    await until("the quota counts", async () => {
      const { status } = await server.api.get<{ status: { hard?: object } }>(`${quotas}/small`);
      return status.hard !== undefined;
    });
    const large = { resources: { requests: { memory: "2Gi" }, limits: { memory: "2Gi" } } };
    await team.create(trainingJob("unsaid"));
    await team.create(trainingJob("large", large));
    await team.create(modelDeployment("large", large));
    const job = async (name: string, says: string) => {
      const status = await team.status(
        "trainingjobs",
        name,
        "names the quota",
        (seen) => condition(seen, "Reconciling")?.reason === "QuotaExceeded",
      );
      expect(condition(status, "Reconciling")?.message).toContain(says);
    };
    await job("unsaid", "failed quota: small: must specify limits.memory");
    await job("unsaid", "set spec.resources.limits.memory");
    await job("large", "exceeded quota: small");
    const deployment = await team.status(
      "modeldeployments",
      "large",
      "names the quota",
      (seen) => condition(seen, "Ready")?.reason === "QuotaExceeded",
    );
    expect(condition(deployment, "Ready")?.message).toMatch(/exceeded quota: small.*lower spec\.resources/);
  }, 60_000);
});

describe("the chart's roles for people", () => {
  it("let viewers read, editors and admins write, and nobody write a status", async () => {
    for (const role of ["view", "edit", "admin"]) {
      await server.api.post(`${rbac}/namespaces/${team.namespace}/rolebindings`, {
        metadata: { name: role },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: role },
        subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: role }],
      });
    }
    for (const resource of ["trainingjobs", "optimizationjobs", "modeldeployments"]) {
      await until(`${resource} can be read`, () => may("view", "list", resource));
      expect(await may("view", "create", resource)).toBe(false);
      for (const user of ["edit", "admin"]) {
        await until(`${user} may create ${resource}`, () => may(user, "create", resource));
        expect(await may(user, "watch", resource)).toBe(true);
        expect(await may(user, "patch", `${resource}/status`)).toBe(false);
      }
      expect(await may("stranger", "get", resource)).toBe(false);
    }
    expect(await may("edit", "patch", "modeldeployments/scale")).toBe(true);
  }, 30_000);
});
