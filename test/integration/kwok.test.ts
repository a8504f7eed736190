import { startApiServer } from "../cluster/apiserver.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { kwokToleration, startKwok } from "../cluster/kwok.ts";
import type { Kwok } from "../cluster/kwok.ts";
import { until } from "../cluster/wait.ts";

let server: ApiServer;
let kwok: Kwok;

beforeAll(async () => {
  server = await startApiServer({ scheduler: true, controllers: ["job-controller"] });
  kwok = await startKwok(server, [
    { name: "gpu-node", product: "NVIDIA-H100-80GB-HBM3", resources: { "nvidia.com/gpu": 8 } },
    { name: "mig-node", product: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", resources: { "nvidia.com/mig-1g.5gb": 7 } },
  ]);
}, 90_000);

afterAll(async () => {
  await kwok.stop();
  await server.stop();
});

type Pod = {
  spec: { nodeName?: string };
  status: {
    phase: string;
    podIP?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
};

const spec = (limits: Record<string, string>, tolerations: unknown[] = [kwokToleration]) => ({
  tolerations,
  containers: [{ name: "main", image: "localhost/none:1", resources: { limits } }],
});

async function place(podSpec: unknown): Promise<() => Promise<Pod>> {
  const pods = `/api/v1/namespaces/${await server.namespace()}/pods`;
  await server.api.post(pods, { metadata: { name: "pod" }, spec: podSpec });
  return () => server.api.get<Pod>(`${pods}/pod`);
}

const verdict = (read: () => Promise<Pod>): Promise<string> =>
  until(
    "the scheduler decides",
    async () => (await read()).status.conditions?.find(({ reason }) => reason === "Unschedulable")?.message,
  );

describe("KWOK nodes", () => {
  it("are ready, with their GPUs and their product", async () => {
    const node = await server.api.get<{
      metadata: { labels: Record<string, string> };
      status: { allocatable: Record<string, string> };
    }>("/api/v1/nodes/gpu-node");
    expect(node.metadata.labels["nvidia.com/gpu.product"]).toBe("NVIDIA-H100-80GB-HBM3");
    expect(node.status.allocatable["nvidia.com/gpu"]).toBe("8");
  });

  it("run a pod that asks for GPUs, up to the number that they have", async () => {
    const first = await place(spec({ "nvidia.com/gpu": "6" }));
    const running = await until("the pod is ready", async () => {
      const pod = await first();
      return pod.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") && pod;
    });
    expect(running.spec.nodeName).toBe("gpu-node");
    expect(running.status).toMatchObject({ phase: "Running", podIP: expect.stringMatching(/^198\.18\.251\./) });

    const second = await place(spec({ "nvidia.com/gpu": "3" }));
    expect(await verdict(second)).toContain("Insufficient nvidia.com/gpu");
  }, 30_000);

  it("tell a slice of a GPU from a whole one", async () => {
    const sliced = await place(spec({ "nvidia.com/mig-1g.5gb": "1" }));
    const { spec: placed } = await until("the pod runs", async () => {
      const pod = await sliced();
      return pod.status.phase === "Running" && pod;
    });
    expect(placed.nodeName).toBe("mig-node");
  }, 30_000);

  it("take no pod that does not tolerate them", async () => {
    expect(await verdict(await place(spec({}, [])))).toContain("untolerated taint");
  }, 30_000);

  it("complete the pods of a Job", async () => {
    const jobs = `/apis/batch/v1/namespaces/${await server.namespace()}/jobs`;
    await server.api.post(jobs, {
      metadata: { name: "job" },
      spec: { template: { spec: { ...spec({}), restartPolicy: "Never" } } },
    });
    await until("the job is complete", async () => {
      const { status } = await server.api.get<{ status: { conditions?: { type: string }[] } }>(`${jobs}/job`);
      return status.conditions?.some(({ type }) => type === "Complete");
    });
  }, 60_000);

  it("can be added while a test runs", async () => {
    await kwok.addNodes([{ name: "late-node", labels: { zone: "b" } }]);
    expect(await server.api.find("/api/v1/nodes/late-node")).toMatchObject({ metadata: { labels: { zone: "b" } } });
  }, 30_000);
});
