import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { Load } from "../../crds/contract/load.ts";
import type { LoadProber } from "../../operator/pods/load-prober.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, Space } from "./operator/objects.ts";

let server: ApiServer;
let space: Space;
let kubelet: FakeKubelet;
let prober: FakeProber;
let loads: FakeLoads;
let operator: RunningOperator;

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
  operator = await start();
}, 30_000);
afterEach(async () => operator.stop(), 30_000);

const start = () => startOperator({ kubeconfig: server.kubeconfig, namespaces: [space.namespace], prober, loads });

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
    loads.inFlight = 0;
    await space.waitChild("deployments", revision, ({ spec }) => spec.replicas === 1);
    expect(await space.waitEvent("digits", "ScaledDown")).toContain("from 4 to 2 pods");
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
