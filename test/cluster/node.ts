import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { healthy } from "./api.ts";
import type { Api } from "./api.ts";
import { command, succeeds } from "./command.ts";

import { healthUrls } from "./endpoints.ts";
import { flags } from "./flags.ts";
import { network } from "./network.ts";
import { startService } from "./service.ts";
import { ClusterUnavailable } from "./unavailable.ts";
import { until } from "./wait.ts";

export const nodeName = "modelwright";

/** GPUs that the node pretends to have: the scheduler and the kubelet count them, no device is behind them. */
export const gpus = {
  resource: "nvidia.com/gpu",
  count: "4",
  label: "nvidia.com/gpu.product",
  product: "NVIDIA-H200",
} as const;

type NodeParts = { bin: string; state: string; socket: string; kubeconfig: (user: string) => string };

/** Starts the node's agents: the kubelet, which runs pods, and kube-proxy, which routes Services to them. */
export async function startNode(parts: NodeParts): Promise<void> {
  const { bin, state, kubeconfig } = parts;
  await enableControllers();
  const config = join(state, "config", "kubelet.json");
  await writeFile(config, JSON.stringify(kubeletConfig(parts), null, 2));
  await startService(
    { state, name: "kubelet" },
    {
      path: join(bin, "kubelet"),
      args: flags({
        config,
        kubeconfig: kubeconfig("kubelet"),
        "hostname-override": nodeName,
        "node-ip": network.node,
        "root-dir": join(state, "kubelet"),
        "cert-dir": join(state, "pki"),
      }),
    },
    () => healthy(healthUrls.kubelet),
  );
  await startService(
    { state, name: "kube-proxy" },
    {
      path: join(bin, "kube-proxy"),
      args: flags({
        kubeconfig: kubeconfig("proxy"),
        "proxy-mode": (await succeeds("nft", ["list", "tables"])) ? "nftables" : "iptables",
        "cluster-cidr": network.pods,
        "hostname-override": nodeName,
        "bind-address": network.node,
        "conntrack-max-per-core": 0,
      }),
    },
    () => healthy(healthUrls["kube-proxy"]),
  );
}

function kubeletConfig({ state, socket }: NodeParts): unknown {
  const pki = (file: string): string => join(state, "pki", file);
  return {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    address: network.node,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki("ca.crt") },
    },
    authorization: { mode: "Webhook" },
    tlsCertFile: pki("kubelet.crt"),
    tlsPrivateKeyFile: pki("kubelet.key"),
    cgroupDriver: "cgroupfs",
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [], // needs cgroups that sandboxes lack
    localStorageCapacityIsolation: false, // needs file system statistics that sandboxes lack
    clusterDNS: [network.node],
    clusterDomain: "cluster.local",
    resolvConf: "",
    containerRuntimeEndpoint: `unix://${socket}`,
    evictionHard: { "memory.available": "100Mi" },
    imageGCHighThresholdPercent: 100,
    imagePullCredentialsVerificationPolicy: "NeverVerify", // else an image that was once pulled and is imported later counts as absent
    serializeImagePulls: false,
    syncFrequency: "10s",
    nodeStatusUpdateFrequency: "5s",
    nodeStatusReportFrequency: "5s",
    maxPods: 250,
  };
}

/** With cgroup v2, children of the root get only the controllers that the root hands down. */
async function enableControllers(): Promise<void> {
  const root = "/sys/fs/cgroup";
  if (!existsSync(`${root}/cgroup.controllers`)) return; // cgroup v1
  const words = async (file: string): Promise<string[]> =>
    (await readFile(`${root}/${file}`, "utf8")).trim().split(" ");
  const enabled = new Set(await words("cgroup.subtree_control"));
  const absent = ["cpu", "cpuset", "memory", "pids"].filter((controller) => !enabled.has(controller));
  if (absent.length === 0) return;
  try {
    await writeFile(`${root}/cgroup.subtree_control`, absent.map((controller) => `+${controller}`).join(" "));
  } catch (error) {
    throw new ClusterUnavailable(
      `the cgroup controllers ${absent.join(", ")} cannot be enabled in ${root}/cgroup.subtree_control`,
      "In a container, run it with a writable cgroup file system of its own and move its processes into a child group",
      error,
    );
  }
}

/** Waits until the node takes pods. */
export async function nodeReady(api: Api): Promise<void> {
  await until("the node is ready", () => isReady(api), { within: 90_000 });
}

export async function isReady(api: Api): Promise<boolean> {
  const node = await api.find<{ status: { conditions?: { type: string; status: string }[] } }>(
    `/api/v1/nodes/${nodeName}`,
  );
  return node?.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

/** The pretended GPUs that can be given to pods now. */
export async function allocatableGpus(api: Api): Promise<number> {
  const node = await api.find<{ status: { allocatable?: Record<string, string> } }>(`/api/v1/nodes/${nodeName}`);
  return Number(node?.status.allocatable?.[gpus.resource] ?? 0);
}

/** Advertises the pretended GPUs. A kubelet that starts anew forgets them, so this is part of every start. */
export async function advertiseGpus(api: Api): Promise<void> {
  const path = `/api/v1/nodes/${nodeName}`;
  await api.patch(path, { metadata: { labels: { [gpus.label]: gpus.product, "nvidia.com/gpu.count": gpus.count } } });
  await until(
    "the node offers its pretended GPUs",
    async () => {
      if ((await allocatableGpus(api)) === Number(gpus.count)) return true;
      const count = { [gpus.resource]: gpus.count };
      await api.patch(`${path}/status`, { status: { capacity: count, allocatable: count } });
      return false;
    },
    { within: 60_000, every: 250 },
  );
}

/** Taken-down nodes leave their pods' control groups behind. */
export async function removePodGroups(): Promise<void> {
  await command("find", [
    "/sys/fs/cgroup",
    "-depth",
    "-type",
    "d",
    "-path",
    "*/kubepods*",
    "-exec",
    "rmdir",
    "{}",
    ";",
  ]).catch(() => "");
}
