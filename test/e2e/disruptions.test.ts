/**
 * Trainings of two workers on a real cluster, disturbed in the ways in which a cluster takes pods away. Kubernetes makes
 * each next pod of a Job wait twice as long, so each training is disturbed once or twice.
 */
import { jest } from "@jest/globals";
import { WORKER_INDEX_LABEL } from "../../crds/contract/workers.ts";
import type { Kubectl, Observed } from "../cluster/kubectl.ts";
import { digitsNamespace, type Platform, smallTraining, startPlatform, succeeded } from "./platform.ts";

jest.setTimeout(300_000);

const NAMESPACE = "e2e-disruptions";

let platform: Platform;
let kubectl: Kubectl;
let remove: () => Promise<void>;

beforeAll(async () => {
  platform = await startPlatform();
  ({ kubectl, remove } = await digitsNamespace(platform, NAMESPACE));
  for (const [name, value] of Object.entries({ "e2e-low": -100, "e2e-high": 100 })) {
    await kubectl.apply({ apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name }, value });
  }
});

afterAll(async () => {
  await kubectl.run(["delete", "priorityclass", "e2e-low", "e2e-high"]);
  await remove();
});

/** A node that is lost is tolerated for no time, so that its pods are taken away at once. */
const LOST = { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 0 };

/** Saved so often that it takes its time without much computing. */
const SPEC = {
  workers: 2,
  epochs: 100,
  batchSize: 32,
  checkpoint: { everySteps: 3 },
  resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { cpu: "1", memory: "1Gi" } },
};

const stepOf = ({ status }: Observed) => Number(status?.step ?? 0);
const trains = (least: number) => (job: Observed) => job.status?.state === "Training" && stepOf(job) >= least;

interface Item {
  metadata: { name: string; uid: string; labels?: Record<string, string> };
  spec: { nodeName?: string; containers: { resources?: { requests?: { cpu?: string } } }[] };
  status: { phase: string; allocatable?: { cpu: string } };
}

async function list(...args: string[]): Promise<Item[]> {
  const { items } = JSON.parse(await kubectl.run(["get", ...args, "-o", "json"])) as { items: Item[] };
  return items;
}

/** The living pod of a worker. */
async function podOf(training: string, worker: number): Promise<Item> {
  const labels = `modelwright.dev/training-job=${training},${WORKER_INDEX_LABEL}=${worker}`;
  const [pod] = (await list("pods", "-l", labels)).filter(({ status }) => status.phase === "Running");
  if (pod === undefined) throw new Error(`worker ${worker} of ${training} does not run`);
  return pod;
}

const millis = (cpu = "0") => (cpu.endsWith("m") ? Number(cpu.slice(0, -1)) : 1000 * Number(cpu));

/** A pod that fits only where one of the training's has been. */
async function pushOut(node: string): Promise<void> {
  const [, ...others] = [...(await list("nodes"))];
  expect(others).toEqual([]);
  const [{ status }] = (await list("nodes")) as [Item];
  const pods = (await list("pods", "--all-namespaces", `--field-selector=spec.nodeName=${node}`)).filter(
    (pod) => !["Succeeded", "Failed"].includes(pod.status.phase),
  );
  const used = pods
    .flatMap(({ spec }) => spec.containers)
    .reduce((sum, { resources }) => sum + millis(resources?.requests?.cpu), 0);
  const free = millis(status.allocatable?.cpu) - used;
  const image = platform.images.runtime;
  const container = {
    name: "main",
    image,
    command: ["node", "-e", "setTimeout(() => {}, 600_000)"],
    resources: { requests: { cpu: `${free + 50}m`, memory: "16Mi" }, limits: { memory: "64Mi" } },
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
  };
  const securityContext = { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: "RuntimeDefault" } };
  const spec = {
    priorityClassName: "e2e-high",
    terminationGracePeriodSeconds: 0,
    automountServiceAccountToken: false,
    securityContext,
    containers: [container],
  };
  await kubectl.apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "important" }, spec });
}

/** It has gone on from a saved state since `before` was seen. */
function goesOn({ metadata: { name }, status: before }: Observed): Promise<Observed> {
  const isLater = ({ status }: Observed) =>
    status?.resumed !== undefined && status.resumed.time !== before?.resumed?.time;
  return kubectl.until("trainingjob", name, (job) => isLater(job) && trains(1)(job));
}

async function outcome(name: string) {
  const { status } = await kubectl.until("trainingjob", name, succeeded);
  const { loss, metrics, evaluation, step, lastFailure } = status ?? {};
  return { loss, metrics, evaluation, step, lastFailure };
}

it("a training ends in the same model when its pods are evicted, preempted, or lost with their node", async () => {
  const pods = { low: { priorityClassName: "e2e-low" }, lost: { tolerations: [LOST] } };
  await kubectl.apply(smallTraining("whole", SPEC));
  await kubectl.apply(smallTraining("pushed", { ...SPEC, pod: pods.low }));
  await kubectl.apply(smallTraining("lost", { ...SPEC, pod: pods.lost }));

  const pushed = await kubectl.until("trainingjob", "pushed", trains(60));
  const { metadata, spec } = await podOf("pushed", 1);
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: metadata.name } };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${metadata.name}/eviction`;
  await kubectl.run(["create", "--raw", path, "-f", "-"], JSON.stringify(eviction));

  const lost = await kubectl.until("trainingjob", "lost", trains(60));
  const node = spec.nodeName ?? "";
  const taint = `${LOST.key}=:${LOST.effect}`;
  const names = [await podOf("lost", 0), await podOf("lost", 1)].map((pod) => `pod/${pod.metadata.name}`);
  await kubectl.run(["taint", "node", node, taint]);
  await kubectl.run(["wait", "--for=delete", ...names, "--timeout=60s"]);
  // Kubernetes takes it off a node that answers; where it has not yet, this does.
  await kubectl.run(["taint", "node", node, `${taint}-`]).catch(() => undefined);

  const evicted = await goesOn(pushed);
  await pushOut(node);
  await kubectl.run(["wait", "--for=condition=Ready", "pod/important", "--timeout=60s"]);
  await kubectl.run(["delete", "pod", "important", "--now"]);
  await goesOn(evicted);
  await goesOn(lost);

  const whole = await outcome("whole");
  expect(whole.lastFailure).toBeUndefined();
  expect(await outcome("pushed")).toEqual(whole);
  expect(await outcome("lost")).toEqual(whole);
});
