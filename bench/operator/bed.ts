/** Where the operator is measured: a control plane, nodes of KWOK, and a folder with the emitted program. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { Client } from "../../operator/kernel/client.ts";
import { loadConnection } from "../../operator/kernel/kube-config.ts";
import { type ApiServer, startApiServer } from "../../test/cluster/apiserver.ts";
import type { Api } from "../../test/cluster/api.ts";
import { command } from "../../test/cluster/command.ts";
import { type Kwok, startKwok } from "../../test/cluster/kwok.ts";
import { installCrds } from "../../test/integration/operator/bed.ts";
import { Audit, auditArguments } from "./audit.ts";
import { processorSecondsHere } from "./processor.ts";
import { BROKEN, BROKEN_KEY, MODEL } from "./manifests.ts";
import { Pods } from "./pods.ts";

const ROOT = join(import.meta.dirname, "../..");
const PODS_OF_A_NODE = 250;
const CONTROLLERS = [
  "deployment-controller",
  "replicaset-controller",
  "endpointslice-controller",
  "disruption-controller",
  "garbage-collector-controller",
];
/** Addresses of KWOK's pods, and those beyond where its range ends. */
const FAKE_PODS = "198.18.0.0/15";

/** A subject of the bench: its namespace, and the user that it is to the API server. */
export interface Subject {
  readonly namespace: string;
  readonly user: string;
  readonly kubeconfig: string;
}

export interface Bed {
  readonly server: ApiServer;
  readonly api: Api;
  readonly audit: Audit;
  readonly pods: Pods;
  /** Where emitted programs and logs lie. */
  readonly folder: string;
  readonly ours: Subject;
  readonly stock: Subject;
  stop(): Promise<void>;
}

/** Is this process in a network of its own, where pods' addresses may lead to loopback? Makes the route. */
export async function enterNetwork(): Promise<void> {
  await command("ip", ["link", "set", "lo", "up"]);
  await command("ip", ["route", "add", "local", FAKE_PODS, "dev", "lo"]);
}

/** `pace`: requests a second that each controller of Kubernetes may make; default its own, 20. */
export async function startBench(objects: number, log: (line: string) => void, pace?: number): Promise<Bed> {
  const folder = await mkdtemp(join(tmpdir(), "modelwright-bench-"));
  const stops: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async () => {
    for (const end of stops.toReversed()) await end();
  };
  try {
    const users = ["ours", "stock"].map(userOf);
    const auditLog = join(folder, "audit.log");
    const args = await auditArguments(join(folder, "audit.json"), auditLog, users);
    const [server] = await Promise.all([
      startApiServer({ controllers: CONTROLLERS, scheduler: true, args, log, ...(pace && { qps: pace }) }),
      emit(folder),
    ]);
    stops.push(() => server.stop());
    await installCrds(server.api);
    const kwok = await startNodes(server, objects);
    stops.push(() => kwok.stop());
    const ours = await subject(server, "ours");
    const stock = await subject(server, "stock");
    const client = new Client(await loadConnection({ kubeconfig: server.kubeconfig }), {
      userAgent: "bench",
      fieldManager: "bench",
    });
    stops.push(() => client.close());
    const pods = new Pods(client, MODEL);
    stops.push(() => pods.stop());
    await pods.start();
    return { server, api: server.api, audit: new Audit(auditLog), pods, folder, ours, stock, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface Floor {
  readonly seconds: number;
  /** Of children, for each object. */
  readonly requests: number;
  /** Processor seconds of everything: API server, etcd, what follows, and the client with the start of its program. */
  readonly cpu: number;
}

/** How long nothing but the posting of objects and children takes, on a fresh control plane with or without all that follows from them. */
export async function floorOf(objects: number, alone: boolean, log: (line: string) => void): Promise<Floor> {
  const folder = await mkdtemp(join(tmpdir(), "modelwright-floor-"));
  const args = await auditArguments(join(folder, "audit.json"), join(folder, "audit.log"), [userOf("floor")]);
  const followers = alone ? {} : { controllers: CONTROLLERS, scheduler: true };
  const server = await startApiServer({ ...followers, args, log });
  try {
    await installCrds(server.api);
    const kwok = alone ? undefined : await startNodes(server, objects);
    try {
      const { kubeconfig, namespace } = await subject(server, "floor");
      const program = join(ROOT, "bench/floor.ts");
      const before = await processorSecondsHere();
      const said = await command(process.execPath, [program, kubeconfig, namespace, String(objects)]);
      const { seconds, requests, client } = JSON.parse(said) as { seconds: number; requests: number; client: number };
      return { seconds, requests, cpu: (await processorSecondsHere()) - before + client };
    } finally {
      await kwok?.stop();
    }
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The programs as images hold them, without types: stripping them at start would cost memory. */
async function emit(folder: string): Promise<void> {
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  const stock = await readFile(join(ROOT, "bench/stock-controller.ts"), "utf8");
  await writeFile(join(folder, "stock-controller.js"), stripTypeScriptTypes(stock));
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  const config = join(ROOT, "tsconfig.build.json");
  await mkdir(join(folder, "dist"));
  await command(process.execPath, [compiler, "-p", config, "--noCheck", "--outDir", join(folder, "dist")]);
}

async function startNodes(server: ApiServer, objects: number): Promise<Kwok> {
  const count = Math.ceil((objects + 200) / PODS_OF_A_NODE);
  const kwok = await startKwok(
    server,
    Array.from({ length: count }, (_, index) => ({ name: `node-${index}` })),
  );
  const capacity = { cpu: "64", memory: "512Gi", pods: "250" };
  await server.api.post("/api/v1/nodes", {
    metadata: { name: "broken", labels: { ...BROKEN.nodeSelector, "kubernetes.io/hostname": "broken" } },
    spec: { taints: [{ key: BROKEN_KEY, value: "yes", effect: "NoSchedule" }] },
    status: { capacity, allocatable: capacity, conditions: [{ type: "Ready", status: "True" }] },
  });
  return kwok;
}

const userOf = (name: string): string => `system:serviceaccount:${name}:${name}`;

/** A namespace with a volume for models, and a user who may do anything. */
async function subject(server: ApiServer, name: string): Promise<Subject> {
  const { api } = server;
  await api.post("/api/v1/namespaces", { metadata: { name } });
  const volume = `models-${name}`;
  const common = { accessModes: ["ReadWriteMany"], storageClassName: "" };
  await api.post("/api/v1/persistentvolumes", {
    metadata: { name: volume },
    spec: { ...common, capacity: { storage: "1Gi" }, hostPath: { path: "/models" } },
  });
  await api.post(`/api/v1/namespaces/${name}/persistentvolumeclaims`, {
    metadata: { name: "models", annotations: { "pv.kubernetes.io/bind-completed": "yes" } },
    spec: { ...common, volumeName: volume, resources: { requests: { storage: "1Gi" } } },
  });
  const kubeconfig = await server.serviceAccountKubeconfig(name, name);
  await api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    metadata: { name: `bench-${name}` },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name, namespace: name }],
  });
  return { namespace: name, user: userOf(name), kubeconfig };
}
