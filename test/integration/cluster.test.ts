import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { Api } from "../cluster/api.ts";
import { startApiServer } from "../cluster/apiserver.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";

let server: ApiServer;

beforeAll(async () => {
  server = await startApiServer({ controllers: ["garbage-collector-controller", "namespace-controller"] });
}, 60_000);

afterAll(async () => server.stop());

const pod = (name: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: { containers: [{ name: "main", image: "localhost/none:1" }] },
});

describe("an API server alone", () => {
  it("stores a pod and never starts it", async () => {
    const namespace = await server.namespace();
    await server.api.post(`/api/v1/namespaces/${namespace}/pods`, pod("stored"));
    const stored = await server.api.get<{ status: { phase: string } }>(`/api/v1/namespaces/${namespace}/pods/stored`);
    expect(stored.status.phase).toBe("Pending");
  });

  it("gives each test a namespace of its own", async () => {
    const [one, two] = [await server.namespace(), await server.namespace()];
    await server.api.post(`/api/v1/namespaces/${one}/pods`, pod("mine"));
    const { items } = await server.api.get<{ items: unknown[] }>(`/api/v1/namespaces/${two}/pods`);
    expect(items).toEqual([]);
  });

  it("runs the controllers that were asked for: what an owner leaves behind is collected", async () => {
    const namespace = await server.namespace();
    const maps = `/api/v1/namespaces/${namespace}/configmaps`;
    const owner = await server.api.post<{ metadata: { uid: string } }>(maps, { metadata: { name: "owner" } });
    const reference = { apiVersion: "v1", kind: "ConfigMap", name: "owner", uid: owner.metadata.uid };
    await server.api.post(maps, { metadata: { name: "child", ownerReferences: [reference] } });
    await server.api.delete(`${maps}/owner`);
    await until("the child is gone", async () => (await server.api.find(`${maps}/child`)) === undefined, {
      within: 20_000,
    });
  }, 30_000);

  it("lets a ServiceAccount do only what a role allows", async () => {
    const namespace = await server.namespace();
    const kubeconfig = await server.serviceAccountKubeconfig(namespace, "robot");
    const robot = await Api.fromKubeconfig(kubeconfig);
    try {
      const pods = `/api/v1/namespaces/${namespace}/pods`;
      await expect(robot.get(pods)).rejects.toMatchObject({ status: 403 });
      await server.api.post(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`, {
        metadata: { name: "reader" },
        rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }],
      });
      await server.api.post(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
        metadata: { name: "robot" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
        subjects: [{ kind: "ServiceAccount", name: "robot", namespace }],
      });
      const { items } = await until("the role works", () => robot.get<{ items: unknown[] }>(pods), { within: 5_000 });
      expect(items).toEqual([]);
    } finally {
      await robot.close();
    }
  }, 30_000);

  it("says which controller is unknown instead of running without it", async () => {
    await expect(startApiServer({ controllers: ["no-such-controller"] })).rejects.toThrow(
      /"no-such-controller.*not in the list/,
    );
  }, 60_000);

  it("keeps what it stored over a crash", async () => {
    const namespace = await server.namespace("crash");
    await server.crash();
    await expect(server.api.get("/version")).rejects.toThrow();
    await server.restart();
    expect(await server.api.find(`/api/v1/namespaces/${namespace}`)).toMatchObject({ metadata: { name: namespace } });
  }, 30_000);

  it("leaves no process and no file behind when it is stopped", async () => {
    const other = await startApiServer();
    expect(await commandLines(other.state)).toHaveLength(2); // etcd and kube-apiserver
    await other.stop();
    expect(await commandLines(other.state)).toEqual([]);
    expect(existsSync(other.state)).toBe(false);
  }, 60_000);
});

/** The command lines of all living processes that name a folder. */
async function commandLines(folder: string): Promise<string[]> {
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(processes.map((id) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")));
  return lines.filter((line) => line.includes(folder));
}
