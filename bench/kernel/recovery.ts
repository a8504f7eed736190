/** How long an informer is blind after one fault of its watch. */
import { CoreV1Api, KubeConfig, makeInformer } from "@kubernetes/client-node";
import { Client } from "../../operator/kernel/client.ts";
import { Informer } from "../../operator/kernel/informer.ts";
import type { Connection } from "../../operator/kernel/kube-config.ts";
import { Resources } from "../../operator/kernel/resource.ts";
import type { ApiServer } from "../../test/cluster/apiserver.ts";
import { until } from "../../test/cluster/wait.ts";
import { FaultProxy, type SeenRequest, type Stream } from "../../test/faults/proxy.ts";
import type { Contender } from "./work.ts";

export const faults = ["500", "429", "reset"] as const;
export type WatchFault = (typeof faults)[number];

/** Longest wait, seconds. */
export const patience = 20;
const isWatch = ({ query }: SeenRequest) => query.get("watch") === "true" && !query.has("sendInitialEvents");

interface Follower {
  knows(name: string): boolean;
  stop(): Promise<void>;
}

/** Seconds from the fault to the sight of an object made right after it; undefined when it was never seen. */
export async function recovery(
  server: ApiServer,
  connection: Connection,
  contender: Contender,
  fault: WatchFault,
): Promise<number | undefined> {
  const namespace = await server.namespace("bench");
  const proxy = new FaultProxy(connection);
  const through = await proxy.start();
  const follower =
    contender === "client-node" ? await followStock(through, namespace) : followKernel(through, namespace);
  try {
    const open = (): Stream | undefined => [...proxy.streams].find(({ request }) => isWatch(request));
    const stream = await until("a watch", async () => open(), { within: 10_000, every: 10 });
    if (fault !== "reset") {
      const status = Number(fault);
      proxy.inject({ kind: "answer", status, headers: status === 429 ? { "retry-after": "1" } : {} }, isWatch);
    }
    const started = performance.now();
    if (fault === "reset") stream.reset();
    else stream.end();
    await server.api.post(`/api/v1/namespaces/${namespace}/configmaps`, { metadata: { name: "news" } });
    const within = { within: patience * 1000, every: 5 };
    const seen = await until("news", async () => follower.knows("news"), within).catch(() => false);
    return seen ? (performance.now() - started) / 1000 : undefined;
  } finally {
    await follower.stop();
    await proxy.stop();
  }
}

function followKernel(connection: Connection, namespace: string): Follower {
  const client = new Client(connection, { userAgent: "bench", fieldManager: "bench" });
  const informer = new Informer({ client, resource: Resources.ConfigMap, namespaces: [namespace] });
  const stopping = new AbortController();
  const running = informer.run(stopping.signal);
  return {
    knows: (name) => informer.store.get(namespace, name) !== undefined,
    stop: async () => {
      stopping.abort();
      await running;
      await client.close();
    },
  };
}

async function followStock({ server }: Connection, namespace: string): Promise<Follower> {
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: "proxy", server, skipTLSVerify: true }, { name: "bench" });
  const api = config.makeApiClient(CoreV1Api);
  const path = `/api/v1/namespaces/${namespace}/configmaps`;
  const informer = makeInformer(config, path, () => api.listNamespacedConfigMap({ namespace }));
  informer.on("error", () => undefined);
  await informer.start();
  return { knows: (name) => informer.get(name, namespace) !== undefined, stop: () => informer.stop() };
}
