import { jest } from "@jest/globals";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { DIGITS, readDigits } from "../../examples/demo/digits.ts";
import { manifest } from "../../examples/demo/volume.ts";
import { KINDS } from "../../crds/kinds.ts";
import type { Kubectl, Observed } from "../cluster/kubectl.ts";
import { until } from "../cluster/wait.ts";
import { keepAsking } from "./clients.ts";
import { digitsNamespace, isReady, type Platform, startPlatform, succeeded } from "./platform.ts";

jest.setTimeout(300_000);

let platform: Platform;
let kubectl: Kubectl;
let remove: () => Promise<void>;

beforeAll(async () => {
  platform = await startPlatform();
  ({ kubectl, remove } = await digitsNamespace(platform, "e2e-digits"));
});

afterAll(async () => {
  await remove();
});

/** The address of a Service as this machine reaches it. */
async function address(service: string): Promise<string> {
  return `http://${await kubectl.run(["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])}`;
}

const serves = (replicas: number, uri: string) => (object: Observed) =>
  isReady(object) && object.status?.readyReplicas === replicas && object.status.model?.uri.startsWith(uri) === true;

const suspend = (value: boolean) => [
  "patch",
  "modeldeployment",
  "digits",
  "--type=merge",
  "-p",
  JSON.stringify({ spec: { suspend: value } }),
];

describe("The digits, from data to a served model", () => {
  it("a TrainingJob learns them to at least 96 % on held-out data and shows its progress", async () => {
    const epochs = new Set<number>();
    const etas = new Set<number>();
    await kubectl.apply(await manifest("training-job.yaml"));
    const job = await kubectl.until("trainingjob", "digits", (object) => object.status?.state === "Succeeded", {
      seconds: 240,
      seen: ({ status }) => {
        if (status?.epoch !== undefined) epochs.add(status.epoch);
        if (status?.etaSeconds !== undefined) etas.add(status.etaSeconds);
      },
    });
    expect(job.status?.evaluation?.["accuracy"]).toBeGreaterThanOrEqual(0.96);
    expect(job.status?.progressPercent).toBe(100);
    expect(epochs.size).toBeGreaterThanOrEqual(3);
    expect(etas.size).toBeGreaterThanOrEqual(1);
    expect(job.status?.artefact?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  it("an OptimizationJob makes the model smaller within the budget and reports what it measured", async () => {
    await kubectl.apply(await manifest("optimization-job.yaml"));
    const job = await kubectl.until("optimizationjob", "digits-small", succeeded, { seconds: 240 });
    expect(job.status?.sizeRatio).toBeGreaterThan(4);
    expect(job.status?.accuracyDrop).toBeLessThanOrEqual(0.01);
    expect(job.status?.speedup).toBeGreaterThan(0);
  });

  it("a ModelDeployment serves it by both REST protocols", async () => {
    await kubectl.apply(await manifest("model-deployment.yaml"));
    await kubectl.until("modeldeployment", "digits", serves(2, "pvc://models/digits/"), { seconds: 120 });
    const url = await address("digits");
    const digits = await readDigits(join(DIGITS, "data", "test.csv"));

    const answer = await fetch(`${url}/v1/models/digits:predict`, {
      method: "POST",
      body: JSON.stringify({ instances: digits.map((digit) => digit.pixels) }),
    });
    const { predictions } = (await answer.json()) as { predictions: number[][] };
    const right = predictions.filter((scores, i) => scores.indexOf(Math.max(...scores)) === digits[i]?.label).length;
    expect(right / digits.length).toBeGreaterThanOrEqual(0.96);

    const metadata = (await (await fetch(`${url}/v2/models/digits`)).json()) as { inputs: { name: string }[] };
    const infer = await fetch(`${url}/v2/models/digits/infer`, {
      method: "POST",
      body: JSON.stringify({
        id: "7",
        inputs: [{ name: metadata.inputs[0]?.name, shape: [1, 64], datatype: "FP32", data: digits[0]?.pixels }],
      }),
    });
    const { id, outputs } = (await infer.json()) as { id: string; outputs: { shape: number[]; data: number[] }[] };
    expect(id).toBe("7");
    expect(outputs[0]?.shape).toEqual([1, 10]);
    for (const [i, value] of (outputs[0]?.data ?? []).entries())
      expect(value).toBeCloseTo(predictions[0]?.[i] ?? -1, 5);
  });

  it("every column of kubectl get is filled", async () => {
    for (const { plural, columns } of KINDS) {
      const table = JSON.parse(
        await kubectl.run(["get", "--raw", `/apis/modelwright.dev/v1alpha1/namespaces/e2e-digits/${plural}?limit=1`]),
      ) as { items: unknown[] };
      expect(table.items).toHaveLength(1);
      const text = await kubectl.run(["get", plural, "-o", "wide", "--no-headers"]);
      const cells = text.split(/\s{2,}/).filter(Boolean);
      // Nothing is left to wait for, and no privacy was asked for.
      const finished = columns.filter(({ name }) => name !== "ETA" && name !== "Epsilon").length + 1;
      expect({ plural, cells: cells.length >= finished, unset: text.includes("<none>") }).toEqual({
        plural,
        cells: true,
        unset: false,
      });
    }
  });

  it("pods pass the restricted profile and hold no API token", async () => {
    const { items } = JSON.parse(await kubectl.run(["get", "pods", "-o", "json"])) as {
      items: { spec: { automountServiceAccountToken?: boolean; volumes: { projected?: unknown }[] } }[];
    };
    expect(items.length).toBeGreaterThanOrEqual(2);
    for (const { spec } of items) {
      expect(spec.automountServiceAccountToken).toBe(false);
      expect(spec.volumes.filter((volume) => volume.projected !== undefined)).toEqual([]);
    }
  });

  it("the optimized model rolls out without a failed request", async () => {
    const digits = await readDigits(join(DIGITS, "data", "test.csv"));
    const client = keepAsking(await address("digits"), "digits", [digits[0]?.pixels ?? []]);
    const from = { kind: "OptimizationJob", name: "digits-small" };
    await kubectl.run([
      "patch",
      "modeldeployment",
      "digits",
      "--type=merge",
      "-p",
      JSON.stringify({ spec: { model: { from } } }),
    ]);
    await kubectl.until("modeldeployment", "digits", serves(2, "pvc://models/digits-small/"), { seconds: 120 });
    await pause(10_000);
    const { sent, failed, errors } = await client.stop();
    expect({ failed, errors: [...errors] }).toEqual({ failed: 0, errors: [] });
    expect(sent).toBeGreaterThan(200);
  });

  it("serving does not notice that the operator is gone, and its return writes nothing", async () => {
    const pods = ["get", "pods", "-l", "modelwright.dev/model-deployment=digits", "-o", "name"];
    await until("the old pods have gone", async () => (await kubectl.run(pods)).split("\n").length === 2);
    const versions = "jsonpath={.items[*].metadata.resourceVersion}";
    const children = ["get", "deployments,services,modeldeployments,trainingjobs,optimizationjobs", "-o", versions];
    const before = await kubectl.run(children);
    await platform.system.run(["delete", "pod", "--all", "--grace-period=0", "--force"]);
    const response = await fetch(`${await address("digits")}/v2/health/ready`);
    expect(response.status).toBe(200);
    await platform.system.run(["wait", "--for=condition=Available", "deployment", "--all", "--timeout=60s"]);
    await pause(3000);
    expect(await kubectl.run(children)).toBe(before);
  });

  it("kubectl scale changes the number of pods, up and down, without a failed request", async () => {
    const digits = await readDigits(join(DIGITS, "data", "test.csv"));
    const client = keepAsking(await address("digits"), "digits", [digits[0]?.pixels ?? []]);
    for (const replicas of [3, 1]) {
      await kubectl.run(["scale", "modeldeployment", "digits", `--replicas=${replicas}`]);
      await kubectl.until("modeldeployment", "digits", serves(replicas, "pvc://models/digits-small/"));
    }
    const { failed, errors } = await client.stop();
    expect({ failed, errors: [...errors] }).toEqual({ failed: 0, errors: [] });
  });

  it("suspend stops the pods and says so; resuming serves again", async () => {
    await kubectl.run(suspend(true));
    const suspended = await kubectl.until("modeldeployment", "digits", (object) => object.status?.replicas === 0);
    expect(suspended.status?.conditions).toContainEqual(expect.objectContaining({ type: "Suspended", status: "True" }));
    await kubectl.run(suspend(false));
    await kubectl.until("modeldeployment", "digits", serves(1, "pvc://models/digits-small/"));
  });

  it("kubectl describe tells the story", async () => {
    const events = await kubectl.run(["get", "events.events.k8s.io", "-o", "jsonpath={.items[*].reason}"]);
    for (const reason of [
      "TrainingStarted",
      "ArtefactWritten",
      "RevisionCreated",
      "Promoted",
      "ScaledUp",
      "ScaledDown",
    ]) {
      expect(events).toContain(reason);
    }
  });

  it("kubectl delete leaves nothing behind but the artefacts", async () => {
    await kubectl.run(["delete", "modeldeployment", "digits", "--cascade=foreground", "--timeout=100s"]);
    expect(
      await kubectl.run([
        "get",
        "deployments,services,pods",
        "-l",
        "modelwright.dev/model-deployment=digits",
        "-o",
        "name",
      ]),
    ).toBe("");
  });

  it("a TrainingJob of the same specification adopts the finished artefact instead of training again", async () => {
    const first = await kubectl.get("trainingjob", "digits");
    await kubectl.run(["delete", "trainingjob", "digits", "--cascade=foreground"]);
    const started = performance.now();
    await kubectl.apply(await manifest("training-job.yaml"));
    const again = await kubectl.until("trainingjob", "digits", succeeded, { seconds: 60 });
    expect(again.status?.artefact?.digest).toBe(first?.status?.artefact?.digest);
    expect(performance.now() - started).toBeLessThan(60_000);
  });

  it("the examples are what the README's reader applies", async () => {
    for (const file of ["training-job.yaml", "optimization-job.yaml", "model-deployment.yaml"]) {
      const text = await readFile(join(DIGITS, file), "utf8");
      expect(await kubectl.run(["apply", "--dry-run=server", "-f", "-"], text)).toMatch(/dry run/);
    }
  });
});
