import { join } from "node:path";
import { Api, healthy } from "./api.ts";
import { Authority, client } from "./certificates.ts";
import { healthUrls } from "./endpoints.ts";
import { flags } from "./flags.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { network } from "./network.ts";
import { nodeName } from "./node.ts";
import { startService } from "./service.ts";

/** Command lines of the control plane's programs, the same for a real node and for an API server alone. */

export function etcdArguments({
  state,
  clientUrl,
  peerUrl,
}: {
  state: string;
  clientUrl: string;
  peerUrl: string;
}): string[] {
  return flags({
    name: "default",
    "data-dir": `${state}/etcd`,
    "unsafe-no-fsync": true, // a cluster for tests may be lost with the machine
    "log-level": "warn",
    "listen-client-urls": clientUrl,
    "advertise-client-urls": clientUrl,
    "listen-peer-urls": peerUrl,
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": `default=${peerUrl}`,
  });
}

export type ApiServerSettings = {
  pki: Authority;
  etcdUrl: string;
  port: number;
  bindAddress: string;
  advertiseAddress: string;
  /** Address range of Services. */
  services: string;
};

export function apiServerArguments({
  pki,
  etcdUrl,
  port,
  bindAddress,
  advertiseAddress,
  services,
}: ApiServerSettings): string[] {
  return flags({
    "etcd-servers": etcdUrl,
    "secure-port": port,
    "bind-address": bindAddress,
    "advertise-address": advertiseAddress,
    "tls-cert-file": pki.path("apiserver.crt"),
    "tls-private-key-file": pki.path("apiserver.key"),
    "client-ca-file": pki.path("ca.crt"),
    "service-account-key-file": pki.path("sa.pub"),
    "service-account-signing-key-file": pki.path("sa.key"),
    "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
    "authorization-mode": "Node,RBAC",
    "service-cluster-ip-range": services,
    "allow-privileged": true,
    "enable-bootstrap-token-auth": false,
    profiling: false,
    // aggregated APIs are told who asks by a certificate of an authority of its own
    "requestheader-client-ca-file": pki.path("front-ca.crt"),
    "requestheader-allowed-names": "front-proxy-client",
    "requestheader-extra-headers-prefix": "X-Remote-Extra-",
    "requestheader-group-headers": "X-Remote-Group",
    "requestheader-username-headers": "X-Remote-User",
    "proxy-client-cert-file": pki.path("front.crt"),
    "proxy-client-key-file": pki.path("front.key"),
  });
}

export function controllerManagerArguments({ pki, kubeconfig }: { pki: Authority; kubeconfig: string }): string[] {
  return flags({
    ...componentFlags(kubeconfig),
    "service-account-private-key-file": pki.path("sa.key"),
    "root-ca-file": pki.path("ca.crt"),
    "use-service-account-credentials": true,
  });
}

export function schedulerArguments({ kubeconfig }: { kubeconfig: string }): string[] {
  return flags(componentFlags(kubeconfig));
}

function componentFlags(kubeconfig: string): Record<string, string | boolean> {
  return {
    kubeconfig,
    "authentication-kubeconfig": kubeconfig,
    "authorization-kubeconfig": kubeconfig,
    "leader-elect": false,
    "bind-address": "127.0.0.1",
  };
}

const ownNames = [
  "localhost",
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
];

/** Makes what a control plane needs to know whom it talks to. `addresses` are those of the API server. */
export async function createControlPlanePki(folder: string, addresses: string[]): Promise<Authority> {
  const pki = new Authority(folder, "ca");
  const front = new Authority(folder, "front-ca");
  await Promise.all([pki.create(), front.create(), pki.serviceAccountKeys()]);
  const alternatives = [...ownNames.map((name) => `DNS:${name}`), ...addresses.map((address) => `IP:${address}`)];
  await Promise.all([
    pki.issue({
      name: "apiserver",
      subject: "/CN=kube-apiserver",
      extensions: [`subjectAltName=${alternatives.join(",")}`],
    }),
    pki.issue(client("admin", "/O=system:masters/CN=admin")),
    pki.issue(client("controller-manager", "/CN=system:kube-controller-manager")),
    pki.issue(client("scheduler", "/CN=system:kube-scheduler")),
    front.issue(client("front", "/CN=front-proxy-client")),
  ]);
  return pki;
}

type Parts = { bin: string; state: string; kubeconfig: (user: string) => string };

const users = ["admin", "controller-manager", "scheduler", "proxy", "kubelet"];

/** Starts the control plane of a real node, or what is missing of it, and waits until it answers. */
export async function startControlPlane({ bin, state, kubeconfig }: Parts): Promise<void> {
  const pki = await createClusterPki(join(state, "pki"));
  for (const user of users) {
    const credentials = { certFile: pki.path(`${user}.crt`), keyFile: pki.path(`${user}.key`) };
    await writeKubeconfig(kubeconfig(user), {
      url: "https://127.0.0.1:6443",
      caFile: pki.path("ca.crt"),
      user,
      credentials,
    });
  }
  const etcdUrl = "http://127.0.0.1:2379";
  const server = {
    pki,
    etcdUrl,
    port: 6443,
    bindAddress: "0.0.0.0",
    advertiseAddress: network.node,
    services: network.services,
  };
  const toKubelet = flags({
    "kubelet-client-certificate": pki.path("apiserver-kubelet.crt"),
    "kubelet-client-key": pki.path("apiserver-kubelet.key"),
    "kubelet-certificate-authority": pki.path("ca.crt"),
    "kubelet-preferred-address-types": "InternalIP",
  });
  const run = (name: string, args: string[], health: () => Promise<boolean>): Promise<void> =>
    startService({ state, name }, { path: join(bin, name), args }, health);

  await run("etcd", etcdArguments({ state, clientUrl: etcdUrl, peerUrl: "http://127.0.0.1:2380" }), () =>
    healthy(healthUrls.etcd),
  );
  const api = await Api.fromKubeconfig(kubeconfig("admin"));
  try {
    await run("kube-apiserver", [...apiServerArguments(server), ...toKubelet], () => api.ready());
  } finally {
    await api.close();
  }
  await Promise.all([
    run(
      "kube-controller-manager",
      controllerManagerArguments({ pki, kubeconfig: kubeconfig("controller-manager") }),
      () => healthy(healthUrls["kube-controller-manager"]),
    ),
    run("kube-scheduler", schedulerArguments({ kubeconfig: kubeconfig("scheduler") }), () =>
      healthy(healthUrls["kube-scheduler"]),
    ),
  ]);
}

async function createClusterPki(folder: string): Promise<Authority> {
  const pki = await createControlPlanePki(folder, ["127.0.0.1", network.node, network.kubernetesService]);
  const names = [`subjectAltName=DNS:${nodeName},IP:${network.node}`, "extendedKeyUsage=clientAuth,serverAuth"];
  await Promise.all([
    pki.issue(client("proxy", "/CN=system:kube-proxy")),
    pki.issue(client("apiserver-kubelet", "/O=system:masters/CN=apiserver-kubelet-client")),
    pki.issue({ name: "kubelet", subject: `/O=system:nodes/CN=system:node:${nodeName}`, extensions: names }),
  ]);
  return pki;
}
