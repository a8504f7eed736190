import { jest } from "@jest/globals";
import type { Kubectl } from "../cluster/kubectl.ts";
import {
  condition,
  deployment,
  digitsNamespace,
  isReady,
  type Platform,
  smallTraining,
  startPlatform,
  succeeded,
} from "./platform.ts";

jest.setTimeout(180_000);

let platform: Platform;
let kubectl: Kubectl;
let remove: () => Promise<void>;

beforeAll(async () => {
  platform = await startPlatform();
  ({ kubectl, remove } = await digitsNamespace(platform, "e2e-failures"));
});

afterAll(async () => {
  await remove();
});

const csv = (uri: string, label = "label") => ({ format: "Csv", uri, label });
const dataset = (train: object) => ({ dataset: { train } });

describe("A TrainingJob that cannot work says why and what to do", () => {
  const cases: [string, Record<string, unknown>, string, RegExp][] = [
    ["the data file is missing", dataset(csv("pvc://models/data/absent.csv")), "InputMissing", /absent\.csv/],
    ["the label column is missing", dataset(csv("pvc://models/data/train.csv", "digit")), "DataRejected", /digit/],
    [
      "a layer does not fit its input",
      { model: { layers: [{ conv2d: { filters: 4, kernelSize: [3, 3] } }, { dense: { units: 10 } }] } },
      "InvalidSpec",
      /layers\[0\]/,
    ],
    ["the image is not there", { runtime: { image: "localhost/absent:1" } }, "ImagePullFailed", /localhost\/absent:1/],
    [
      "memory is too small",
      { resources: { requests: { memory: "40Mi" }, limits: { memory: "40Mi" } } },
      "OutOfMemory",
      /limits\.memory/,
    ],
    ["a GPU was asked for and none is visible", { gpu: { count: 1 } }, "GpuNotVisible", /onMissing/],
    ["the volume is not there", dataset(csv("pvc://absent/train.csv")), "ClaimNotFound", /absent/],
  ];

  it.each(cases)("when %s", async (_, spec, reason, message) => {
    const name = `bad-${reason.toLowerCase()}`;
    await kubectl.apply(smallTraining(name, { backoffLimit: 0, ...spec }));
    const job = await kubectl.until("trainingjob", name, ({ status }) => status?.lastFailure?.reason === reason);
    expect(job.status?.lastFailure?.message).toMatch(message);
    await kubectl.run(["delete", "trainingjob", name, "--wait=false"]);
  });
});

describe("GPUs", () => {
  it("are scheduled, and a pod that may use the CPU instead says what computes", async () => {
    await kubectl.apply(smallTraining("gpu", { gpu: { count: 2, onMissing: "UseCpu", products: ["NVIDIA-H200"] } }));
    const job = await kubectl.until("trainingjob", "gpu", succeeded);
    expect(job.status?.device).toMatch(/cpu/i);
  });

  it("that no node has are waited for, and status says so", async () => {
    await kubectl.apply(smallTraining("greedy", { gpu: { count: 16 } }));
    const job = await kubectl.until(
      "trainingjob",
      "greedy",
      ({ status }) => status?.conditions?.some(({ reason }) => reason === "WaitingForGpu") === true,
    );
    expect(JSON.stringify(job.status?.conditions)).toContain("nvidia.com/gpu");
    await kubectl.run(["delete", "trainingjob", "greedy", "--wait=false"]);
  });
});

describe("A bad new version", () => {
  beforeAll(async () => {
    await kubectl.apply(smallTraining("base"));
    await kubectl.until("trainingjob", "base", succeeded);
    await kubectl.apply(deployment("model", { model: { from: { kind: "TrainingJob", name: "base" } } }));
    await kubectl.until("modeldeployment", "model", isReady);
  });

  const model = { model: { from: { kind: "TrainingJob", name: "base" } } };
  const bad: [string, Record<string, unknown>, string][] = [
    ["its image is missing", { ...model, runtime: { image: "localhost/absent:2" } }, "ImagePullFailed"],
    ["its model is missing", { model: { uri: "pvc://models/absent" } }, "InputMissing"],
    [
      "its digest is another",
      { model: { from: model.model.from, digest: `sha256:${"0".repeat(64)}` } },
      "DigestMismatch",
    ],
  ];

  it.each(bad)("leaves the old one serving when %s", async (_, spec, reason) => {
    const before = await kubectl.get("modeldeployment", "model");
    await kubectl.apply(deployment("model", spec));
    const object = await kubectl.until(
      "modeldeployment",
      "model",
      ({ status }) => status?.lastFailure?.reason === reason,
    );
    expect(object.status?.stableRevision).toBe(before?.status?.stableRevision);
    expect(isReady(object)).toBe(true);
    const url = `http://${await kubectl.run(["get", "service", "model", "-o", "jsonpath={.spec.clusterIP}"])}`;
    expect((await fetch(`${url}/v2/models/model/ready`)).status).toBe(200);
  });

  it("is forgotten when the specification is right again, without a new revision", async () => {
    const before = await kubectl.get("modeldeployment", "model");
    await kubectl.apply(deployment("model", model));
    const object = await kubectl.until(
      "modeldeployment",
      "model",
      (candidate) => condition(candidate, "Progressing")?.status !== "True" && isReady(candidate),
    );
    expect(object.status?.stableRevision).toBe(before?.status?.stableRevision);
  });
});
