/** The same work with our kernel and with client-node's stock parts: what bench/kernel.ts measures in a process of its own. */
import { once } from "node:events";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { CoreV1Api, KubeConfig, makeInformer, PatchStrategy, setHeaderOptions } from "@kubernetes/client-node";
import { Client } from "../../operator/kernel/client.ts";
import { Informer } from "../../operator/kernel/informer.ts";
import { loadConnection } from "../../operator/kernel/kube-config.ts";
import { Resources } from "../../operator/kernel/resource.ts";

export type Contender = "kernel" | "kernel, projected" | "client-node";
export type Task = "list" | "write";

export interface Order {
  readonly task: Task;
  readonly contender: Contender;
  readonly kubeconfig: string;
  readonly namespace: string;
  /** Objects to list, or to write. */
  readonly count: number;
}

export interface ListResult {
  readonly milliseconds: number;
  /** Of the event loop, milliseconds. */
  readonly delayP99: number;
  readonly delayMax: number;
  /** Longest hold of the event loop in milliseconds of processor time, which a busy machine does not lengthen. */
  readonly hold: number;
  /** MiB more than before, after a garbage collection. */
  readonly rss: number;
  readonly heap: number;
}

export interface WriteResult {
  readonly requestsPerSecond: number;
  /** Milliseconds of processor time a request. */
  readonly cpu: number;
}

const MIB = 1024 * 1024;
const CONCURRENCY = 10;

export const work = (order: Order): Promise<ListResult | WriteResult> =>
  order.task === "list" ? measureList(order) : measureWrites(order);

async function measureList(order: Order): Promise<ListResult> {
  const list = await lister(order);
  collectGarbage();
  const before = process.memoryUsage();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const holds = watchHolds();
  const started = performance.now();
  const follower = await list();
  const milliseconds = performance.now() - started;
  // The last block counts only once a timer has been late.
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  const hold = holds.stop();
  collectGarbage();
  const after = process.memoryUsage();
  const held = follower.held();
  if (held !== order.count) throw new Error(`${order.contender} holds ${held} of ${order.count} objects`);
  await follower.stop();
  return {
    milliseconds,
    delayP99: delay.percentile(99) / 1e6,
    delayMax: delay.max / 1e6,
    hold,
    rss: (after.rss - before.rss) / MIB,
    heap: (after.heapUsed - before.heapUsed) / MIB,
  };
}

function threadMilliseconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function watchHolds() {
  let last = threadMilliseconds();
  let longest = 0;
  const timer = setInterval(() => {
    const now = threadMilliseconds();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  const stop = () => {
    clearInterval(timer);
    return longest;
  };
  return { stop };
}

interface Held {
  held(): number;
  stop(): Promise<void>;
}

/** Connects beforehand, so that only the list is measured. */
async function lister({ contender, kubeconfig, namespace }: Order): Promise<() => Promise<Held>> {
  if (contender === "client-node") {
    const config = stockConfig(kubeconfig);
    const api = config.makeApiClient(CoreV1Api);
    await api.readNamespace({ name: namespace });
    return async () => {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const informer = makeInformer(config, path, () => api.listNamespacedConfigMap({ namespace }));
      informer.on("error", () => undefined);
      await informer.start();
      return { held: () => informer.list().length, stop: () => informer.stop() };
    };
  }
  const client = await kernelClient(kubeconfig);
  await client.get(Resources.Namespace, "", namespace);
  const shared = { client, resource: Resources.ConfigMap, namespaces: [namespace] };
  const informer =
    contender === "kernel"
      ? new Informer(shared)
      : new Informer({
          ...shared,
          project: ({ metadata: { namespace: home, name, uid, resourceVersion } }) => ({
            metadata: { namespace: home ?? "", name, uid, resourceVersion },
          }),
        });
  return async () => {
    const stopping = new AbortController();
    const running = informer.run(stopping.signal);
    await informer.whenSynced(stopping.signal);
    const stop = async () => {
      stopping.abort();
      await running;
      await client.close();
    };
    return { held: () => informer.store.size, stop };
  };
}

interface Writer {
  create(name: string): Promise<unknown>;
  patch(name: string): Promise<unknown>;
  close(): Promise<void>;
}

/** Creates objects and patches each once: two requests an object. */
async function measureWrites(order: Order): Promise<WriteResult> {
  const writer = await writerOf(order);
  const names = Array.from({ length: order.count }, (_, index) => `${order.contender.replaceAll(/\W/g, "-")}-${index}`);
  const cpu = process.cpuUsage();
  const started = performance.now();
  let next = 0;
  const lane = async () => {
    for (let name = names[next++]; name !== undefined; name = names[next++]) {
      await writer.create(name);
      await writer.patch(name);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await writer.close();
  const requests = order.count * 2;
  return { requestsPerSecond: requests / seconds, cpu: (user + system) / 1000 / requests };
}

async function writerOf({ contender, kubeconfig, namespace }: Order): Promise<Writer> {
  const body = (name: string) =>
    ({ apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name }, data: { state: "new" } }) as const;
  const patch = { data: { state: "done" } };
  if (contender === "client-node") {
    const api = stockConfig(kubeconfig).makeApiClient(CoreV1Api);
    const asMerge = setHeaderOptions("Content-Type", PatchStrategy.MergePatch);
    return {
      create: (name) => api.createNamespacedConfigMap({ namespace, body: body(name) }),
      patch: (name) => api.patchNamespacedConfigMap({ namespace, name, body: patch }, asMerge),
      close: () => Promise.resolve(),
    };
  }
  const client = await kernelClient(kubeconfig);
  return {
    create: (name) => client.create(Resources.ConfigMap, body(name)),
    patch: (name) => client.patch(Resources.ConfigMap, namespace, name, patch),
    close: () => client.close(),
  };
}

function stockConfig(kubeconfig: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  return config;
}

async function kernelClient(kubeconfig: string): Promise<Client> {
  return new Client(await loadConnection({ kubeconfig }), { userAgent: "bench", fieldManager: "bench" });
}

function collectGarbage(): void {
  if (!globalThis.gc) throw new Error("start with --expose-gc");
  globalThis.gc();
}

/** The forked side: takes one order, sends one result. */
export async function serveOrder(): Promise<void> {
  const [order] = (await once(process, "message")) as [Order];
  process.send?.(await work(order));
  process.disconnect();
}
