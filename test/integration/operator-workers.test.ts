/** A TrainingJob with several workers on a real API server; the Job controller makes its pods. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import { WORKER_INDEX_LABEL } from "../../crds/contract/workers.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet, type Pod } from "./operator/fake-kubelet.ts";
import { digest, Space, trainingJob } from "./operator/objects.ts";

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
  operator = await startOperator({ kubeconfig: server.kubeconfig, namespaces: [space.namespace], prober });
}, 30_000);
afterEach(async () => operator.stop(), 30_000);

const POD = "modelwright.dev/training-job=digits";

const indexOf = ({ metadata }: Pod) => Number(metadata.labels[WORKER_INDEX_LABEL]);

async function begin(): Promise<{ run: string; pods: Pod[] }> {
  await space.create(trainingJob("digits", { workers: 2 }));
  const { run = "" } = await space.status("trainingjobs", "digits", "has a run", (status) => status.run !== undefined);
  const pods = (await kubelet.waitFor(POD, 2)).toSorted((a, b) => indexOf(a) - indexOf(b));
  return { run, pods };
}

function progress(run: string, more: Partial<TrainingProgress> = {}): TrainingProgress {
  return {
    kind: "TrainingProgress",
    run,
    state: "Training",
    progressPercent: 33,
    epoch: 1,
    epochs: 3,
    step: 45,
    loss: 0.5,
    ...more,
  };
}

interface Secret {
  metadata: { name: string; ownerReferences?: { kind: string; name: string }[] };
  immutable?: boolean;
  data?: Record<string, string>;
}

async function secrets(): Promise<Secret[]> {
  const { items } = await server.api.get<{ items: Secret[] }>(`/api/v1/namespaces/${space.namespace}/secrets`);
  return items;
}

describe("a TrainingJob with two workers", () => {
  it("has a pod for each, a name that they find each other by, and a secret that they share", async () => {
    const { run, pods } = await begin();
    expect(pods.map(indexOf)).toEqual([0, 1]);
    const job = await space.waitChild("jobs", run);
    expect(job.spec).toMatchObject({ completionMode: "Indexed", completions: 2, parallelism: 2 });
    const service = await space.waitChild("services", run);
    expect(service.spec).toMatchObject({ clusterIP: "None", publishNotReadyAddresses: true, ports: [{ port: 9400 }] });
    const [secret, ...others] = await secrets();
    expect(others).toEqual([]);
    expect(secret).toMatchObject({
      immutable: true,
      metadata: { ownerReferences: [{ kind: "ConfigMap", name: run }] },
    });
    expect(Buffer.from(secret?.data?.["key"] ?? "", "base64")).toHaveLength(32);
    for (const { spec } of pods) {
      expect(spec).toMatchObject({ subdomain: run });
      expect(JSON.stringify(spec.volumes)).toContain(secret?.metadata.name);
    }
  }, 60_000);

  it("shows what the first says, how many run, and ends when all have ended", async () => {
    const { run, pods } = await begin();
    const [first, second] = pods;
    if (first === undefined || second === undefined) throw new Error("no pods");
    // The second speaks first, and is not asked.
    prober.set(await kubelet.run(second), progress(run, { step: 7 }));
    await space.status("trainingjobs", "digits", "has one worker", ({ workers }) => workers?.running === 1);
    prober.set(await kubelet.run(first), progress(run));
    const training = await space.status("trainingjobs", "digits", "trains", ({ workers }) => workers?.running === 2);
    expect(training.workers).toEqual({ total: 2, running: 2 });
    await space.status("trainingjobs", "digits", "tells its step", ({ step }) => step === 45);

    const artefact = {
      uri: `pvc://models/digits/${run}`,
      digest: digest("a"),
      format: "TfjsLayers" as const,
      bytes: 4096,
    };
    const result = progress(run, { state: "Succeeded", progressPercent: 100, epoch: 3, artefact });
    await kubelet.end(first, 0, JSON.stringify(result));
    await kubelet.end(second, 0, JSON.stringify(progress(run, { state: "Succeeded", progressPercent: 100 })));
    const done = await space.status("trainingjobs", "digits", "has succeeded", ({ state }) => state === "Succeeded");
    expect(done.artefact?.digest).toBe(digest("a"));
  }, 60_000);

  it("gets another pod for one that was lost, with the same number and the same secret", async () => {
    const { run, pods } = await begin();
    const [first, second] = pods;
    if (first === undefined || second === undefined) throw new Error("no pods");
    prober.set(await kubelet.run(first), progress(run));
    await kubelet.run(second);
    await space.status("trainingjobs", "digits", "trains", ({ workers }) => workers?.running === 2);
    const [before] = await secrets();
    await kubelet.end(second, 143);
    const again = await kubelet.waitFor(POD, 2);
    expect(new Set(again.map(indexOf))).toEqual(new Set([0, 1]));
    expect(again.map(({ metadata }) => metadata.uid)).toContain(first.metadata.uid);
    expect(await secrets()).toEqual([before]);
    const seen = await space.status("trainingjobs", "digits", "waits for it", ({ workers }) => workers?.running === 1);
    expect(seen.state).toBe("Training");
  }, 60_000);

  it("leaves nothing of a former run behind when its spec changes", async () => {
    const { run } = await begin();
    await space.patch("trainingjobs", "digits", { epochs: 5 });
    await space.waitGone("jobs", run);
    await space.waitGone("services", run);
    await space.waitGone("configmaps", run);
    const { run: next = "" } = await space.status("trainingjobs", "digits", "goes on", (status) => status.run !== run);
    await space.waitChild("services", next);
    await kubelet.waitFor(POD, 2);
  }, 60_000);
});
