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
} from "./control-plane.ts";
import { daemonPid, logTail, startDaemon, stopDaemon } from "./daemon.ts";
import type { Daemon, Program } from "./daemon.ts";
import { flags } from "./flags.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { ensurePackages } from "./packages.ts";
import { freePorts } from "./ports.ts";
import { findPrograms } from "./programs.ts";
import { until } from "./wait.ts";

export type ApiServerOptions = {
  /** Folder of the programs; found as for a whole cluster if it is not given. */
  bin?: string;
  /** Controllers of kube-controller-manager to run, such as `garbage-collector-controller`. None by default: what a test writes stays. */
  controllers?: string[];
  /** More arguments for kube-apiserver. */
  args?: string[];
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

const serviceAccountController = "serviceaccount-controller";

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
  readonly #args: string[];
  #api: Api | undefined;
  #serve: (() => Promise<void>) | undefined;

  constructor(bin: string, state: string, { controllers = [], args = [] }: ApiServerOptions) {
    this.#bin = bin;
    this.#state = state;
    this.#controllers = controllers;
    this.#args = args;
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
    const api = (this.#api = await Api.withCertificate(url, files));

    await this.#run("etcd", etcdArguments({ state, clientUrl: etcd, peerUrl: `http://127.0.0.1:${peerPort}` }));
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
    this.#serve = async (): Promise<void> => {
      await this.#run("kube-apiserver", args);
      await this.#answers("kube-apiserver", () => api.ready());
    };
    await this.#serve();
    if (this.#controllers.length > 0) await this.#control(url, pki);

    return {
      url,
      ...files,
      etcd,
      bin: this.#bin,
      state,
      api,
      kubeconfig: await writeKubeconfig(join(state, "admin.kubeconfig"), {
        url,
        caFile: files.caFile,
        user: "admin",
        credentials: files,
      }),
      namespace: (prefix = "test") => createNamespace(api, prefix),
      serviceAccountKubeconfig: (namespace, name) =>
        serviceAccountKubeconfig(api, { url, caFile: files.caFile, folder: state, namespace, name }),
      crash: () => stopDaemon(this.#daemon("kube-apiserver"), 0),
      restart: async () => this.#serve?.(),
      stop: () => this.stop(),
    };
  }

  async stop(): Promise<void> {
    await this.#api?.close();
    for (const name of ["kube-controller-manager", "kube-apiserver", "etcd"]) await stopDaemon(this.#daemon(name), 0);
    await rm(this.#state, { recursive: true, force: true });
  }

  /** Without the controller that makes each namespace's `default` ServiceAccount, pods must be admitted without one. */
  #admission(): string[] {
    return this.#controllers.includes(serviceAccountController)
      ? []
      : flags({ "disable-admission-plugins": "ServiceAccount" });
  }

  async #control(url: string, pki: Authority): Promise<void> {
    const user = "controller-manager";
    const kubeconfig = await writeKubeconfig(join(this.#state, `${user}.kubeconfig`), {
      url,
      caFile: pki.path("ca.crt"),
      user,
      credentials: { certFile: pki.path(`${user}.crt`), keyFile: pki.path(`${user}.key`) },
    });
    const [port = 0] = await freePorts(1);
    await this.#run("kube-controller-manager", [
      ...controllerManagerArguments({ pki, kubeconfig }),
      ...flags({ controllers: this.#controllers.join(","), "secure-port": port }),
    ]);
    await this.#answers("kube-controller-manager", () => healthy(`https://127.0.0.1:${port}/healthz`));
  }

  /** Waits until a program is healthy; throws with the end of its log if it ends instead. */
  async #answers(name: string, ask: () => Promise<boolean>): Promise<void> {
    const daemon = this.#daemon(name);
    const ended = async (): Promise<boolean> => (await daemonPid(daemon)) === undefined;
    await until(`${name} is ready`, async () => (await ask()) || (await ended()));
    if (await ended()) throw new Error(`${name} ended: ${await logTail(daemon)}`);
  }

  #daemon(name: string): Daemon {
    return { state: this.#state, name };
  }

  async #run(name: string, args: string[]): Promise<void> {
    const program: Program = { path: join(this.#bin, name), args, attached: true };
    await startDaemon(this.#daemon(name), program);
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
