import { existsSync } from "node:fs";
import { command } from "./command.ts";
import { daemonPid } from "./daemon.ts";
import { ensurePackages, PackagesMissing } from "./packages.ts";
import { portTaken } from "./ports.ts";
import { ClusterUnavailable } from "./unavailable.ts";
import { until } from "./wait.ts";

const packages = ["runc", "containernetworking-plugins", "iproute2", "iptables", "nftables", "conntrack", "openssl"];

/** Ports of the cluster, with the program that listens on each. */
const ports: Record<string, number> = {
  etcd: 2379,
  "kube-apiserver": 6443,
  kubelet: 10250,
  "kube-controller-manager": 10257,
  "kube-scheduler": 10259,
};

/** Can a real node run here? Installs the Debian packages that it needs. Throws ClusterUnavailable. */
export async function checkMachine(log: (line: string) => void, state: string): Promise<void> {
  if (process.platform !== "linux") {
    throw new ClusterUnavailable(
      `a node needs Linux, this is ${process.platform}`,
      "Use --kind, a cluster elsewhere, or the local mode",
    );
  }
  if (process.getuid?.() !== 0) {
    throw new ClusterUnavailable(
      "a node needs root, for containers and their network",
      "Run it as root, with --kind, or use the local mode",
    );
  }
  await ensurePackages(packages, "to run a node", { log }).catch((error: unknown) => {
    if (error instanceof PackagesMissing) throw new ClusterUnavailable(error.why, error.remedy, error);
    throw error;
  });
  if (!existsSync("/sys/fs/cgroup"))
    throw new ClusterUnavailable("there are no control groups at /sys/fs/cgroup", "Mount them");
  await command("unshare", ["--mount", "--net", "--pid", "--fork", "true"]).catch((error: unknown) => {
    throw new ClusterUnavailable(
      "this machine lets nobody make namespaces, so it cannot run containers",
      "Use another machine or the local mode",
      error,
    );
  });
  for (const [name, port] of Object.entries(ports)) {
    if ((await daemonPid({ state, name })) === undefined && (await staysTaken(port))) {
      throw new ClusterUnavailable(
        `port ${port}, on which its ${name} listens, is taken`,
        "Take down the other cluster on this machine, or use it by its kubeconfig",
      );
    }
  }
}

/** A process of ours that has just ended may hold its port for a moment. */
async function staysTaken(port: number): Promise<boolean> {
  return until(`port ${port} is free`, async () => !(await portTaken(port)), { within: 2000 }).then(
    () => false,
    () => true,
  );
}
