/**
 * `npm run demo`: from a bare machine to a model that was trained, optimized and served on a real Kubernetes.
 * `-- --down` removes everything; `-- --local` runs the same manifests as local processes;
 * `-- --context NAME` uses a cluster of yours, with `--images PREFIX` where its nodes find the images.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadImages } from "../../images/load.ts";
import { down, up } from "../../test/cluster/cluster.ts";
import { ensurePackages } from "../../test/cluster/packages.ts";
import { ClusterUnavailable } from "../../test/cluster/unavailable.ts";
import { type Images, NAMESPACE, tellOnCluster } from "./cluster-story.ts";
import { command, type Target } from "./kubectl.ts";
import { tellLocally } from "./local-story.ts";
import { elapsed, heading, red, say } from "./screen.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const LOCAL_FOLDER = join(ROOT, ".cache", "demo");
const SYSTEM_NAMESPACE = "modelwright-system";
const BUILD_PACKAGES = ["g++", "make", "python3", "python3-pip", "binutils"];

const { values } = parseArgs({
  options: {
    down: { type: "boolean", default: false },
    local: { type: "boolean", default: false },
    context: { type: "string" },
    images: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});

/** libtensorflow for local processes; without it the wasm engine computes, which is said. */
async function prepareEngine(): Promise<void> {
  try {
    await ensurePackages(BUILD_PACKAGES, "to build the TensorFlow engine");
    await command("node", [join(ROOT, "runtime", "engine", "build", "main.ts")], { onLine: say });
  } catch (error) {
    say(`TensorFlow cannot be built here, so the wasm engine computes: ${String(error)}`);
  }
}

async function local(): Promise<void> {
  heading("Engine: TensorFlow for Node");
  await prepareEngine();
  await tellLocally(LOCAL_FOLDER);
}

function helmValues(key: string, reference: string): string[] {
  const colon = reference.lastIndexOf(":");
  return ["--set-string", `${key}.repository=${reference.slice(0, colon)},${key}.tag=${reference.slice(colon + 1)}`];
}

async function install(target: Target, images: Images): Promise<void> {
  heading("Helm chart: helm upgrade --install modelwright charts/modelwright");
  const args = ["upgrade", "--install", "modelwright", join(ROOT, "charts", "modelwright"), "-n", SYSTEM_NAMESPACE];
  args.push("--create-namespace", "--wait", "--timeout", "3m");
  args.push(...helmValues("image", images.operator), ...helmValues("runtimeImage", images.runtime));
  if (target.context !== undefined) args.push("--kube-context", target.context);
  await command(target.helm, args, { env: target.env });
  const kubectl = ["-n", SYSTEM_NAMESPACE, "get", "deployments,pods"];
  const where = target.context === undefined ? [] : ["--context", target.context];
  say(await command(target.kubectl, [...where, ...kubectl], { env: target.env }));
}

/** A cluster of the user's, or the local one with freshly built images. */
async function prepareTarget(): Promise<{ target: Target; images: Images }> {
  if (values.context !== undefined) {
    if (values.images === undefined) {
      throw new Error(
        "--context needs --images PREFIX: where the cluster's nodes find PREFIX/operator:dev and PREFIX/runtime:dev",
      );
    }
    const images = { operator: `${values.images}/operator:dev`, runtime: `${values.images}/runtime:dev` };
    return { target: { kubectl: "kubectl", helm: "helm", env: process.env, context: values.context }, images };
  }
  heading("Cluster: a real Kubernetes on this machine");
  const cluster = await up({ log: say });
  heading("Images: operator and runtime");
  await ensurePackages([...BUILD_PACKAGES, "buildah", "debootstrap"], "to build the images");
  const images = await loadImages(cluster, say);
  const env = { ...process.env, KUBECONFIG: cluster.kubeconfig };
  return { target: { kubectl: join(cluster.bin, "kubectl"), helm: join(cluster.bin, "helm"), env }, images };
}

async function onCluster(): Promise<void> {
  const { target, images } = await prepareTarget();
  await install(target, images);
  await tellOnCluster(target, images);
}

async function remove(): Promise<void> {
  await rm(LOCAL_FOLDER, { recursive: true, force: true });
  if (values.context === undefined) {
    await down();
    say("the local cluster and all in it are gone");
    return;
  }
  const kubectl = [
    "--context",
    values.context,
    "delete",
    "namespace",
    NAMESPACE,
    SYSTEM_NAMESPACE,
    "--ignore-not-found",
  ];
  await command("kubectl", [
    "--context",
    values.context,
    "-n",
    NAMESPACE,
    "delete",
    "modelwright",
    "--all",
    "--ignore-not-found",
  ]);
  await command("helm", [
    "--kube-context",
    values.context,
    "-n",
    SYSTEM_NAMESPACE,
    "uninstall",
    "modelwright",
    "--ignore-not-found",
  ]);
  await command("kubectl", kubectl);
  say(`the demo is gone from ${values.context}`);
}

async function main(): Promise<void> {
  if (values.help) {
    say("npm run demo [-- --down | --local | --context NAME --images PREFIX]");
  } else if (values.down) {
    await remove();
  } else if (values.local) {
    await local();
  } else {
    try {
      await onCluster();
    } catch (error) {
      if (!(error instanceof ClusterUnavailable)) throw error;
      say(`A cluster cannot be here: ${error.message}\nThe same manifests run as local processes instead.`);
      await local();
    }
  }
}

try {
  await main();
} catch (error) {
  console.error(red(`\nThe demo failed after ${elapsed()}: ${error instanceof Error ? error.message : String(error)}`));
  process.exitCode = 1;
}
