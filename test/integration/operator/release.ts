/** The chart installed on an API server, and operators as it starts them: with its arguments and its ServiceAccount. */
import { randomUUID } from "node:crypto";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type ApiServer, startApiServer } from "../../cluster/apiserver.ts";
import { command } from "../../cluster/command.ts";
import { until } from "../../cluster/wait.ts";

export const CHART = fileURLToPath(new URL("../../../charts/modelwright", import.meta.url));
const MAIN = fileURLToPath(new URL("../../../operator/main.ts", import.meta.url));
const NAME = "models-modelwright";

/** What the operator builds on, and what a platform team relies on besides. */
const CONTROLLERS = [
  "job-controller",
  "deployment-controller",
  "replicaset-controller",
  "endpointslice-controller",
  "garbage-collector-controller",
  "resourcequota-controller",
  "clusterrole-aggregation-controller",
];

export function startPlainServer(): Promise<ApiServer> {
  return startApiServer({ controllers: CONTROLLERS });
}

interface Line {
  readonly level: string;
  readonly message: string;
}

export interface Operator {
  readonly lines: readonly Line[];
  /** Resolves with the exit code. */
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

/** The release `models`. */
export class Release {
  readonly server: ApiServer;
  readonly namespace: string;
  readonly #running: ChildProcess[] = [];

  constructor(server: ApiServer, namespace: string) {
    this.server = server;
    this.namespace = namespace;
  }

  helm(...args: string[]): Promise<string> {
    const env = { ...process.env, KUBECONFIG: this.server.kubeconfig };
    return command(join(this.server.bin, "helm"), args, { env });
  }

  kubectl(...args: string[]): Promise<string> {
    return command(join(this.server.bin, "kubectl"), [`--kubeconfig=${this.server.kubeconfig}`, ...args]);
  }

  /** Installs or upgrades, and waits until the three kinds are served. */
  async install(chart: string, ...args: string[]): Promise<void> {
    await this.helm("upgrade", "--install", "models", chart, "--namespace", this.namespace, ...args);
    for (const plural of ["trainingjobs", "optimizationjobs", "modeldeployments"]) {
      await until(`${plural} are served`, () =>
        this.server.api.find(`/apis/modelwright.dev/v1alpha1/namespaces/default/${plural}`),
      );
    }
  }

  /** Starts an operator as the installed Deployment says, and waits until it has read everything. */
  async operator(): Promise<Operator> {
    const { api } = this.server;
    const { spec } = await api.get<{
      spec: { template: { spec: { serviceAccountName: string; containers: { args: string[] }[] } } };
    }>(`/apis/apps/v1/namespaces/${this.namespace}/deployments/${NAME}`);
    const { serviceAccountName, containers } = spec.template.spec;
    const kubeconfig = await this.server.serviceAccountKubeconfig(this.namespace, serviceAccountName);
    // A pod knows its namespace, and has the port for itself.
    const outside = [`--kubeconfig=${kubeconfig}`, `--lease-namespace=${this.namespace}`, "--health-port=0"];
    // The kubelet puts a pod's name and uid into its arguments.
    const pod = randomUUID();
    const args = (containers[0]?.args ?? []).map((arg) => arg.replace(/\$\((POD_NAME|POD_UID)\)/g, pod));
    const child = spawn(process.execPath, [MAIN, ...args, ...outside], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] },
    });
    this.#running.push(child);
    const lines: Line[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line) as Line));
    await until("the operator has read everything", async () =>
      lines.some(({ message }) => message === "informers synced"),
    );
    return { lines, stop: (signal) => end(child, signal) };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#running.map((child) => end(child, "SIGKILL")));
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exit = once(child, "exit");
  child.kill(signal);
  await exit;
  return child.exitCode;
}
