import { network } from "./network.ts";

/** Where each program says whether it is well, with status 200. */
export const healthUrls = {
  etcd: "http://127.0.0.1:2379/health",
  "kube-controller-manager": "https://127.0.0.1:10257/healthz",
  "kube-scheduler": "https://127.0.0.1:10259/healthz",
  kubelet: "http://127.0.0.1:10248/healthz",
  "kube-proxy": `http://${network.node}:10256/livez`,
} as const;
