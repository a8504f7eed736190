import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Api, healthy } from "./api.ts";
import { stopDaemon } from "./daemon.ts";
import { network } from "./network.ts";
import { freePorts } from "./ports.ts";
import { startService } from "./service.ts";
import { kwokStages } from "./stages.ts";
import { until } from "./wait.ts";

/** A node that exists in the API only: pods on it become ready at once and run nothing; pods of Jobs complete. */
export type KwokNode = {
  name: string;
  /** Such as `NVIDIA-H100-80GB-HBM3`: the label `nvidia.com/gpu.product`. */
  product?: string;
  /** Extended resources, such as `{"nvidia.com/gpu": 8}` or `{"nvidia.com/mig-1g.10gb": 7}`. */
  resources?: Record<string, number>;
  labels?: Record<string, string>;
};

export type Kwok = {
  /** Adds nodes and waits until they are ready. */
  addNodes(nodes: KwokNode[]): Promise<void>;
  /** Removes the nodes of this Kwok and ends it. */
  stop(): Promise<void>;
};

/** Every KWOK node carries it, so that only pods that tolerate it go there: key, value and effect. */
export const kwokTaint = { key: "kwok.x-k8s.io/node", value: "fake", effect: "NoSchedule" } as const;
export const kwokToleration = { key: kwokTaint.key, operator: "Exists", effect: kwokTaint.effect } as const;

const annotation = "kwok.x-k8s.io/node";

/** Starts KWOK against a cluster or a lone API server. It cares only for its own nodes, so several may run side by side. */
export async function startKwok(
  { kubeconfig, bin }: { kubeconfig: string; bin: string },
  nodes: KwokNode[] = [],
): Promise<Kwok> {
  const set = crypto.randomUUID().slice(0, 8);
  const state = await mkdtemp(join(tmpdir(), "modelwright-kwok-"));
  await mkdir(join(state, "log"));
  const config = join(state, "stages.json");
  await writeFile(config, kwokStages.map((stage) => JSON.stringify(stage)).join("\n---\n"));
  const [port = 0] = await freePorts(1);
  const args = [
    "--config",
    config,
    "--kubeconfig",
    kubeconfig,
    "--manage-all-nodes=false",
    "--server-address",
    `127.0.0.1:${port}`,
  ];
  const own = [`--manage-nodes-with-annotation-selector=${annotation}=${set}`, "--cidr", network.fakePods];
  const daemon = { state, name: "kwok" };
  const program = {
    path: join(bin, "kwok"),
    args: [...args, ...own, "--node-lease-duration-seconds", "40"],
    attached: true,
  };
  await startService(daemon, program, () => healthy(`http://127.0.0.1:${port}/healthz`));
  const api = await Api.fromKubeconfig(kubeconfig);
  const added: string[] = [];

  const kwok: Kwok = {
    addNodes: async (more) => {
      for (const node of more) {
        await api.post("/api/v1/nodes", nodeObject(node, set, added.length));
        added.push(node.name);
      }
      await Promise.all(more.map(({ name }) => ready(api, name)));
    },
    stop: async () => {
      await stopDaemon(daemon, 0);
      for (const name of added) await api.delete(`/api/v1/nodes/${name}`);
      await api.close();
      await rm(state, { recursive: true, force: true });
    },
  };
  try {
    await kwok.addNodes(nodes);
  } catch (error) {
    await kwok.stop();
    throw error;
  }
  return kwok;
}

async function ready(api: Api, name: string): Promise<void> {
  type Node = { status: { conditions?: { type: string; status: string }[] } };
  await until(
    `node ${name} is ready`,
    async () => {
      const { status } = await api.get<Node>(`/api/v1/nodes/${name}`);
      return status.conditions?.some(({ type, status: state }) => type === "Ready" && state === "True");
    },
    { within: 30_000 },
  );
}

function nodeObject({ name, product, resources = {}, labels = {} }: KwokNode, set: string, index: number): unknown {
  const extended = Object.fromEntries(Object.entries(resources).map(([resource, count]) => [resource, String(count)]));
  const capacity = { cpu: "64", memory: "512Gi", pods: "250", "ephemeral-storage": "1Ti", ...extended };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      annotations: { [annotation]: set },
      labels: {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        ...(product === undefined ? {} : { "nvidia.com/gpu.product": product }),
        ...labels,
      },
    },
    spec: { taints: [kwokTaint] },
    status: {
      capacity,
      allocatable: capacity,
      addresses: [
        { type: "InternalIP", address: `198.18.252.${index + 1}` },
        { type: "Hostname", address: name },
      ],
    },
  };
}
