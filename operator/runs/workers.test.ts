import { describe, expect, it } from "@jest/globals";
import type { IJob } from "kubernetes-models/batch/v1/Job";
import { trainingRun } from "../../crds/contract/run.ts";
import { workerAddresses } from "../../crds/contract/workers.ts";
import { CONFIG, NOW, pod, trainingJob } from "../testing/objects.ts";
import type { Write } from "../writes.ts";
import { jobFile, runJob } from "./objects.ts";
import type { ObservedRun } from "./observed.ts";
import { planRun } from "./plan.ts";
import { verdict } from "./verdict.ts";

const owner = trainingJob({ workers: 3 });
const run = trainingRun(owner);
const NAME = run.job.run;

const record = (name: string, uid = `uid-of-${name}`) => ({
  metadata: { name, namespace: "lab", uid, resourceVersion: "1", annotations: {} },
});
const map = { ...record(NAME, "0123456789ab"), immutable: true, data: { "job.json": jobFile(run) } };
const job = { ...record(NAME), createdAt: "", suspend: false, backoffLimit: 3, failed: 0, complete: false };
const blank: ObservedRun = {
  owner,
  run,
  config: CONFIG,
  now: NOW,
  configMaps: [],
  jobs: [],
  services: [],
  pods: [],
  formerPods: [],
};

const verbs = (more: Partial<ObservedRun>) =>
  planRun({ ...blank, ...more }).map(({ verb, resource }) => `${verb} ${resource.plural}`);

function created(kind: string): Extract<Write, { verb: "create" }> {
  const writes = planRun({ ...blank, configMaps: [map] });
  const found = writes.find((write) => write.resource.kind === kind);
  if (found?.verb !== "create") throw new Error(`no ${kind} is created`);
  return found;
}

describe("a training with several workers", () => {
  it("gets a secret once its ConfigMap is known, and a name for each worker", () => {
    expect(verbs({})).toEqual(["create configmaps", "create services"]);
    expect(verbs({ configMaps: [map] })).toEqual(["create services", "create secrets", "create jobs"]);
    const goesOn = verbs({ configMaps: [map], services: [record(NAME)], jobs: [job] });
    expect(goesOn.filter((verb) => verb.startsWith("create"))).toEqual([]);
  });

  it("gets its Service back while it works, and none when it has ended", () => {
    expect(verbs({ configMaps: [map], jobs: [job] })).toContain("create services");
    expect(verbs({ configMaps: [map], jobs: [{ ...job, complete: true }], pods: [pod()] })).not.toContain(
      "create services",
    );
  });

  it("loses the Service of a former spec", () => {
    const services = [record(NAME), record("digits-former")];
    const writes = planRun({ ...blank, configMaps: [map], jobs: [job], services });
    expect(writes).toContainEqual(
      expect.objectContaining({ verb: "delete", metadata: expect.objectContaining({ name: "digits-former" }) }),
    );
  });

  it("shares a random secret that goes with the ConfigMap, under a name that nobody else knows", () => {
    const [one, other] = [created("Secret"), created("Secret")];
    expect(one.unique).toBe(true);
    expect(one.object).toMatchObject({
      immutable: true,
      metadata: { name: `${NAME}-01234567`, ownerReferences: [{ kind: "ConfigMap", uid: map.metadata.uid }] },
    });
    const keyOf = ({ object }: typeof one) => (object as { data?: { key?: string } }).data?.key ?? "";
    expect(Buffer.from(keyOf(one), "base64")).toHaveLength(32);
    expect(keyOf(one)).not.toBe(keyOf(other));
  });

  it("runs as an indexed Job whose pods are found by the names that the workers call", () => {
    const { spec } = created("Job").object as IJob;
    expect(spec).toMatchObject({ completionMode: "Indexed", completions: 3, parallelism: 3 });
    expect(spec?.template.spec).toMatchObject({
      subdomain: NAME,
      volumes: expect.arrayContaining([
        { name: "workers", secret: { secretName: `${NAME}-01234567`, defaultMode: 0o440 } },
      ]),
    });
    expect(workerAddresses(NAME, 3).map(({ host }) => host)).toEqual([0, 1, 2].map((i) => `${NAME}-${i}.${NAME}`));
    expect(created("Service").object).toMatchObject({
      metadata: { name: NAME },
      spec: { clusterIP: "None", publishNotReadyAddresses: true },
    });
  });

  it("is pending while one of them is, and says why", () => {
    const running = pod({ name: "one", worker: 0, running: true, phase: "Running" });
    const waiting = pod({ name: "two", worker: 1, unschedulable: "0/1 nodes are available: 1 Insufficient cpu." });
    const found = verdict({ ...blank, configMaps: [map], jobs: [job], pods: [running, waiting] });
    expect(found).toMatchObject({ phase: "Pending", failure: { reason: "Unschedulable" } });
  });
});

it("a training with one worker has nothing of that", () => {
  const single = trainingJob();
  const { spec } = runJob(single, trainingRun(single), CONFIG);
  expect(spec).not.toHaveProperty("completionMode");
  expect(spec.template.spec).not.toHaveProperty("subdomain");
});
