import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Client } from "../../operator/kernel/client.ts";
import { ApiError } from "../../operator/kernel/errors.ts";
import { addFinalizer, hasFinalizer, removeFinalizer } from "../../operator/kernel/finalizers.ts";
import { type Connection, loadConnection } from "../../operator/kernel/kube-config.ts";
import { customResource, Resources } from "../../operator/kernel/resource.ts";
import { type ApiServer, startApiServer } from "../cluster/apiserver.ts";
import { Authority } from "../cluster/certificates.ts";
import { FaultProxy, type SeenRequest } from "../faults/proxy.ts";

let server: ApiServer;
let connection: Connection;
let client: Client;
let namespace: string;

beforeAll(async () => {
  server = await startApiServer();
  connection = await loadConnection({ kubeconfig: server.kubeconfig });
  client = new Client(connection, { userAgent: "kernel-test", fieldManager: "kernel-test" });
}, 60_000);

afterAll(async () => {
  await client?.close();
  await server?.stop();
});

beforeEach(async () => {
  namespace = await server.namespace();
});

const configMap = (name: string, data: Record<string, string>): IConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace, name },
  data,
});

async function errorOf(call: Promise<unknown>): Promise<ApiError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("the call succeeded");
}

const isWrite = ({ method }: SeenRequest) => method !== "GET";
const always = () => true;

describe("the client against a real API server", () => {
  it("creates, reads, patches, replaces, lists and deletes", async () => {
    const created = await client.create(Resources.ConfigMap, configMap("a", { colour: "red" }));
    expect(created).toMatchObject({ apiVersion: "v1", kind: "ConfigMap", data: { colour: "red" } });
    await client.patch(Resources.ConfigMap, namespace, "a", { data: { size: "1" } });
    await client.patch(Resources.ConfigMap, namespace, "a", [{ op: "replace", path: "/data/size", value: "2" }]);
    const read = await client.get(Resources.ConfigMap, namespace, "a");
    expect(read.data).toEqual({ colour: "red", size: "2" });
    await client.replace(Resources.ConfigMap, { ...read, data: { colour: "blue" } });
    const list = await client.list(Resources.ConfigMap, { namespace });
    expect(list.items.map(({ kind, data }) => ({ kind, data }))).toEqual([
      { kind: "ConfigMap", data: { colour: "blue" } },
    ]);
    expect(await client.delete(Resources.ConfigMap, namespace, "a")).toBe(true);
    expect(await client.delete(Resources.ConfigMap, namespace, "a")).toBe(false);
    expect(await client.find(Resources.ConfigMap, namespace, "a")).toBeUndefined();
  });

  it("reads a list in pages, all of one resourceVersion", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) await client.create(Resources.ConfigMap, configMap(name, {}));
    const sizes: number[] = [];
    const versions = new Set<string>();
    for await (const page of client.pages(Resources.ConfigMap, { namespace, limit: 2 })) {
      sizes.push(page.items.length);
      versions.add(page.resourceVersion);
    }
    expect(sizes).toEqual([2, 2, 1]);
    expect(versions.size).toBe(1);
    expect((await client.list(Resources.ConfigMap, { namespace, limit: 2 })).items).toHaveLength(5);
  });

  it("selects by label and field", async () => {
    const labelled = configMap("a", {});
    await client.create(Resources.ConfigMap, { ...labelled, metadata: { ...labelled.metadata, labels: { app: "x" } } });
    await client.create(Resources.ConfigMap, configMap("b", {}));
    const names = async (select: { labelSelector?: string; fieldSelector?: string }) =>
      (await client.list(Resources.ConfigMap, { namespace, ...select })).items.map(({ metadata }) => metadata.name);
    expect(await names({ labelSelector: "app=x" })).toEqual(["a"]);
    expect(await names({ fieldSelector: "metadata.name=b" })).toEqual(["b"]);
  });

  it("applies its own fields, gives up those it no longer names, and leaves those of others", async () => {
    const metadata = { namespace, name: "a" };
    await client.apply(Resources.ConfigMap, { metadata, data: { mine: "1", old: "1" } });
    await client.apply(Resources.ConfigMap, { metadata, data: { theirs: "1" } }, { fieldManager: "other" });
    const second = await client.apply(Resources.ConfigMap, { metadata, data: { mine: "2" } });
    expect(second.data).toEqual({ mine: "2", theirs: "1" });
    const again = await client.apply(Resources.ConfigMap, { metadata, data: { mine: "2" } });
    expect(again.metadata.resourceVersion).toBe(second.metadata.resourceVersion);
    const polite = await errorOf(
      client.apply(Resources.ConfigMap, { metadata, data: { mine: "3" } }, { fieldManager: "other", force: false }),
    );
    expect(polite.isConflict).toBe(true);
  });

  it("applies a status without touching the specification", async () => {
    const metadata = { namespace, name: "a" };
    await client.create(Resources.Service, {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: { ports: [{ port: 80 }] },
    });
    const conditions = [
      {
        type: "Ready",
        status: "True" as const,
        reason: "Tried",
        message: "",
        lastTransitionTime: "2026-01-01T00:00:00Z",
      },
    ];
    const applied = await client.applyStatus(Resources.Service, { metadata, status: { conditions } });
    expect(applied.status?.conditions).toEqual(conditions);
    expect(applied.spec?.ports?.[0]?.port).toBe(80);
  });

  it("never creates an object when an apply names a uid", async () => {
    const metadata = { namespace, name: "gone", uid: "00000000-0000-0000-0000-000000000000" };
    const error = await errorOf(client.apply(Resources.ConfigMap, { metadata, data: {} }));
    expect(error.isConflict || error.isNotFound).toBe(true);
    expect(await client.find(Resources.ConfigMap, namespace, "gone")).toBeUndefined();
  });

  it("deletes only the very object that is meant", async () => {
    const { metadata } = await client.create(Resources.ConfigMap, configMap("a", {}));
    const other = "00000000-0000-0000-0000-000000000000";
    expect((await errorOf(client.delete(Resources.ConfigMap, namespace, "a", { uid: other }))).isConflict).toBe(true);
    expect(await client.delete(Resources.ConfigMap, namespace, "a", metadata)).toBe(true);
  });

  it("tells errors apart, with a stable code and the server's words", async () => {
    await client.create(Resources.ConfigMap, configMap("a", {}));
    const exists = await errorOf(client.create(Resources.ConfigMap, configMap("a", {})));
    expect(exists).toMatchObject({ isAlreadyExists: true, isConflict: false, status: 409, code: "ApiAlreadyExists" });
    const missing = await errorOf(client.get(Resources.ConfigMap, namespace, "none"));
    expect(missing).toMatchObject({ isNotFound: true, code: "ApiNotFound", details: { name: "none" } });
    const old = await client.get(Resources.ConfigMap, namespace, "a");
    await client.replace(Resources.ConfigMap, { ...old, data: { x: "1" } });
    expect((await errorOf(client.replace(Resources.ConfigMap, { ...old, data: { x: "2" } }))).isConflict).toBe(true);
    const invalid = await errorOf(client.create(Resources.ConfigMap, configMap("Not A Name", {})));
    expect(invalid.isInvalid).toBe(true);
    expect(invalid.message).toContain("metadata.name");
  });

  it("knows the refusal of a namespace that goes from one for want of rights", async () => {
    const going = await server.namespace();
    await client.delete(Resources.Namespace, "", going);
    const error = await errorOf(
      client.apply(Resources.ConfigMap, { metadata: { namespace: going, name: "late" }, data: {} }),
    );
    expect(error).toMatchObject({ isForbidden: true, isNamespaceTerminating: true });
  });

  it("is refused where its account has no right, and says so", async () => {
    const kubeconfig = await server.serviceAccountKubeconfig(namespace, "nobody");
    const nobody = new Client(await loadConnection({ kubeconfig }), { userAgent: "t", fieldManager: "t" });
    const error = await errorOf(nobody.get(Resources.Secret, namespace, "a"));
    await nobody.close();
    expect(error).toMatchObject({ isForbidden: true, isNamespaceTerminating: false, status: 403 });
    expect(error.message).toContain("system:serviceaccount:");
  });

  it("reads a rotated token again when the old one is refused, for calls and watches", async () => {
    const { parse } = await import("yaml");
    const original = await readFile(await server.serviceAccountKubeconfig(namespace, "rotated"), "utf8");
    const config = parse(original) as { users: { user: { token?: string; tokenFile?: string } }[] };
    const [entry] = config.users;
    const { token = "" } = entry?.user ?? {};
    if (entry) entry.user = { tokenFile: "token" };
    const folder = await mkdtemp(join(tmpdir(), "rotated-"));
    const kubeconfig = join(folder, "config");
    await writeFile(kubeconfig, JSON.stringify(config));
    const signal = AbortSignal.timeout(5000);
    const watchOptions = { namespace, timeoutSeconds: 4, silenceSeconds: 5, signal };
    for (const call of ["get", "watch"] as const) {
      await writeFile(join(folder, "token"), "refused");
      const rotated = new Client(await loadConnection({ kubeconfig }), { userAgent: "t", fieldManager: "t" });
      await writeFile(join(folder, "token"), token);
      // Forbidden, no longer unauthorized: the server knows who asks.
      const error = await errorOf(
        call === "get"
          ? rotated.get(Resources.ConfigMap, namespace, "a")
          : rotated.watch(Resources.ConfigMap, watchOptions).next(),
      );
      expect(error).toMatchObject({ isForbidden: true });
      expect(error.message).toContain(":rotated");
      await rotated.close();
    }
    await rm(folder, { recursive: true });
  });

  it("holds a deleted object back until its own finalizer goes, and leaves those of others", async () => {
    const mine = "kernel.test/mine";
    const created = await client.create(Resources.ConfigMap, configMap("a", {}));
    const theirs = await addFinalizer(client, Resources.ConfigMap, created, "kernel.test/theirs");
    const held = theirs && (await addFinalizer(client, Resources.ConfigMap, theirs, mine));
    if (!theirs || !held) throw new Error("nothing was written");
    expect(await addFinalizer(client, Resources.ConfigMap, held, mine)).toBeUndefined();
    // Decided on an older version, which lacks what was added since.
    expect((await errorOf(addFinalizer(client, Resources.ConfigMap, theirs, "kernel.test/late"))).isConflict).toBe(
      true,
    );
    await client.delete(Resources.ConfigMap, namespace, "a");
    const deleted = await client.get(Resources.ConfigMap, namespace, "a");
    expect(deleted.metadata.deletionTimestamp).toMatch(/^\d{4}-/);
    const left = await removeFinalizer(client, Resources.ConfigMap, deleted, mine);
    expect(left?.metadata.finalizers).toEqual(["kernel.test/theirs"]);
    if (!left) throw new Error("nothing was written");
    expect(hasFinalizer(left, mine)).toBe(false);
    await removeFinalizer(client, Resources.ConfigMap, left, "kernel.test/theirs");
    expect(await client.find(Resources.ConfigMap, namespace, "a")).toBeUndefined();
    expect(await removeFinalizer(client, Resources.ConfigMap, left, "kernel.test/theirs")).toBeUndefined();
  });

  it("keeps fields it has never heard of", async () => {
    const Any = customResource<{ metadata?: IConfigMap["metadata"]; spec?: unknown }>({
      group: "apiextensions.k8s.io",
      version: "v1",
      plural: "customresourcedefinitions",
      kind: "CustomResourceDefinition",
      namespaced: false,
    });
    const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    const spec = {
      group: "kernel.test",
      names: { kind: "Thing", plural: "things" },
      scope: "Namespaced",
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    };
    await client.create(Any, { metadata: { name: "things.kernel.test" }, spec });
    const read = await client.get(Any, "", "things.kernel.test");
    expect(read.spec).toMatchObject({ versions: [{ schema: { openAPIV3Schema: schema } }] });
  });
});

describe("the client behind a faulty network", () => {
  let proxy: FaultProxy;
  let faulty: Client;

  beforeEach(async () => {
    proxy = new FaultProxy(connection);
    faulty = new Client(await proxy.start(), { userAgent: "kernel-test", fieldManager: "kernel-test" });
  });

  afterEach(async () => {
    await faulty.close();
    await proxy.stop();
  });

  it("keeps its connections for a hundred calls in a row", async () => {
    for (let call = 0; call < 100; call++) await faulty.list(Resources.ConfigMap, { namespace });
    expect(proxy.connections).toBeLessThanOrEqual(2);
  });

  it("waits as long as a 429 asks, for writes too", async () => {
    proxy.inject({ kind: "answer", status: 429, headers: { "retry-after": "1" } }, isWrite);
    const started = performance.now();
    await faulty.create(Resources.ConfigMap, configMap("a", {}));
    expect(performance.now() - started).toBeGreaterThanOrEqual(1000);
  });

  it("repeats reads and applies after a 500 or a reset, but never a create whose fate is unknown", async () => {
    proxy.inject({ kind: "answer", status: 500 }, always);
    proxy.inject({ kind: "reset" }, always);
    await faulty.list(Resources.ConfigMap, { namespace });
    expect(proxy.pending).toBe(0);
    proxy.inject({ kind: "reset-after" }, isWrite);
    await faulty.apply(Resources.ConfigMap, { metadata: { namespace, name: "a" }, data: { x: "1" } });
    proxy.inject({ kind: "reset-after" }, isWrite);
    const error = await errorOf(faulty.create(Resources.ConfigMap, configMap("b", {})));
    expect(error).toMatchObject({ isUnanswered: true, code: "ApiConnectionFailed" });
    expect(await client.find(Resources.ConfigMap, namespace, "b")).toMatchObject({ metadata: { name: "b" } });
    expect(proxy.requests.filter(({ method }) => method === "POST")).toHaveLength(1);
  });

  it("gives up after its time, or at once when aborted", async () => {
    proxy.inject({ kind: "silence" }, always, 2);
    const late = await errorOf(faulty.list(Resources.ConfigMap, { namespace, timeoutSeconds: 0.3 }));
    expect(late.code).toBe("ApiTimeout");
    const aborting = new AbortController();
    const call = faulty.list(Resources.ConfigMap, { namespace, signal: aborting.signal });
    aborting.abort(new Error("no longer wanted"));
    await expect(call).rejects.toThrow("no longer wanted");
  });

  it("goes on at once when the server's certificate has a new authority, for calls and watches", async () => {
    const folder = await mkdtemp(join(tmpdir(), "authorities-"));
    const [before, after] = [await serverCertificate(folder, "old"), await serverCertificate(folder, "new")];
    await writeFile(join(folder, "ca.crt"), before.authority);
    const secure = new FaultProxy(connection, { certificate: before });
    const { server: url } = await secure.start();
    const kubeconfig = join(folder, "config");
    const config = {
      clusters: [{ name: "c", cluster: { server: url, "certificate-authority": "ca.crt" } }],
      contexts: [{ name: "c", context: { cluster: "c" } }],
      "current-context": "c",
    };
    await writeFile(kubeconfig, JSON.stringify(config));
    const secured = new Client(await loadConnection({ kubeconfig }), { userAgent: "t", fieldManager: "t" });
    const calls = {
      call: () => secured.create(Resources.ConfigMap, configMap("created", {})),
      watch: () =>
        secured
          .watch(Resources.ConfigMap, {
            namespace,
            timeoutSeconds: 4,
            silenceSeconds: 5,
            signal: AbortSignal.timeout(5000),
          })
          .next(),
    };
    await secured.list(Resources.ConfigMap, { namespace });
    secure.renew(after);
    expect((await errorOf(calls.call())).message).toContain("verify the first certificate");
    await writeFile(join(folder, "ca.crt"), after.authority);
    expect((await calls.call()).metadata.name).toBe("created");
    secure.renew(before);
    await writeFile(join(folder, "ca.crt"), before.authority);
    expect((await calls.watch()).value).toMatchObject({ type: "ADDED" });
    await secured.close();
    await secure.stop();
    await rm(folder, { recursive: true });
  });

  it("names the server's status when the answer is no JSON", async () => {
    proxy.inject({ kind: "answer", status: 502, body: "bad gateway" }, isWrite);
    const error = await errorOf(faulty.create(Resources.ConfigMap, configMap("a", {})));
    expect(error.status).toBe(502);
    expect(error.message).toContain("bad gateway");
  });
});

/** A certificate for 127.0.0.1 and the authority that signed it, all PEM. */
async function serverCertificate(folder: string, name: string) {
  const authority = new Authority(join(folder, name), "ca");
  await authority.create();
  const extensions = ["subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth"];
  await authority.issue({ name: "server", subject: "/CN=server", extensions });
  const [cert, key, ca] = await Promise.all(
    ["server.crt", "server.key", "ca.crt"].map((file) => readFile(authority.path(file), "utf8")),
  );
  return { cert: cert ?? "", key: key ?? "", authority: ca ?? "" };
}
