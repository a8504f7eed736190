/** An API server with our CRDs and the controllers that the operator builds on, and operators in this process. */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import type { Progress } from "../../../crds/contract/progress.ts";
import { Client } from "../../../operator/kernel/client.ts";
import { loadConnection } from "../../../operator/kernel/kube-config.ts";
import { createLogger, type Logger, silentLogger } from "../../../operator/kernel/logger.ts";
import { runManager } from "../../../operator/kernel/manager.ts";
import type { CallObserver } from "../../../operator/kernel/transport.ts";
import { type ActivatorInstallation, createOperator } from "../../../operator/operator.ts";
import type { LoadProber } from "../../../operator/pods/load-prober.ts";
import type { Prober } from "../../../operator/pods/prober.ts";
import type { TrafficProber } from "../../../operator/pods/traffic-prober.ts";
import type { Api } from "../../cluster/api.ts";
import { type ApiServer, startApiServer } from "../../cluster/apiserver.ts";
import { until } from "../../cluster/wait.ts";

export const IMAGE = "registry.example/modelwright/runtime:1";

const CONTROLLERS = [
  "job-controller",
  "deployment-controller",
  "replicaset-controller",
  "endpointslice-controller",
  "garbage-collector-controller",
  "ttl-after-finished-controller",
];

/** An API server with the three kinds. `without`: controllers whose part the test plays itself. */
export async function startBed(
  args: string[] = [],
  { without = [] }: { without?: readonly string[] } = {},
): Promise<ApiServer> {
  const controllers = CONTROLLERS.filter((controller) => !without.includes(controller));
  const server = await startApiServer({ controllers, args });
  try {
    await installCrds(server.api);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

const PLURALS = ["trainingjobs", "optimizationjobs", "modeldeployments"] as const;

export async function readCrd(plural: string): Promise<Record<string, unknown>> {
  const url = new URL(`../../../crds/${plural}.yaml`, import.meta.url);
  return parse(await readFile(url, "utf8")) as Record<string, unknown>;
}

export async function installCrds(api: Api): Promise<void> {
  for (const plural of PLURALS) {
    await api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", await readCrd(plural));
  }
  for (const plural of PLURALS) {
    await until(`${plural} are served`, () => api.find(`/apis/modelwright.dev/v1alpha1/namespaces/default/${plural}`));
  }
}

/** Says of each pod what a test has set. */
export class FakeProber implements Prober {
  readonly #reports = new Map<string, Progress>();

  set(address: string, report: Progress): void {
    this.#reports.set(address, report);
  }

  probe(address: string): Promise<Progress | undefined> {
    return Promise.resolve(this.#reports.get(address));
  }
}

export interface RunningOperator {
  /** Calls that changed something, as `METHOD code`. */
  readonly writes: readonly string[];
  stop(): Promise<void>;
}

export interface OperatorSettings {
  readonly kubeconfig: string;
  readonly namespaces: readonly string[];
  readonly prober: Prober;
  readonly loads?: LoadProber;
  readonly traffic?: TrafficProber;
  readonly activator?: ActivatorInstallation;
  readonly image?: string;
}

/** Starts an operator in this process, as main.ts does but for the lease and the health port. */
export async function startOperator({
  kubeconfig,
  namespaces,
  prober,
  loads,
  traffic,
  activator,
  image = IMAGE,
}: OperatorSettings): Promise<RunningOperator> {
  const writes: string[] = [];
  const observer: CallObserver = {
    called: ({ method, code }) => {
      if (method !== "GET") writes.push(`${method} ${code}`);
    },
  };
  const client = new Client(await loadConnection({ kubeconfig }), {
    userAgent: "modelwright-operator",
    fieldManager: "modelwright-operator",
    metrics: observer,
  });
  const logger = testLogger();
  const operator = createOperator({
    client,
    config: { runtimeImage: image, requests: { cpu: "100m", memory: "256Mi" } },
    prober,
    loads,
    traffic,
    activator,
    namespaces,
    instance: "test",
    logger,
  });
  const stopping = new AbortController();
  const running = runManager({ ...operator, signal: stopping.signal, logger });
  await Promise.all(operator.informers.map((informer) => informer.whenSynced(stopping.signal)));
  return {
    writes,
    stop: async () => {
      stopping.abort();
      await running;
      await client.close();
    },
  };
}

/** MODELWRIGHT_TEST_LOG=1 shows what the operator says. */
function testLogger(): Logger {
  return process.env["MODELWRIGHT_TEST_LOG"] === "1"
    ? createLogger({ level: "debug", stream: process.stderr })
    : silentLogger;
}
