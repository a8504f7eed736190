import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Api, healthy } from "./api.ts";
import type { Authority } from "./certificates.ts";
import {
  apiServerArguments,
  controllerManagerArguments,
  createControlPlanePki,
  etcdArguments,
  schedulerArguments,
} from "./control-plane.ts";
import { stopDaemon } from "./daemon.ts";
import type { Daemon, Program } from "./daemon.ts";
import { flags } from "./flags.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { ensurePackages } from "./packages.ts";
import { freePorts } from "./ports.ts";
import { findPrograms } from "./programs.ts";
import { startService } from "./service.ts";
import { until } from "./wait.ts";

export type ApiServerOptions = {
  /** Folder of the programs; found as for a whole cluster if it is not given. */
  bin?: string;
  /** Controllers of kube-controller-manager to run, such as `garbage-collector-controller`. None by default: what a test writes stays. */
  controllers?: string[];
  /** Run kube-scheduler too; there are no nodes but those of KWOK. */
  scheduler?: boolean;
  /** More arguments for kube-apiserver. */
  args?: string[];
  /** Requests per second that each controller, and the scheduler, may make; default: Kubernetes' own 20 and 50. */
  qps?: number;
  log?: (line: string) => void;
};

/** A real API server over a real etcd, on loopback, without nodes: what a controller is tested against. */
export type ApiServer = {
  url: string;
  /** Path of the administrator's kubeconfig. */
  kubeconfig: string;
  /** PEM files: the authority of the server's certificate, and the administrator's certificate and key. */
  caFile: string;
  certFile: string;
  keyFile: string;
  /** URL of etcd, without TLS. */
  etcd: string;
  bin: string;
  state: string;
  /** The administrator's client. */
  api: Api;
  /** Makes a namespace that nobody else uses and returns its name. */
  namespace(prefix?: string): Promise<string>;
  /** Makes the ServiceAccount if it is not there, and a kubeconfig with a token of it (an hour). Returns the path. */
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  /** Ends the API server as a crash would (etcd stays), and starts it again at the same URL. */
  crash(): Promise<void>;
  restart(): Promise<void>;
  /** Ends everything and removes all files. */
  stop(): Promise<void>;
};

/** Starts an API server and etcd on free ports, and waits until it is ready (about 4 seconds on 2 cores). */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const bin = await findPrograms({ bin: options.bin, log: options.log });
  await ensurePackages(["openssl"], "to make certificates", options.log ? { log: options.log } : {});
  const state = await mkdtemp(join(tmpdir(), "modelwright-apiserver-"));
  const server = new LoneServer(bin, state, options);
  try {
    return await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
}

class LoneServer {
  readonly #bin: string;
  readonly #state: string;
  readonly #controllers: string[];
  readonly #scheduler: boolean;
  readonly #args: string[];
  readonly #pace: string[];
  #api: Api | undefined;
  #serve: (() => Promise<void>) | undefined;

  constructor(bin: string, state: string, { controllers = [], scheduler = false, args = [], qps }: ApiServerOptions) {
    this.#bin = bin;
    this.#state = state;
    this.#controllers = controllers;
    this.#scheduler = scheduler;
    this.#args = args;
    this.#pace = qps === undefined ? [] : flags({ "kube-api-qps": qps, "kube-api-burst": qps });
  }

  async start(): Promise<ApiServer> {
    const state = this.#state;
    await mkdir(join(state, "log"));
    const [pki, [port = 0, etcdPort = 0, peerPort = 0]] = await Promise.all([
      createControlPlanePki(join(state, "pki"), ["127.0.0.1"]),
      freePorts(3),
    ]);
    const etcd = `http://127.0.0.1:${etcdPort}`;
    const url = `https://127.0.0.1:${port}`;
    const files = { caFile: pki.path("ca.crt"), certFile: pki.path("admin.crt"), keyFile: pki.path("admin.key") };
    const kubeconfig = await writeKubeconfig(join(state, "admin.kubeconfig"), {
      url,
      caFile: files.caFile,
      user: "admin",
      credentials: files,
    });
    const api = (this.#api = await Api.fromKubeconfig(kubeconfig));

    const store = etcdArguments({ state, clientUrl: etcd, peerUrl: `http://127.0.0.1:${peerPort}` });
    await this.#run("etcd", store, () => healthy(`${etcd}/health`));
    const args = [
      ...apiServerArguments({
        pki,
        etcdUrl: etcd,
        port,
        bindAddress: "127.0.0.1",
        advertiseAddress: "127.0.0.1",
        services: "198.19.0.0/16",
      }),
      ...flags({ "endpoint-reconciler-type": "none" }),
      ...this.#admission(),
      ...this.#args,
    ];
    this.#serve = () => this.#run("kube-apiserver", args, () => api.ready());
    await this.#serve();
    if (this.#controllers.length > 0) {
      const chosen = flags({ controllers: this.#controllers.join(",") });
      await this.#component("controller-manager", url, pki, (kubeconfig) => [
        ...controllerManagerArguments({ pki, kubeconfig }),
        ...chosen,
      ]);
    }
    if (this.#scheduler)
      await this.#component("scheduler", url, pki, (kubeconfig) => schedulerArguments({ kubeconfig }));

    return {
      url,
      ...files,
      etcd,
      bin: this.#bin,
      state,
      api,
      kubeconfig,
      namespace: (prefix = "test") => createNamespace(api, prefix),
      serviceAccountKubeconfig: (namespace, name) =>
        serviceAccountKubeconfig(api, { url, caFile: files.caFile, folder: state, namespace, name }),
      crash: () => stopDaemon(this.#daemon("kube-apiserver"), 0),
      restart: () => this.#restart(),
      stop: () => this.stop(),
    };
  }

  /** The port of a server that crashed may be taken for a moment yet. */
  async #restart(): Promise<void> {
    const serve = async (): Promise<boolean> => {
      await this.#serve?.();
      return true;
    };
    await until("the API server is back", serve, { within: 60_000, every: 250 });
  }

  async stop(): Promise<void> {
    await this.#api?.close();
    for (const name of ["kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"])
      await stopDaemon(this.#daemon(name), 0);
    await rm(this.#state, { recursive: true, force: true });
  }

  /** Some admission waits for a controller: for each namespace's `default` ServiceAccount, for a new node's taint to go. */
  #admission(): string[] {
    const pairs = { ServiceAccount: "serviceaccount-controller", TaintNodesByCondition: "node-lifecycle-controller" };
    const without = Object.entries(pairs).filter(([, controller]) => !this.#controllers.includes(controller));
    return without.length === 0
      ? []
      : flags({ "disable-admission-plugins": without.map(([plugin]) => plugin).join(",") });
  }

  /** Starts a program that talks to the API server as a user of its own, and waits until it is healthy. */
  async #component(user: string, url: string, pki: Authority, args: (kubeconfig: string) => string[]): Promise<void> {
    const credentials = { certFile: pki.path(`${user}.crt`), keyFile: pki.path(`${user}.key`) };
    const path = join(this.#state, `${user}.kubeconfig`);
    const kubeconfig = await writeKubeconfig(path, { url, caFile: pki.path("ca.crt"), user, credentials });
    const [port = 0] = await freePorts(1);
    const health = (): Promise<boolean> => healthy(`https://127.0.0.1:${port}/healthz`);
    await this.#run(`kube-${user}`, [...args(kubeconfig), ...this.#pace, ...flags({ "secure-port": port })], health);
  }

  #daemon(name: string): Daemon {
    return { state: this.#state, name };
  }

  async #run(name: string, args: string[], health: () => Promise<boolean>): Promise<void> {
    const program: Program = { path: join(this.#bin, name), args, attached: true };
    await startService(this.#daemon(name), program, health);
  }
}

/** Makes a namespace with a name of its own and returns the name. */
export async function createNamespace(api: Api, prefix = "test"): Promise<string> {
  const name = `${prefix}-${crypto.randomUUID().slice(0, 8)}`;
  await api.post("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  return name;
}

async function serviceAccountKubeconfig(
  api: Api,
  {
    url,
    caFile,
    folder,
    namespace,
    name,
  }: { url: string; caFile: string; folder: string; namespace: string; name: string },
): Promise<string> {
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await api.apply(`${accounts}/${name}`, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } });
  const { status } = await api.post<{ status: { token: string } }>(`${accounts}/${name}/token`, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { expirationSeconds: 3600 },
  });
  const path = join(folder, `${namespace}-${name}.kubeconfig`);
  return writeKubeconfig(path, { url, caFile, user: name, credentials: { token: status.token } });
}
