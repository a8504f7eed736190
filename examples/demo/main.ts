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
import { command } from "../../test/cluster/command.ts";
import { Kubectl, type Target } from "../../test/cluster/kubectl.ts";
import { ensurePackages } from "../../test/cluster/packages.ts";
import { type Images, installPlatform, systemNamespace } from "../../test/cluster/platform.ts";
import { ClusterUnavailable } from "../../test/cluster/unavailable.ts";
import { NAMESPACE, tellOnCluster } from "./cluster-story.ts";
import { tellLocally } from "./local-story.ts";
import { elapsed, heading, red, say } from "./screen.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const LOCAL_FOLDER = join(ROOT, ".cache", "demo");
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
    say((await command(process.execPath, [join(ROOT, "runtime", "engine", "build", "main.ts")])).trimEnd());
  } catch (error) {
    say(`TensorFlow cannot be built here, so the wasm engine computes: ${String(error)}`);
  }
}

async function local(): Promise<void> {
  heading("Engine: TensorFlow for Node");
  await prepareEngine();
  await tellLocally(LOCAL_FOLDER);
}

/** A cluster of the user's, with kubectl and helm from the PATH. */
function foreign(context: string): Target {
  return { kubectl: "kubectl", helm: "helm", env: process.env, context };
}

/** A cluster of the user's, or the local one with freshly built images. */
async function prepareTarget(): Promise<{ target: Target; images: Images }> {
  if (values.context !== undefined) {
    const prefix = values.images;
    if (prefix === undefined) {
      throw new Error(
        "--context needs --images PREFIX, such that its nodes find PREFIX/operator:dev and PREFIX/runtime:dev",
      );
    }
    return {
      target: foreign(values.context),
      images: { operator: `${prefix}/operator:dev`, runtime: `${prefix}/runtime:dev` },
    };
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
  heading("Helm chart: helm upgrade --install modelwright charts/modelwright");
  await installPlatform(target, images);
  say(await new Kubectl(target, systemNamespace).run(["get", "deployments,pods"]));
  await tellOnCluster(target, images);
}

async function remove(): Promise<void> {
  await rm(LOCAL_FOLDER, { recursive: true, force: true });
  if (values.context === undefined) {
    await down({ log: say });
    say("the local cluster and all in it are gone");
    return;
  }
  const kubectl = new Kubectl(foreign(values.context), NAMESPACE);
  await kubectl.run(["delete", "modelwright", "--all", "--ignore-not-found"]);
  const uninstall = ["uninstall", "modelwright", "-n", systemNamespace, "--ignore-not-found"];
  await command("helm", [...uninstall, "--kube-context", values.context]);
  await kubectl.run(["delete", "namespace", NAMESPACE, systemNamespace, "--ignore-not-found"]);
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
      say(`${error.message}\nThe same manifests run as local processes instead.`);
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
