import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { ActivatorLoad, Load } from "../../crds/contract/load.ts";
import type { LoadProber } from "../../operator/pods/load-prober.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, Space } from "./operator/objects.ts";

let server: ApiServer;
let space: Space;
let kubelet: FakeKubelet;
let prober: FakeProber;
let loads: FakeLoads;
let activator: FakeActivator;
let operator: RunningOperator;

/** Listens on every port that a slice gives it, and holds as many requests as a test says. */
class FakeActivator {
  static readonly address = "198.18.250.1";
  listens = true;
  held = 0;
  #version = 0;
  #port: number | undefined;

  async ask(): Promise<ActivatorLoad> {
    const slice = await space.child("endpointslices", "digits-activator");
    this.#port = slice?.ports?.[0]?.port ?? this.#port;
    const { held: waiting } = this;
    const ports = this.#port === undefined || !this.listens ? [] : [{ port: this.#port, waiting, received: waiting }];
    return { instance: "fake", version: this.#version++, ports };
  }

  /** As the controller of its Service does. */
  async announce(): Promise<void> {
    const path = `/apis/discovery.k8s.io/v1/namespaces/${space.namespace}/endpointslices`;
    await space.api.post(path, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "activator-1", labels: { "kubernetes.io/service-name": "activator" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [FakeActivator.address], conditions: { ready: true } }],
      ports: [{ name: "health", port: 8081 }],
    });
  }
}

/** Every pod has as many requests in flight, on average, as a test says. */
class FakeLoads implements LoadProber {
  inFlight = 0;
  #area = 0;
  #at = performance.now();

  load(): Promise<Load> {
    const now = performance.now();
    this.#area += (this.inFlight * (now - this.#at)) / 1000;
    this.#at = now;
    const { inFlight } = this;
    return Promise.resolve({
      inFlight,
      queued: 0,
      finished: 0,
      busySeconds: 0,
      waitedSeconds: 0,
      inFlightSeconds: this.#area,
    });
  }
}

beforeAll(async () => {
  server = await startBed();
}, 90_000);
afterAll(async () => server.stop());

beforeEach(async () => {
  space = new Space(server.api, await server.namespace());
  kubelet = new FakeKubelet(server.api, space.namespace);
  prober = new FakeProber();
  loads = new FakeLoads();
  activator = new FakeActivator();
  await activator.announce();
  operator = await start();
}, 30_000);
afterEach(async () => operator.stop(), 30_000);

const start = () =>
  startOperator({
    kubeconfig: server.kubeconfig,
    namespaces: [space.namespace],
    prober,
    loads,
    activator: {
      namespace: space.namespace,
      service: "activator",
      ports: { first: 20_000, count: 100 },
      ask: () => activator.ask(),
    },
  });

const status = (what: string, holds: Parameters<typeof space.status<"modeldeployments">>[3], within?: number) =>
  space.status("modeldeployments", "digits", what, holds, within);

/** Lets so many pods of the revision serve. */
async function serve(revision: string, count: number): Promise<void> {
  for (const pod of await kubelet.waitFor(`modelwright.dev/revision=${revision}`, count)) {
    if (pod.status.phase === "Running") continue;
    prober.set(await kubelet.run(pod), {
      kind: "ServingProgress",
      revision,
      state: "Serving",
      model: { uri: "pvc://models/digits/one", digest: digest("1") },
    });
    await kubelet.run(pod, { ready: true });
  }
}

async function served(scaling: Record<string, unknown>, replicas = 1): Promise<string> {
  await space.create(modelDeployment("digits", { scaling }));
  const { stableRevision = "" } = await status("has a revision", (seen) => seen.stableRevision !== undefined);
  await serve(stableRevision, replicas);
  await status("serves", (seen) => condition(seen, "Ready")?.reason === "Serving");
  return stableRevision;
}

const replicas = async (revision: string) => (await space.child("deployments", revision))?.spec.replicas;
const scalePath = () => `${space.path("modeldeployments", "digits")}/scale`;

/** As kubectl scale and autoscalers do. */
async function scale(to: number): Promise<void> {
  await space.api.patch(scalePath(), { spec: { replicas: to } });
}

const QUICK = { mode: "Automatic", maxReplicas: 4, stableWindow: "6s", panicWindow: "2s" };

describe("mode Automatic", () => {
  it("adds pods for a load and takes them away after it, as status and events say", async () => {
    const revision = await served(QUICK);
    loads.inFlight = 30;
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 4);
    await status("says so", ({ desiredReplicas }) => desiredReplicas === 4);
    expect(await space.waitEvent("digits", "ScaledUp")).toBe("from 1 to 4 pods");
    await serve(revision, 4);
    await status("has four pods", ({ readyReplicas }) => readyReplicas === 4);
    loads.inFlight = 0;
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 1);
    // To half of them at most at one time.
    expect(await space.waitEvent("digits", "ScaledDown")).toMatch(/from 4 to [23] pods/);
  }, 60_000);

  it("keeps its decision through a restart of the operator, a suspension and a loss of its status", async () => {
    const revision = await served(QUICK);
    loads.inFlight = 20;
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 3);
    await serve(revision, 3);
    await status("serves", (seen) => seen.readyReplicas === 3 && condition(seen, "Ready")?.reason === "Serving");
    await operator.stop();
    // Pods share the load, so that there is nothing to decide.
    loads.inFlight = 8;
    operator = await start();
    await status("is seen again", (seen) => seen.desiredReplicas === 3);
    await space.patch("modeldeployments", "digits", { suspend: true });
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 0);
    await space.patch("modeldeployments", "digits", { suspend: false });
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 3);
  }, 60_000);

  it("refuses users who change the number of pods, and says what to change instead", async () => {
    await served({ ...QUICK, replicas: 1 });
    const says = /the operator decides the number of pods in mode Automatic; change minReplicas and maxReplicas/;
    await expect(space.patch("modeldeployments", "digits", { scaling: { replicas: 3 } })).rejects.toThrow(says);
    await expect(scale(3)).rejects.toThrow(says);
    await space.patch("modeldeployments", "digits", { scaling: { minReplicas: 2 } });
    await status("has as many as it must", ({ desiredReplicas }) => desiredReplicas === 2);
  }, 60_000);

  it("leaves cpu to an autoscaler of the cluster, which writes the scale subresource", async () => {
    const revision = await served({ mode: "Automatic", minReplicas: 1, maxReplicas: 5, metric: "Cpu", target: 60 });
    const autoscaler = await space.waitChild("horizontalpodautoscalers", "digits");
    expect(autoscaler.spec).toMatchObject({
      scaleTargetRef: { apiVersion: "modelwright.dev/v1alpha1", kind: "ModelDeployment", name: "digits" },
      minReplicas: 1,
      maxReplicas: 5,
      metrics: [{ resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 60 } } }],
    });
    await scale(2);
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 2);
    await space.patch("modeldeployments", "digits", { scaling: { maxReplicas: 6 } });
    await space.waitChild("horizontalpodautoscalers", "digits", ({ spec }) => spec["maxReplicas"] === 6);
    const manual = { mode: "Manual", minReplicas: null, maxReplicas: null, metric: null, target: null };
    await space.patch("modeldeployments", "digits", { scaling: manual });
    await space.waitGone("horizontalpodautoscalers", "digits");
    expect(await replicas(revision)).toBe(2);
  }, 60_000);
});

/** Addresses in the slice that leads to the activators; the API server writes none as null. */
const held = async () => {
  const slice = await space.waitChild("endpointslices", "digits-activator");
  return (slice.endpoints ?? []).flatMap(({ addresses }) => addresses);
};

describe("a deployment that may have no pods", () => {
  const ZERO = { ...QUICK, minReplicas: 0, scaleToZeroAfter: "2s" };

  it("has none when nobody asks, is woken by the first request and says how long that took", async () => {
    const revision = await served(ZERO);
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 0);
    expect(await held()).toEqual([FakeActivator.address]);
    const asleep = await status("is at zero", (seen) => condition(seen, "ScaledToZero")?.status === "True");
    expect(condition(asleep, "Ready")).toMatchObject({
      status: "True",
      reason: "ScaledToZero",
      message: "no pods, as nobody asks; the next request starts one and waits for it",
    });
    expect(await space.waitEvent("digits", "ScaledToZero")).toBe("from 1 to 0 pods");

    activator.held = 1;
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 1);
    await serve(revision, 1);
    loads.inFlight = 1;
    const awake = await status("serves", (seen) => condition(seen, "Ready")?.reason === "Serving");
    expect(condition(awake, "ScaledToZero")).toMatchObject({ status: "False", reason: "NotScaledToZero" });
    expect(awake.performance?.coldStartSeconds).toBeGreaterThan(0);
    expect(await space.waitEvent("digits", "ColdStart")).toMatch(/^the first pod was ready [0-9.]+ s after/);
    await until("the activator is out of the way", async () => (await held()).length === 0);
  }, 60_000);

  it("keeps its last pod while the activator does not listen", async () => {
    activator.listens = false;
    const revision = await served(ZERO);
    await until("the activator is named", async () => (await held()).length > 0);
    expect(await replicas(revision)).toBe(1);
    activator.listens = true;
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 0);
  }, 60_000);

  it("tries a new version out with pods before it has none again", async () => {
    const revision = await served(ZERO);
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 0);
    const model = { uri: "pvc://models/digits/two", digest: digest("2") };
    await space.patch("modeldeployments", "digits", { model });
    const { canaryRevision = "" } = await status("updates", (seen) => seen.canaryRevision !== undefined);
    await space.waitChild("deployments", canaryRevision, ({ spec }) => spec.replicas === 1);
  }, 60_000);

  it("has no slice, and no port, when it must always have a pod", async () => {
    await served(ZERO);
    await space.waitChild("endpointslices", "digits-activator");
    await space.patch("modeldeployments", "digits", { scaling: { minReplicas: 1, scaleToZeroAfter: null } });
    await space.waitGone("endpointslices", "digits-activator");
  }, 60_000);
});

describe.each(["Manual", "External"])("mode %s", (mode) => {
  it("follows the scale subresource, and says by which labels its pods are found", async () => {
    const revision = await served({ mode });
    loads.inFlight = 1000;
    await scale(3);
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 3);
    const seen: { status: { selector: string; replicas: number } } = await space.api.get(scalePath());
    expect(seen.status.selector).toContain(`modelwright.dev/revision=${revision}`);
    await scale(0);
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 0);
    await status("is at zero", (now) => condition(now, "Ready")?.reason === "ScaledToZero");
  }, 60_000);
});
