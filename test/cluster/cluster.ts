import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Api, healthy } from "./api.ts";
import { command, succeeds } from "./command.ts";
import { Containers } from "./containers.ts";
import { startControlPlane } from "./control-plane.ts";
import { daemonPid, stopDaemon } from "./daemon.ts";
import { dnsAnswers, startDns } from "./dns.ts";
import { healthUrls } from "./endpoints.ts";
import { kindDown, kindHas, kindImport, kindUp } from "./kind.ts";
import { withLock } from "./lock.ts";
import { unmountBelow } from "./mounts.ts";
import { createNetwork, removeNetwork } from "./network.ts";
import { advertiseGpus, allocatableGpus, gpus, isReady, nodeReady, removePodGroups, startNode } from "./node.ts";
import { defaultState } from "./places.ts";
import { checkMachine } from "./machine.ts";
import { findPrograms } from "./programs.ts";
import { createStorageClass, startProvisioner } from "./storage.ts";

/** A Kubernetes cluster of one real node on this machine. */
export type Cluster = {
  /** Path of the administrator's kubeconfig. */
  kubeconfig: string;
  /** Folder of the programs, kubectl and helm among them. */
  bin: string;
  /** Folder of everything that the cluster keeps: certificates, logs, volumes. */
  state: string;
  /** Makes the image of an archive (OCI or Docker) known to the node under names such as `localhost/thing:1`. */
  importImage(tarPath: string, ...names: string[]): Promise<void>;
  hasImage(name: string): Promise<boolean>;
};

export type ClusterOptions = {
  log?: (line: string) => void;
  /** Folder of the programs. */
  bin?: string;
  state?: string;
  /** Make the cluster with kind, in Docker. */
  kind?: boolean;
};

/** In the order in which they are started. */
const daemons = [
  "etcd",
  "kube-apiserver",
  "containerd",
  "kube-controller-manager",
  "kube-scheduler",
  "kubelet",
  "kube-proxy",
  "coredns",
  "provisioner",
] as const;

const kubeconfigOf = (state: string, user = "admin"): string => join(state, "config", `${user}.kubeconfig`);
const lockOf = (state: string): string => `${state}.lock`;

/**
 * Brings the cluster up, or what is missing of it; returns at once if it is healthy.
 * Throws ClusterUnavailable, with the reason and the remedy, where a cluster cannot be.
 */
export async function up(options: ClusterOptions = {}): Promise<Cluster> {
  const { log = console.log, state = defaultState, bin } = options;
  if (options.kind) return upWithKind(state, log);
  const running = await recordedBin(state);
  if (running !== undefined && (await isHealthy(state))) return describe(running, state);
  await checkMachine(log, state);
  return withLock(lockOf(state), log, async () => {
    const found = (await recordedBin(state)) ?? (await findPrograms({ bin, log }));
    await start(found, state, log);
    return describe(found, state);
  });
}

async function start(bin: string, state: string, log: (line: string) => void): Promise<void> {
  const begin = performance.now();
  const done = (what: string): void => log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(5)} s  ${what}`);
  for (const folder of ["", "config", "log", "pki", "volumes"]) await mkdir(join(state, folder), { recursive: true });
  await writeFile(join(state, "bin"), bin);

  await createNetwork(state);
  const containers = new Containers({ bin, state });
  const kubeconfig = (user: string): string => kubeconfigOf(state, user);
  await Promise.all([startControlPlane({ bin, state, kubeconfig }), containers.start()]);
  done("API server, controllers and scheduler answer");

  const api = await Api.fromKubeconfig(kubeconfig("admin"));
  try {
    await startNode({ bin, state, socket: containers.socket, kubeconfig });
    await allowProxy(api);
    await createStorageClass(api);
    await startProvisioner({ state, kubeconfig: kubeconfig("admin") });
    await startDns({ bin, state, kubeconfig: kubeconfig("admin") });
    await nodeReady(api);
    done("node is ready");
    await advertiseGpus(api);
    done(`DNS, storage class "standard", ${gpus.count} pretended ${gpus.resource}`);
  } finally {
    await api.close();
  }
}

/** Takes everything down: pods, processes, mounts, network, files. Does nothing if there is no cluster. */
export async function down({
  log = console.log,
  state = defaultState,
}: Pick<ClusterOptions, "log" | "state"> = {}): Promise<void> {
  await kindDown(state);
  if (!existsSync(state)) return;
  await withLock(lockOf(state), log, async () => {
    await stopDaemon({ state, name: "kubelet" }, 0); // first, or it starts its pods again
    await removePods(state);
    for (const name of daemons.toReversed()) await stopDaemon({ state, name }, name === "containerd" ? 5000 : 0);
    await unmountBelow(state);
    await removeNetwork();
    await removePodGroups();
    await rm(state, { recursive: true, force: true });
  });
}

async function removePods(state: string): Promise<void> {
  const bin = await recordedBin(state);
  if (bin === undefined) return;
  const containers = new Containers({ bin, state });
  await containers.start(); // only it can end what its shims still run
  for (const path of await containers.removeAll())
    await succeeds("ip", ["netns", "delete", path.split("/").at(-1) ?? ""]);
}

export type DaemonStatus = { name: string; pid: number | undefined };

export type ClusterStatus = {
  healthy: boolean;
  /** What is wrong, or empty. */
  problems: string[];
  daemons: DaemonStatus[];
  kubeconfig: string;
  bin: string | undefined;
};

export async function status({ state = defaultState }: Pick<ClusterOptions, "state"> = {}): Promise<ClusterStatus> {
  if (!existsSync(kubeconfigOf(state))) return { ...nothing, kubeconfig: kubeconfigOf(state) };
  const processes = await Promise.all(daemons.map(async (name) => ({ name, pid: await daemonPid({ state, name }) })));
  const dead = processes.filter(({ pid }) => pid === undefined).map(({ name }) => `${name} does not run`);
  const problems = [...dead, ...(await silent(processes)), ...(await apiProblems(state))];
  return {
    healthy: problems.length === 0,
    problems,
    daemons: processes,
    kubeconfig: kubeconfigOf(state),
    bin: await recordedBin(state),
  };
}

const nothing = {
  healthy: false,
  problems: ["there is no cluster; npm run cluster -- up makes one"],
  daemons: [],
  bin: undefined,
} satisfies Omit<ClusterStatus, "kubeconfig">;

/** Programs that run but do not answer. */
async function silent(processes: DaemonStatus[]): Promise<string[]> {
  const asked = Object.entries(healthUrls).filter(([name]) =>
    processes.some((each) => each.name === name && each.pid !== undefined),
  );
  const answers = await Promise.all(
    asked.map(async ([name, url]) => ((await healthy(url)) ? [] : [`${name} does not answer`])),
  );
  return answers.flat();
}

async function isHealthy(state: string): Promise<boolean> {
  return (await status({ state })).healthy;
}

async function apiProblems(state: string): Promise<string[]> {
  const api = await Api.fromKubeconfig(kubeconfigOf(state));
  try {
    if (!(await api.ready())) return ["the API server is not ready"];
    const [ready, free, names] = await Promise.all([isReady(api), allocatableGpus(api), dnsAnswers()]);
    const problems = {
      "the node is not ready": !ready,
      "the node offers no pretended GPUs": free !== Number(gpus.count),
      "the cluster's DNS does not answer": !names,
    };
    return Object.entries(problems).flatMap(([problem, there]) => (there ? [problem] : []));
  } finally {
    await api.close();
  }
}

/** The folder of the programs that the cluster in this state runs. */
async function recordedBin(state: string): Promise<string | undefined> {
  const bin = await readFile(join(state, "bin"), "utf8").catch(() => "");
  return bin !== "" && existsSync(bin) ? bin : undefined;
}

function describe(bin: string, state: string): Cluster {
  const containers = new Containers({ bin, state });
  return {
    kubeconfig: kubeconfigOf(state),
    bin,
    state,
    importImage: (tarPath, ...names) => containers.import(tarPath, ...names),
    hasImage: (name) => containers.has(name),
  };
}

async function upWithKind(state: string, log: (line: string) => void): Promise<Cluster> {
  const { kubeconfig } = await kindUp(state, log);
  const path = await command("sh", ["-c", "command -v kubectl || command -v kind"]);
  return {
    kubeconfig,
    bin: join(path.trim(), ".."),
    state,
    importImage: (tarPath) => kindImport(tarPath),
    hasImage: kindHas,
  };
}

/** kube-proxy is a user of its own here, not a pod with a ServiceAccount. */
async function allowProxy(api: Api): Promise<void> {
  const name = "modelwright-kube-proxy";
  await api.apply(`/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/${name}`, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "system:node-proxier" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "system:kube-proxy" }],
  });
}
