/**
 * The same children, made the usual way with @kubernetes/client-node: informers that call back, typed clients, read
 * before write. It only makes what is missing and says how many pods are ready: no updates, probes or reasons.
 * `node bench/stock-controller.js KUBECONFIG NAMESPACE PORT`
 */
import { createServer } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";
import {
  ApiException,
  AppsV1Api,
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  type KubernetesObject,
  makeInformer,
  type V1Deployment,
} from "@kubernetes/client-node";

interface ModelDeployment extends KubernetesObject {
  spec: { model: { uri: string; digest: string }; pod?: { tolerations?: object[] }; scaling: { replicas: number } };
  status?: { observedGeneration?: number; readyReplicas?: number };
}

const [kubeconfig = "", namespace = "", port = "0"] = process.argv.slice(2);
const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(CoreV1Api);
const apps = config.makeApiClient(AppsV1Api);
const custom = config.makeApiClient(CustomObjectsApi);

const kind = { group: "modelwright.dev", version: "v1alpha1", namespace, plural: "modeldeployments" };
const label = "modelwright.dev/model-deployment";

const owners = makeInformer<ModelDeployment>(
  config,
  `/apis/${kind.group}/${kind.version}/namespaces/${namespace}/${kind.plural}`,
  () => custom.listNamespacedCustomObject(kind) as Promise<{ items: ModelDeployment[] }>,
);
const deployments = makeInformer<V1Deployment>(config, `/apis/apps/v1/namespaces/${namespace}/deployments`, () =>
  apps.listNamespacedDeployment({ namespace }),
);

async function missing(read: () => Promise<unknown>): Promise<boolean> {
  try {
    await read();
    return false;
  } catch (error) {
    if (error instanceof ApiException && error.code === 404) return true;
    throw error;
  }
}

async function reconcile(owner: ModelDeployment): Promise<void> {
  const { name = "", uid = "", generation = 0 } = owner.metadata ?? {};
  const labels = { [label]: name, "app.kubernetes.io/managed-by": "stock" };
  const reference = { apiVersion: "modelwright.dev/v1alpha1", kind: "ModelDeployment", name, uid, controller: true };
  const metadata = (child: string) => ({ name: child, labels, ownerReferences: [reference] });
  const revision = `${name}-1`;
  const { model, pod = {}, scaling } = owner.spec;
  const service = { selector: { [label]: name }, ports: [{ name: "http", port: 80, targetPort: "http" }] };
  if (await missing(() => core.readNamespacedService({ name, namespace }))) {
    await core.createNamespacedService({ namespace, body: { metadata: metadata(name), spec: service } });
  }
  if (await missing(() => core.readNamespacedConfigMap({ name: revision, namespace }))) {
    const body = { metadata: metadata(revision), data: { "job.json": JSON.stringify(model) } };
    await core.createNamespacedConfigMap({ namespace, body });
  }
  if (await missing(() => apps.readNamespacedDeployment({ name: revision, namespace }))) {
    const container = { name: "runtime", image: "registry.example/modelwright/runtime:1", args: ["serve"] };
    const spec = { containers: [container], tolerations: pod.tolerations ?? [] };
    const template = { metadata: { labels }, spec };
    const body = {
      metadata: metadata(revision),
      spec: { replicas: scaling.replicas, selector: { matchLabels: { [label]: name } }, template },
    };
    await apps.createNamespacedDeployment({ namespace, body });
  }
  const readyReplicas = deployments.get(revision, namespace)?.status?.readyReplicas ?? 0;
  if (owner.status?.observedGeneration === generation && owner.status.readyReplicas === readyReplicas) return;
  const body = { ...owner, status: { ...owner.status, observedGeneration: generation, readyReplicas } };
  await custom.replaceNamespacedCustomObjectStatus({ ...kind, name, body });
}

const busy = new Set<string>();
const again = new Set<string>();

function enqueue(name: string): void {
  if (busy.has(name)) return void again.add(name);
  const owner = owners.get(name, namespace);
  if (owner === undefined) return;
  busy.add(name);
  reconcile(owner)
    .catch((error: unknown) => {
      console.error(name, error instanceof Error ? error.message : error);
      setTimeout(() => enqueue(name), 1000);
    })
    .finally(() => {
      busy.delete(name);
      if (again.delete(name)) enqueue(name);
    });
}

owners.on("add", ({ metadata }) => enqueue(metadata?.name ?? ""));
owners.on("update", ({ metadata }) => enqueue(metadata?.name ?? ""));
const ofChild = ({ metadata }: V1Deployment) => enqueue(metadata?.labels?.[label] ?? "");
deployments.on("add", ofChild);
deployments.on("update", ofChild);
deployments.on("delete", ofChild);
// An informer stops at an error; its documentation says to start it again.
for (const informer of [owners, deployments]) {
  informer.on("error", (error: unknown) => {
    console.error("informer", error instanceof Error ? error.message : error);
    setTimeout(() => void informer.start(), 5000);
  });
}

const delay = monitorEventLoopDelay({ resolution: 10 });
delay.enable();
await deployments.start();
await owners.start();
createServer((request, response) => {
  if (request.url !== "/metrics") return void response.end("ready\n");
  const text = `nodejs_eventloop_lag_p99_seconds ${delay.percentile(99) / 1e9}\nnodejs_eventloop_lag_max_seconds ${delay.max / 1e9}\n`;
  delay.reset();
  response.end(text);
}).listen(Number(port), "127.0.0.1");
