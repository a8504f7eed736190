import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "undici";
import { Api } from "../cluster/api.ts";
import { status, up } from "../cluster/cluster.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { packImage } from "../cluster/image.ts";
import { allocatableGpus } from "../cluster/node.ts";
import { ensurePackages } from "../cluster/packages.ts";
import { until } from "../cluster/wait.ts";

const image = "localhost/modelwright/busybox:test";
const namespace = `cluster-test-${crypto.randomUUID().slice(0, 8)}`;

let cluster: Cluster;
let api: Api;

beforeAll(async () => {
  cluster = await up();
  api = await Api.fromKubeconfig(cluster.kubeconfig);
  await importBusybox();
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  await api.post("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } });
  await until("the namespace takes pods", () => api.find(`/api/v1/namespaces/${namespace}/serviceaccounts/default`));
}, 120_000);

afterAll(async () => {
  const path = `/api/v1/namespaces/${namespace}`;
  await api.delete(path);
  await until("the namespace and its GPUs are given back", async () => (await api.find(path)) === undefined);
  await api.close();
}, 70_000);

describe("a cluster of one real node", () => {
  it("is up again at once when it is up", async () => {
    const start = performance.now();
    expect(await up()).toMatchObject({ kubeconfig: cluster.kubeconfig, bin: cluster.bin });
    expect(performance.now() - start).toBeLessThan(1500);
  });

  it("lets restricted pods and the host reach a Service, by name and by address", async () => {
    await create(
      "pods",
      pod("web", "mkdir /tmp/www && echo hello > /tmp/www/index.html && httpd -f -p 8080 -h /tmp/www", { app: "web" }),
    );
    const ports = [{ port: 80, targetPort: 8080 }];
    const service = await create<{ spec: { clusterIP: string } }>("services", {
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports },
    });
    await create("pods", pod("client", fetchByName(`web.${namespace}.svc.cluster.local`)));
    await phase("client", "Succeeded");
    expect(await logs("client")).toBe("hello\n");
    const answer = await request(`http://${service.spec.clusterIP}/`);
    expect(await answer.body.text()).toBe("hello\n");
  }, 40_000);

  it("gives a claim a volume that a pod of any user can write, and removes it with the claim", async () => {
    await create("persistentvolumeclaims", {
      metadata: { name: "data" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    });
    const writer = pod("writer", "umask 077; echo kept > /data/file; ls -ldn /data");
    mountClaim(writer, "data");
    Object.assign(writer.spec, {
      securityContext: { ...writer.spec.securityContext, runAsUser: 12345, fsGroup: 23456 },
    });
    await create("pods", writer);
    await phase("writer", "Succeeded");
    expect(await logs("writer")).toMatch(/23456.*\/data$/m);

    const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims/data`;
    const { spec } = await api.get<{ spec: { volumeName: string } }>(path);
    const folder = join(cluster.state, "volumes", spec.volumeName);
    expect(existsSync(join(folder, "file"))).toBe(true);
    await api.delete(`/api/v1/namespaces/${namespace}/pods/writer`);
    await api.delete(path);
    await until(
      "the volume is gone",
      async () => !existsSync(folder) && !(await api.find(`/api/v1/persistentvolumes/${spec.volumeName}`)),
    );
  }, 40_000);

  it("binds a claim with delayed binding when its pod is scheduled", async () => {
    const delayed = `${namespace}-delayed`;
    const classes = "/apis/storage.k8s.io/v1/storageclasses";
    const provisioner = "modelwright.dev/node-folder";
    await api.post(classes, { metadata: { name: delayed }, provisioner, volumeBindingMode: "WaitForFirstConsumer" });
    await create("persistentvolumeclaims", {
      metadata: { name: "late" },
      spec: { storageClassName: delayed, accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    });
    const reader = pod("reader", "touch /data/file");
    mountClaim(reader, "late");
    await create("pods", reader);
    await phase("reader", "Succeeded");
    await api.delete(`${classes}/${delayed}`);
  }, 40_000);

  it("schedules as many pretended GPUs as the node has and no more", async () => {
    await create("pods", asking("three", "3"));
    await phase("three", "Running");
    await create("pods", asking("two-more", "2"));
    const message = await until("the scheduler decides", async () => {
      const {
        status: { conditions = [] },
      } = await get<{ status: { conditions?: { reason?: string; message?: string }[] } }>("two-more");
      return conditions.find(({ reason }) => reason === "Unschedulable")?.message;
    });
    expect(message).toContain("Insufficient nvidia.com/gpu");
  }, 40_000);

  it("is repaired by up: a dead kubelet comes back, with its GPUs", async () => {
    const { daemons } = await status();
    const kubelet = daemons.find(({ name }) => name === "kubelet")?.pid;
    if (kubelet === undefined) throw new Error("the kubelet does not run");
    process.kill(kubelet, "SIGKILL");
    await until("its end is seen", async () => !(await status()).healthy);
    await up();
    await until("the new kubelet has reported itself twice", reportedTwice, { within: 40_000, every: 500 });
    expect(await allocatableGpus(api)).toBe(4);
    expect((await status()).problems).toEqual([]);
  }, 60_000);
});

const pod = (name: string, script: string, labels: Record<string, string> = {}) => ({
  metadata: { name, labels },
  spec: {
    restartPolicy: "Never",
    terminationGracePeriodSeconds: 0,
    securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } },
    volumes: [{ name: "scratch", emptyDir: {} }] as {
      name: string;
      emptyDir?: object;
      persistentVolumeClaim?: object;
    }[],
    containers: [
      {
        name: "main",
        image,
        imagePullPolicy: "Never",
        args: [script],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        volumeMounts: [{ name: "scratch", mountPath: "/tmp" }] as { name: string; mountPath: string }[],
      },
    ],
  },
});

function mountClaim({ spec }: ReturnType<typeof pod>, claimName: string): void {
  spec.volumes.push({ name: "data", persistentVolumeClaim: { claimName } });
  spec.containers[0]?.volumeMounts.push({ name: "data", mountPath: "/data" });
}

/** Debian's static busybox resolves names with nslookup only, and its wget crashes. */
const fetchByName = (name: string): string => `
  until address=$(nslookup ${name} 2>/dev/null | sed -n '3,$s/^Address: //p') &&
    printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc $address 80 | grep hello
  do sleep 0.2; done`;

function asking(name: string, count: string): ReturnType<typeof pod> {
  const asked = pod(name, "sleep 600");
  Object.assign(asked.spec.containers[0] ?? {}, { resources: { limits: { "nvidia.com/gpu": count } } });
  Object.assign(asked.spec, { nodeSelector: { "nvidia.com/gpu.product": "NVIDIA-H200" } });
  return asked;
}

async function create<T = unknown>(kind: string, body: unknown): Promise<T> {
  return api.post<T>(`/api/v1/namespaces/${namespace}/${kind}`, body);
}

const get = <T>(name: string): Promise<T> => api.get<T>(`/api/v1/namespaces/${namespace}/pods/${name}`);

const logs = (name: string): Promise<string> => api.text("GET", `/api/v1/namespaces/${namespace}/pods/${name}/log`);

async function phase(name: string, wanted: string): Promise<void> {
  const reached = await until(
    `pod ${name} is ${wanted}`,
    async () => {
      const { status } = await get<{ status: { phase: string } }>(name);
      return [wanted, "Failed"].includes(status.phase) && status.phase;
    },
    { within: 30_000 },
  );
  if (reached !== wanted) throw new Error(`pod ${name} failed: ${await logs(name)}`);
}

/** Has the kubelet written its status at least twice from now on? A patch that it does not take over would be gone then. */
const reportedTwice = ((): (() => Promise<boolean>) => {
  const seen = new Set<string>();
  return async () => {
    const node = await api.get<{ status: { conditions: { type: string; lastHeartbeatTime: string }[] } }>(
      "/api/v1/nodes/modelwright",
    );
    seen.add(node.status.conditions.find(({ type }) => type === "Ready")?.lastHeartbeatTime ?? "");
    return seen.size > 2;
  };
})();

async function importBusybox(): Promise<void> {
  if (await cluster.hasImage(image)) return;
  await ensurePackages(["busybox-static"], "for the pods of a test");
  const root = await mkdtemp(join(tmpdir(), "modelwright-busybox-"));
  try {
    await mkdir(join(root, "image", "bin"), { recursive: true });
    await mkdir(join(root, "image", "tmp"));
    await copyFile("/bin/busybox", join(root, "image", "bin", "busybox"));
    const out = join(root, "image.tar");
    await packImage({ root: join(root, "image"), name: image, out, entrypoint: ["/bin/busybox", "sh", "-c"] });
    await cluster.importImage(out, image);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
