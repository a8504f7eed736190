import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Api } from "./api.ts";
import { command, succeeds } from "./command.ts";
import { gpus } from "./node.ts";
import { ClusterUnavailable } from "./unavailable.ts";

/** A cluster in Docker, made by the program kind, for machines that have both. */

const name = "modelwright";

export async function kindUp(state: string, log: (line: string) => void): Promise<{ kubeconfig: string }> {
  if (!(await succeeds("docker", ["info"]))) {
    throw new ClusterUnavailable("docker does not answer", "Start it, or run npm run cluster -- up without --kind");
  }
  if (!(await succeeds("kind", ["version"]))) {
    throw new ClusterUnavailable(
      "the program kind is not on the PATH",
      "Install it from https://kind.sigs.k8s.io, or leave out --kind",
    );
  }
  await mkdir(state, { recursive: true });
  const kubeconfig = join(state, "kind.kubeconfig");
  const clusters = (await command("kind", ["get", "clusters"])).split("\n");
  if (clusters.includes(name)) {
    await command("kind", ["export", "kubeconfig", "--name", name, "--kubeconfig", kubeconfig]);
  } else {
    log("Creating a cluster with kind");
    await command("kind", ["create", "cluster", "--name", name, "--kubeconfig", kubeconfig, "--wait", "120s"]);
  }
  await pretendGpus(kubeconfig);
  return { kubeconfig };
}

export async function kindDown(state: string): Promise<void> {
  const kubeconfig = join(state, "kind.kubeconfig");
  if (!existsSync(kubeconfig)) return;
  await command("kind", ["delete", "cluster", "--name", name, "--kubeconfig", kubeconfig]);
  await rm(kubeconfig, { force: true });
}

/** The archive must carry the image's name. */
export async function kindImport(tar: string): Promise<void> {
  await command("kind", ["load", "image-archive", tar, "--name", name]);
}

export async function kindHas(image: string): Promise<boolean> {
  const images = await command("docker", [
    "exec",
    `${name}-control-plane`,
    "ctr",
    "-n",
    "k8s.io",
    "images",
    "list",
    "-q",
  ]);
  return images.split("\n").includes(image);
}

async function pretendGpus(kubeconfig: string): Promise<void> {
  const api = await Api.fromKubeconfig(kubeconfig);
  try {
    const path = `/api/v1/nodes/${name}-control-plane`;
    const count = { [gpus.resource]: gpus.count };
    await api.patch(path, { metadata: { labels: { [gpus.label]: gpus.product } } });
    await api.patch(`${path}/status`, { status: { capacity: count, allocatable: count } });
  } finally {
    await api.close();
  }
}
