import { Client } from "../../operator/kernel/client.ts";
import { systemClock } from "../../operator/kernel/clock.ts";
import { EventRecorder } from "../../operator/kernel/events.ts";
import { HealthServer } from "../../operator/kernel/health.ts";
import { type Connection, loadConnection } from "../../operator/kernel/kube-config.ts";
import { LeaderElection } from "../../operator/kernel/lease.ts";
import { silentLogger } from "../../operator/kernel/logger.ts";
import { runManager } from "../../operator/kernel/manager.ts";
import { Metrics } from "../../operator/kernel/metrics.ts";
import { customResource, Resources } from "../../operator/kernel/resource.ts";
import { Greeting, greetingController } from "../../operator/kernel/testing/example-controller.ts";
import { type ApiServer, startApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FaultProxy, type SeenRequest } from "../faults/proxy.ts";

const clock = systemClock;
const logger = silentLogger;
const soon = { within: 10_000, every: 10 };

let server: ApiServer;
let connection: Connection;
let client: Client;
let namespace: string;
let managers: Manager[];

beforeAll(async () => {
  server = await startApiServer();
  connection = await loadConnection({ kubeconfig: server.kubeconfig });
  client = newClient(connection);
  await createGreetingKind();
}, 60_000);

afterAll(async () => {
  await client?.close();
  await server?.stop();
});

beforeEach(async () => {
  namespace = await server.namespace();
  managers = [];
});

afterEach(async () => {
  await Promise.all(managers.map((manager) => manager.stop()));
});

function newClient(to: Connection): Client {
  return new Client(to, { userAgent: "kernel-test", fieldManager: "kernel-test" });
}

async function createGreetingKind(): Promise<void> {
  const Definition = customResource<{ metadata?: { name: string }; spec?: unknown; status?: unknown }>({
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
    namespaced: false,
  });
  const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const openAPIV3Schema = { type: "object", properties: { spec: open, status: open } };
  await client.create(Definition, {
    metadata: { name: "greetings.kernel.test" },
    spec: {
      group: Greeting.group,
      names: { kind: Greeting.kind, plural: Greeting.plural },
      scope: "Namespaced",
      versions: [
        { name: "v1", served: true, storage: true, subresources: { status: {} }, schema: { openAPIV3Schema } },
      ],
    },
  });
  await until("the kind is served", () => client.list(Greeting), soon);
}

interface Manager {
  readonly lease: LeaderElection;
  readonly metrics: Metrics;
  readonly port: number;
  readonly ended: Promise<string>;
  stop(): Promise<string>;
}

/** A whole operator around the example controller, as a program would start it. */
async function startManager(
  identity: string,
  through: Connection = connection,
  leaseThrough = through,
): Promise<Manager> {
  const metrics = new Metrics();
  const calls = new Client(through, { userAgent: "kernel-test", fieldManager: "greeter", metrics: metrics.client });
  const leaseClient = newClient(leaseThrough);
  const stopping = new AbortController();
  const lease = new LeaderElection({
    client: leaseClient,
    namespace,
    name: "greeter",
    identity,
    leaseSeconds: 3,
    renewDeadlineSeconds: 2,
    retrySeconds: 0.2,
    clock,
    logger,
    observer: metrics.leader,
  });
  const events = new EventRecorder({
    client: calls,
    controller: "kernel.test/greeter",
    instance: identity,
    clock,
    logger,
  });
  const health = new HealthServer({ port: 0, host: "127.0.0.1", registry: metrics.registry });
  const parts = greetingController({ client: calls, events, metrics, logger, clock, namespace });
  const run = async () => {
    const end = await runManager({ ...parts, lease, events, health, clock, logger, signal: stopping.signal });
    await Promise.all([calls.close(), leaseClient.close()]);
    return end;
  };
  const ended = run();
  const port = await until("it listens", async () => health.port, soon);
  const manager = {
    lease,
    metrics,
    port,
    ended,
    stop: () => {
      stopping.abort();
      return ended;
    },
  };
  managers.push(manager);
  return manager;
}

const greet = (name: string, to: string) =>
  client.apply(Greeting, { metadata: { namespace, name }, spec: { name: to } }, { fieldManager: "user" });

const textOf = async (name: string) => (await client.find(Resources.ConfigMap, namespace, name))?.data?.["text"];
const says = (name: string, text: string) =>
  until(`${name} says ${text}`, async () => (await textOf(name)) === text, soon);

describe("an operator made of the kernel", () => {
  it("brings about what an object asks for, keeps it so, and reports it", async () => {
    await greet("early", "early bird");
    await startManager("one");
    await says("early", "Hello, early bird!");
    await greet("late", "Ada");
    await says("late", "Hello, Ada!");
    await greet("late", "Grace");
    await says("late", "Hello, Grace!");
    await client.delete(Resources.ConfigMap, namespace, "late");
    await says("late", "Hello, Grace!");
    await client.patch(Resources.ConfigMap, namespace, "late", { data: { text: "vandalised" } });
    await says("late", "Hello, Grace!");
    const ready = await until(
      "the status follows",
      async () => {
        const { metadata, status } = await client.get(Greeting, namespace, "late");
        return status?.observedGeneration === metadata.generation ? status?.conditions?.[0] : undefined;
      },
      soon,
    );
    expect(ready).toMatchObject({ type: "Ready", status: "True", reason: "Greeted", message: "Hello, Grace!" });
    const child = await client.get(Resources.ConfigMap, namespace, "late");
    expect(child.metadata.ownerReferences).toMatchObject([{ kind: "Greeting", name: "late", controller: true }]);
  });

  it("writes nothing in a second run over unchanged objects", async () => {
    await greet("a", "Ada");
    const first = await startManager("one");
    await says("a", "Hello, Ada!");
    await until("the status", async () => (await client.get(Greeting, namespace, "a")).status !== undefined, soon);
    await first.stop();
    const proxy = new FaultProxy(connection);
    const second = await startManager("two", await proxy.start(), connection);
    await until(
      "a reconcile",
      async () => (await metric(second, "controller_runtime_reconcile_total", "success")) > 0,
      soon,
    );
    expect(proxy.requests.filter(({ method }) => method !== "GET")).toEqual([]);
    await second.stop();
    await proxy.stop();
  });

  it("shows repeated events as one event with a count", async () => {
    const events = new EventRecorder({
      client,
      controller: "kernel.test/greeter",
      instance: "one",
      clock,
      logger,
    });
    const object = await greet("a", "Ada");
    const happening = {
      resource: Greeting,
      object,
      type: "Warning",
      reason: "Tired",
      action: "Greet",
      note: "again",
    } as const;
    events.record(happening);
    await events.flush();
    events.record(happening);
    await events.flush();
    for (let time = 0; time < 3; time++) events.record(happening);
    events.record({ ...happening, reason: "Other" });
    await events.stop();
    const { items } = await client.list(Resources.Event, { namespace });
    const seen = items.map(({ reason, type, regarding, series }) => ({
      reason,
      type,
      of: regarding?.name,
      count: series?.count,
    }));
    expect(seen.sort((a, b) => (a.reason ?? "").localeCompare(b.reason ?? ""))).toEqual([
      { reason: "Other", type: "Warning", of: "a", count: undefined },
      { reason: "Tired", type: "Warning", of: "a", count: 5 },
    ]);
    expect(items[0]?.eventTime).toMatch(/\.\d{6}Z$/);
  });

  it("answers probes and shows the usual metrics", async () => {
    const { port } = await startManager("one");
    await greet("a", "Ada");
    await says("a", "Hello, Ada!");
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return { status: response.status, text: await response.text() };
    };
    expect(await get("/livez")).toMatchObject({ status: 200, text: expect.stringContaining("[+] lease ok") });
    expect(await get("/readyz")).toMatchObject({
      status: 200,
      text: expect.stringContaining("[+] informer greetings ok"),
    });
    const { text } = await get("/metrics");
    for (const wanted of [
      'workqueue_depth{name="greeting",controller="greeting",priority="0"} 0',
      'controller_runtime_reconcile_total{controller="greeting",result="success"}',
      'controller_runtime_reconcile_errors_total{controller="greeting"} 0',
      'rest_client_requests_total{code="200",method="PATCH"',
      'leader_election_master_status{name="greeter"} 1',
      'leader_election_slowpath_total{name="greeter"} 0',
      'informer_synced{resource="greetings"} 1',
    ]) {
      expect(text).toContain(wanted);
    }
    expect(text).toMatch(/store_resource_version\{resource="greetings"\} [1-9]\d*/);
    expect((await get("/")).status).toBe(404);
  });
});

describe("two operators with one lease", () => {
  it("hand over at once when the leader stops in good order", async () => {
    const one = await startManager("one");
    await until("the first leads", async () => one.lease.isLeader, soon);
    const two = await startManager("two");
    await greet("a", "Ada");
    await says("a", "Hello, Ada!");
    expect(two.lease.isLeader).toBe(false);
    expect(await one.stop()).toBe("stopped");
    const started = performance.now();
    await until("the second leads", async () => two.lease.isLeader, soon);
    expect(performance.now() - started).toBeLessThan(1000);
    await greet("b", "Grace");
    await says("b", "Hello, Grace!");
    const { spec } = await client.get(Resources.Lease, namespace, "greeter");
    expect(spec).toMatchObject({ holderIdentity: "two", leaseTransitions: 1 });
    expect(spec?.renewTime).toMatch(/\.\d{6}Z$/);
  });

  it("never lead both: a leader that is cut off stops before the other may start", async () => {
    const proxy = new FaultProxy(connection);
    const one = await startManager("one", await proxy.start());
    await until("the first leads", async () => one.lease.isLeader, soon);
    const two = await startManager("two");
    proxy.inject({ kind: "silence" }, () => true, 1_000_000);
    await until(
      "the second leads",
      async () => {
        expect(one.lease.isLeader && two.lease.isLeader).toBe(false);
        return two.lease.isLeader;
      },
      soon,
    );
    // When it can read the lease again it learns that it has lost it, and ends.
    proxy.heal();
    expect(await one.ended).toBe("lost");
    expect(two.lease.isLeader).toBe(true);
    await proxy.stop();
  }, 20_000);
});

const isList = ({ query }: SeenRequest) => query.has("sendInitialEvents") || query.has("limit");

describe("one operator alone", () => {
  it("goes on by itself after an outage longer than its lease, without reading its lists anew", async () => {
    const proxy = new FaultProxy(connection);
    const one = await startManager("one", await proxy.start());
    await greet("a", "Ada");
    await says("a", "Hello, Ada!");
    const lists = proxy.requests.filter(isList).length;
    proxy.inject({ kind: "reset" }, () => true, 1_000_000);
    for (const stream of proxy.streams) stream.reset();
    await until("it leads no more", async () => !one.lease.isLeader, soon);
    await greet("b", "Grace");
    // Longer than its lease lasts.
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(await textOf("b")).toBeUndefined();
    proxy.heal();
    await says("b", "Hello, Grace!");
    expect(one.lease.isLeader).toBe(true);
    const { spec } = await client.get(Resources.Lease, namespace, "greeter");
    expect(spec).toMatchObject({ holderIdentity: "one", leaseTransitions: 0 });
    expect(proxy.requests.filter(isList)).toHaveLength(lists);
    expect(await one.stop()).toBe("stopped");
    await proxy.stop();
  }, 30_000);
});

async function metric(manager: Manager, name: string, result: string): Promise<number> {
  const found = manager.metrics.registry.getSingleMetric(name);
  const { values } = (await found?.get()) ?? { values: [] };
  return values.find(({ labels }) => labels["result"] === result)?.value ?? 0;
}
