import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Client } from "../../operator/kernel/client.ts";
import { type Change, Informer, type InformerOptions } from "../../operator/kernel/informer.ts";
import { type Connection, loadConnection } from "../../operator/kernel/kube-config.ts";
import type { Stored } from "../../operator/kernel/meta.ts";
import { Resources } from "../../operator/kernel/resource.ts";
import { type ApiServer, startApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FaultProxy } from "../faults/proxy.ts";
import {
  FaultRun,
  isStreamedList,
  isWatch,
  type Phase,
  phases,
  type Recovery,
  type TroubleName,
  troubles,
} from "./kernel/fault-run.ts";

type Options = Partial<InformerOptions<IConfigMap, Stored<IConfigMap>>>;

let server: ApiServer;
let direct: Client;
let connection: Connection;
let proxy: FaultProxy;
let client: Client;
let namespace: string;
let stop: AbortController;
let running: Promise<void>[];
let failures: number;
let lists: number;

beforeAll(async () => {
  server = await startApiServer();
  connection = await loadConnection({ kubeconfig: server.kubeconfig });
  direct = new Client(connection, { userAgent: "kernel-test", fieldManager: "kernel-test" });
}, 60_000);

afterAll(async () => {
  await direct?.close();
  await server?.stop();
});

beforeEach(async () => {
  proxy = new FaultProxy(connection);
  client = new Client(await proxy.start(), { userAgent: "kernel-test", fieldManager: "kernel-test" });
  namespace = await server.namespace();
  stop = new AbortController();
  running = [];
  failures = 0;
  lists = 0;
});

afterEach(async () => {
  stop.abort();
  await Promise.all(running);
  await client.close();
  await proxy.stop();
});

function watchConfigMaps(options: Options = {}) {
  const informer = new Informer({
    client,
    resource: Resources.ConfigMap,
    namespaces: [namespace],
    observer: { attach: () => undefined, failed: () => failures++, listed: () => lists++ },
    ...options,
  });
  const changes: string[] = [];
  informer.onChange((change) => changes.push(described(change)));
  running.push(informer.run(stop.signal));
  return { informer, changes };
}

function described({ key, before, after, initial }: Change<Stored<IConfigMap>>): string {
  const verb = after === undefined ? "deleted" : before === undefined ? (initial ? "found" : "added") : "changed";
  return `${verb} ${key.split("/")[1]}`;
}

function put(name: string, value = "1", labels: Record<string, string> = {}) {
  return direct.apply(Resources.ConfigMap, { metadata: { namespace, name, labels }, data: { value } });
}

const valueOnly = ({ metadata, data }: Stored<IConfigMap>) => ({ metadata, value: data?.["value"] });
const remove = (name: string) => direct.delete(Resources.ConfigMap, namespace, name);
const following = () => [...proxy.streams].find(({ request }) => isWatch(request));

/** The stream over which an informer follows the collection now. */
async function stream() {
  await until("the informer watches", async () => following() !== undefined, { every: 10 });
  const found = following();
  if (!found) throw new Error("no watch");
  return found;
}

/** Proves that news still arrive, and how fast. Returns seconds. */
async function recovers(informer: Informer<IConfigMap>, name = "news"): Promise<number> {
  const started = performance.now();
  const value = String(started);
  await put(name, value);
  await until(`the informer sees ${name}`, async () => informer.store.get(namespace, name)?.data?.["value"] === value, {
    within: 40_000,
    every: 10,
  });
  return (performance.now() - started) / 1000;
}

describe("an informer against a real API server", () => {
  it("finds what is there, then sees what is added, changed and deleted", async () => {
    await put("a");
    await put("b");
    const { informer, changes } = watchConfigMaps();
    await informer.whenSynced(stop.signal);
    expect(changes).toEqual(["found a", "found b"]);
    await put("c");
    const written = await put("a", "2");
    await remove("b");
    await until("three changes", async () => changes.length === 5, { every: 10 });
    expect(changes.slice(2)).toEqual(["added c", "changed a", "deleted b"]);
    expect(informer.store.get(namespace, "a")?.data).toEqual({ value: "2" });
    expect(informer.store.get(namespace, "a")?.metadata.managedFields).toBeUndefined();
    expect(informer.hasSeen(namespace, written.metadata.resourceVersion)).toBe(true);
    expect(proxy.requests.map(({ query }) => query.has("sendInitialEvents"))).toEqual([true, false]);
  });

  it("keeps only what the selector selects and the projection keeps", async () => {
    await put("mine", "1", { app: "x" });
    await put("other");
    const informer = new Informer({
      client,
      resource: Resources.ConfigMap,
      namespaces: [namespace],
      labelSelector: "app=x",
      project: valueOnly,
      indexes: { value: (record) => (record.value === undefined ? [] : [record.value]) },
    });
    running.push(informer.run(stop.signal));
    await informer.whenSynced(stop.signal);
    expect(informer.store.list().map(({ value }) => value)).toEqual(["1"]);
    expect(informer.store.byIndex("value", "1")).toHaveLength(1);
    await put("mine", "2", { app: "y" });
    await until("the unlabelled object goes", async () => informer.store.size === 0, { every: 10 });
  });

  it("follows several namespaces with one store", async () => {
    const first = namespace;
    await put("a");
    namespace = await server.namespace();
    await put("b");
    const { informer } = watchConfigMaps({ namespaces: [first, namespace] });
    await informer.whenSynced(stop.signal);
    expect(informer.store.keys().sort()).toEqual([`${first}/a`, `${namespace}/b`].sort());
  });

  it("reads pages where the server does not stream lists", async () => {
    await put("a");
    proxy.inject(
      { kind: "answer", status: 422, body: { reason: "Invalid", message: "sendInitialEvents" } },
      isStreamedList,
    );
    const { informer } = watchConfigMaps();
    await informer.whenSynced(stop.signal);
    expect(informer.store.get(namespace, "a")).toMatchObject({ metadata: { name: "a" } });
    expect(proxy.requests.some(({ query }) => query.has("limit"))).toBe(true);
    expect(failures).toBe(0);
    expect(await recovers(informer)).toBeLessThan(2);
  });

  it("stays fresh by bookmarks while nothing happens, without another list", async () => {
    const { informer } = watchConfigMaps({ watchSeconds: 4 });
    await informer.whenSynced(stop.signal);
    const elsewhere = await server.namespace();
    await stream();
    const foreign = await direct.create(Resources.ConfigMap, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { namespace: elsewhere, name: "foreign" },
    });
    // Nothing of this namespace changes: only a bookmark can tell that the store is up to date.
    await until("a bookmark", async () => informer.hasSeen(namespace, foreign.metadata.resourceVersion), {
      within: 10_000,
      every: 10,
    });
    await until("the watch is opened again", async () => proxy.requests.filter(isWatch).length >= 2, {
      within: 10_000,
      every: 10,
    });
    expect(lists).toBe(1);
    expect(failures).toBe(0);
  }, 20_000);
});

describe("an informer behind a faulty network", () => {
  it("goes on where it was after a clean end, a reset or a line cut in its middle", async () => {
    const { informer, changes } = watchConfigMaps();
    await informer.whenSynced(stop.signal);
    (await stream()).end();
    expect(await recovers(informer, "after-end")).toBeLessThan(5);
    (await stream()).reset();
    expect(await recovers(informer, "after-reset")).toBeLessThan(5);
    const cut = await stream();
    cut.say('{"type":"ADDED","object":{"metadata":{"name":"half');
    cut.end();
    expect(await recovers(informer, "after-cut")).toBeLessThan(5);
    expect(lists).toBe(1);
    expect(changes).toEqual(["added after-end", "added after-reset", "added after-cut"]);
  }, 30_000);

  it.each(["in the status", "in the stream"])(
    "lists again after a 410 %s, and tells the difference",
    async (where) => {
      await put("changed");
      await put("deleted");
      await put("kept");
      const { informer, changes } = watchConfigMaps();
      await informer.whenSynced(stop.signal);
      changes.length = 0;
      const current = await stream();
      current.freeze();
      await put("added");
      await put("changed", "2");
      await remove("deleted");
      const status = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };
      if (where === "in the stream") current.say(`${JSON.stringify({ type: "ERROR", object: status })}\n`);
      else {
        proxy.inject({ kind: "answer", status: 410, body: status }, isWatch);
        current.reset();
      }
      await until("the difference", async () => changes.length === 3, { every: 10 });
      expect([...changes].sort()).toEqual(["added added", "changed changed", "deleted deleted"]);
      expect(lists).toBe(2);
      expect(await recovers(informer)).toBeLessThan(5);
    },
    20_000,
  );

  it("does not hammer the server when every watch expires at once", async () => {
    const { informer } = watchConfigMaps();
    await informer.whenSynced(stop.signal);
    const current = await stream();
    const status = { kind: "Status", code: 410, reason: "Expired", message: "too old" };
    proxy.inject({ kind: "answer", status: 410, body: status }, isWatch, 1000);
    current.reset();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(lists).toBeLessThan(10);
  }, 20_000);

  it("ignores an event that comes twice", async () => {
    const { informer, changes } = watchConfigMaps();
    await informer.whenSynced(stop.signal);
    const object = await put("a");
    await until("the first", async () => changes.length === 1, { every: 10 });
    (await stream()).say(`${JSON.stringify({ type: "ADDED", object })}\n`);
    expect(await recovers(informer)).toBeLessThan(5);
    expect(changes).toEqual(["added a", "added news"]);
  });

  it("goes on when a handler throws", async () => {
    const { informer } = watchConfigMaps();
    informer.onChange(() => {
      throw new Error("a mistake of the caller");
    });
    await informer.whenSynced(stop.signal);
    expect(await recovers(informer, "one")).toBeLessThan(5);
    expect(await recovers(informer, "two")).toBeLessThan(5);
  });
});

async function recover(trouble: TroubleName | undefined, phase: Phase): Promise<Recovery> {
  const home = await server.namespace();
  for (const name of ["a", "b"]) {
    await direct.apply(Resources.ConfigMap, { metadata: { namespace: home, name }, data: {} });
  }
  return new FaultRun({ connection, direct, namespace: home, trouble, phase, watchSeconds: 4 }).run();
}

describe("an informer that meets", () => {
  const names = Object.keys(troubles) as TroubleName[];
  const cases = names.flatMap((trouble) => phases.map((phase) => [trouble, phase] as const));
  const recoveries = new Map<string, Promise<Recovery>>();
  const start = (trouble: TroubleName | undefined, phase: Phase) => {
    const recovery = recover(trouble, phase);
    recovery.catch(() => undefined);
    recoveries.set(`${trouble} ${phase}`, recovery);
  };

  // All at the same time, as nearly all of it is waiting; and beside them the same without a fault.
  beforeAll(() => {
    for (const phase of phases) start(undefined, phase);
    for (const [trouble, phase] of cases) start(trouble, phase);
  });
  afterAll(() => Promise.allSettled(recoveries.values()));

  it.each(cases)(
    "%s in %s goes on within five seconds and loses nothing",
    async (trouble, phase) => {
      const recovery = await recoveries.get(`${trouble} ${phase}`);
      const anyway = await Promise.all(phases.map(async (each) => recoveries.get(`undefined ${each}`)));
      expect(recovery).toMatchObject({ isComplete: true, unmet: 0 });
      // Silence shows after the watch's time and five seconds of grace; the watch lasts four here and 22 by default.
      const limit = trouble === "silence without an end" ? 4 + 5 + 3 : 5;
      // On a busy machine a list and a watch take a while without any fault too, and here come again.
      const slowness = 3 * Math.max(...anyway.map((control) => control?.seconds ?? 0));
      expect((recovery?.seconds ?? Infinity) - slowness).toBeLessThan(limit);
      expect(recovery?.relists).toBeLessThanOrEqual(1);
      expect(recovery?.reconnects).toBeLessThanOrEqual(3);
    },
    90_000,
  );
});

describe("an informer whose API server crashes", () => {
  it("sees news of the restarted server", async () => {
    const { informer } = watchConfigMaps();
    await informer.whenSynced(stop.signal);
    await server.crash();
    await server.restart();
    expect(await recovers(informer)).toBeLessThan(5);
  }, 60_000);
});
