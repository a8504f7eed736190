/** Components of others that some clusters have and this one gets on request: each is built from its own Go module. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildProgram, ensureGo } from "./build.ts";
import type { Cluster } from "./cluster.ts";
import { command } from "./command.ts";
import { packProgram } from "./image.ts";
import { cacheFolder } from "./places.ts";
import { until } from "./wait.ts";

const MODULES = join(import.meta.dirname, "addons");

interface Addon {
  /** Folder in `addons/`. */
  readonly name: string;
  /** The Go module of which it is a part. */
  readonly module: string;
  /** Program and chart; absent: only kinds. */
  readonly server?: {
    readonly package: string;
    /** Its name in the image, where the chart names it; default: that of the add-on. */
    readonly program?: string;
    readonly stamp?: (version: string) => Record<string, string>;
    readonly chart: string;
    readonly namespace: string;
    /** Helm values, for an image of this name and tag. */
    readonly values: (repository: string, tag: string) => unknown;
    /** What the API server takes once the add-on's webhooks answer: they do so a moment after its pod is ready. */
    readonly taken?: unknown;
  };
  /** Folder in the module of what kubectl applies by `-k`. */
  readonly kinds?: string;
}

/** Certificates of its own, one replica, and the frameworks whose kinds are here. */
const KUEUE_CONFIGURATION = {
  apiVersion: "config.kueue.x-k8s.io/v1beta2",
  kind: "Configuration",
  health: { healthProbeBindAddress: ":8081" },
  metrics: { bindAddress: ":8443", enableClusterQueueResources: true },
  webhook: { port: 9443 },
  leaderElection: { leaderElect: false, resourceName: "c1f6bfd2.kueue.x-k8s.io" },
  clientConnection: { qps: 300, burst: 500 },
  integrations: { frameworks: ["batch/job", "pod", "deployment"] },
};

export const addons: readonly Addon[] = [
  {
    name: "metrics-server",
    module: "sigs.k8s.io/metrics-server",
    server: {
      package: "sigs.k8s.io/metrics-server/cmd/metrics-server",
      chart: "charts/metrics-server",
      namespace: "kube-system",
      values: (repository, tag) => ({
        image: { repository, tag, pullPolicy: "Never" },
        args: [
          "--metric-resolution=10s",
          // Must be below the resolution.
          "--kubelet-request-timeout=5s",
          // The cluster's one authority has signed the kubelet's certificate too.
          "--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
          "--kubelet-preferred-address-types=InternalIP",
        ],
        defaultArgs: ["--cert-dir=/tmp", "--kubelet-use-node-status-port"],
        readinessProbe: { initialDelaySeconds: 2, periodSeconds: 2 },
      }),
    },
  },
  {
    name: "kueue",
    module: "sigs.k8s.io/kueue",
    server: {
      package: "sigs.k8s.io/kueue/cmd/kueue",
      program: "manager",
      stamp: (version) => ({ "sigs.k8s.io/kueue/pkg/version.GitVersion": version }),
      chart: "charts/kueue",
      namespace: "kueue-system",
      values: (repository, tag) => ({
        enableVisibilityAPF: true,
        controllerManager: {
          manager: {
            image: { repository, tag, pullPolicy: "Never" },
            resources: { requests: { cpu: "50m", memory: "128Mi" }, limits: { cpu: "2", memory: "512Mi" } },
          },
          readinessProbe: { initialDelaySeconds: 1, periodSeconds: 1 },
        },
        managerConfig: { controllerManagerConfigYaml: JSON.stringify(KUEUE_CONFIGURATION) },
      }),
      taken: {
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { name: "kueue-is-there", namespace: "default" },
        spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "none", image: "none" }] } } },
      },
    },
  },
  { name: "gateway-api", module: "sigs.k8s.io/gateway-api", kinds: "config/crd" },
];

/** Installs a component into the cluster, or brings it to the version of its go.mod. */
export async function installAddon(cluster: Cluster, name: string, log: (line: string) => void): Promise<void> {
  const addon = addons.find((one) => one.name === name);
  if (addon === undefined) {
    throw new TypeError(`unknown add-on ${name}; there are ${addons.map((one) => one.name).join(", ")}`);
  }
  const { Dir: folder, Version: version } = await downloaded(addon, log);
  const env = { ...process.env, KUBECONFIG: cluster.kubeconfig };
  if (addon.kinds !== undefined) await applyKinds(cluster, join(folder, addon.kinds));
  if (addon.server !== undefined) await installServer(cluster, addon.name, addon.server, { folder, version, log, env });
  log(`${addon.name} ${version} is installed`);
}

/** The kinds of the Gateway API, into any API server. */
export async function installGatewayKinds(
  target: Pick<Cluster, "kubeconfig" | "bin">,
  log: (line: string) => void,
): Promise<void> {
  const addon = addons.find(({ name }) => name === "gateway-api");
  if (addon?.kinds === undefined) throw new TypeError("gateway-api has no kinds");
  const { Dir: folder } = await downloaded(addon, log);
  await applyKinds(target, join(folder, addon.kinds));
}

async function applyKinds({ kubeconfig, bin }: Pick<Cluster, "kubeconfig" | "bin">, folder: string): Promise<void> {
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  await command(join(bin, "kubectl"), ["apply", "--server-side", "--force-conflicts", "-k", folder], { env });
}

interface Downloaded {
  readonly Dir: string;
  readonly Version: string;
}

/** The version that go.mod requires; its checksum is the one of go.sum. */
async function downloaded(addon: Addon, log: (line: string) => void): Promise<Downloaded> {
  const module = join(MODULES, addon.name);
  await ensureGo(module, log);
  const text = await command("go", ["mod", "download", "-json", addon.module], { cwd: module });
  return JSON.parse(text) as Downloaded;
}

interface Place {
  readonly folder: string;
  readonly version: string;
  readonly log: (line: string) => void;
  readonly env: NodeJS.ProcessEnv;
}

async function installServer(
  cluster: Cluster,
  name: string,
  server: NonNullable<Addon["server"]>,
  { folder, version, log, env }: Place,
): Promise<void> {
  const image = { repository: `localhost/${name}`, tag: version.slice(1) };
  const reference = `${image.repository}:${image.tag}`;
  if (!(await cluster.hasImage(reference))) {
    const bin = join(cacheFolder(process.env), "cluster", "addons", `${name}-${version}-${process.arch}`);
    await mkdir(bin, { recursive: true });
    const { package: path, program: file = name, stamp } = server;
    if (!existsSync(join(bin, file))) {
      log(`${name} ${version} building (two to four minutes on 2 cores) …`);
      const program = { name: file, module: name, package: path, ...(stamp === undefined ? {} : { stamp }) };
      await buildProgram({ program, version, module: join(MODULES, name), folder: bin });
    }
    await loadProgram(cluster, join(bin, file), reference);
  }
  const work = await mkdtemp(join(tmpdir(), "modelwright-addon-"));
  try {
    const values = join(work, "values.json");
    await writeFile(values, JSON.stringify(server.values(image.repository, image.tag)));
    const args = ["upgrade", "--install", name, join(folder, server.chart), "-n", server.namespace];
    const how = ["--create-namespace", "-f", values, "--wait", "--timeout", "3m"];
    await command(join(cluster.bin, "helm"), [...args, ...how], { env });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  if (server.taken !== undefined) await whenTaken(cluster, name, server.taken, env);
}

/** Nothing is created. */
async function whenTaken({ bin }: Cluster, name: string, object: unknown, env: NodeJS.ProcessEnv): Promise<void> {
  const args = ["create", "--dry-run=server", "-f", "-"];
  const options = { env, input: JSON.stringify(object) };
  await until(`the webhooks of ${name} answer`, () => command(join(bin, "kubectl"), args, options), { every: 250 });
}

async function loadProgram(cluster: Cluster, program: string, reference: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "modelwright-addon-"));
  try {
    const out = join(work, "image.tar");
    await packProgram({ program, name: reference, out, user: "65532:65532" });
    await cluster.importImage(out, reference);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
