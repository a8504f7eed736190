import type { Progress } from "../../crds/contract/progress.ts";
import { type Management, type ManagementOptions, startManagement } from "./server.ts";

const progress: Progress = { kind: "OptimizationProgress", run: "a-1", state: "Optimizing", progressPercent: 40 };

let management: Management;
const start = async (options: Partial<ManagementOptions> = {}) => {
  management = await startManagement({ port: 0, host: "127.0.0.1", progress: () => progress, ...options });
  return (path: string, method = "GET") => fetch(`http://127.0.0.1:${management.port}${path}`, { method });
};

afterEach(() => management.close());

it("shows the progress as JSON", async () => {
  const response = await (await start())("/progress");
  expect(response.headers.get("content-type")).toContain("application/json");
  expect(await response.json()).toEqual(progress);
});

it("answers probes by what it is told", async () => {
  const get = await start({ live: () => true, ready: () => false });
  expect((await get("/livez")).status).toBe(200);
  expect((await get("/readyz")).status).toBe(503);
});

it("shows the metrics of the process", async () => {
  expect(await (await (await start())("/metrics")).text()).toMatch(/process_resident_memory_bytes \d/);
});

it("says what there is for other paths, and refuses other methods", async () => {
  const get = await start();
  expect((await get("/")).status).toBe(404);
  expect(await (await get("/")).text()).toMatch(/\/livez, \/readyz, \/progress and \/metrics/);
  expect((await get("/progress", "POST")).status).toBe(405);
});
