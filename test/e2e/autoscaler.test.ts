/** The cluster's own autoscaler, by the processor time that its metrics-server measures. */
import { jest } from "@jest/globals";
import { join } from "node:path";
import { DIGITS, readDigits } from "../../examples/demo/digits.ts";
import { installAddon } from "../cluster/addons.ts";
import { up } from "../cluster/cluster.ts";
import { command } from "../cluster/command.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { until } from "../cluster/wait.ts";
import { keepAsking, predictions } from "./clients.ts";
import {
  deployment,
  digitsNamespace,
  isReady,
  type Platform,
  smallTraining,
  startPlatform,
  succeeded,
} from "./platform.ts";

jest.setTimeout(300_000);

let platform: Platform;
let kubectl: Kubectl;
let remove: () => Promise<void>;

beforeAll(async () => {
  platform = await startPlatform();
  ({ kubectl, remove } = await digitsNamespace(platform, "e2e-autoscaler"));
  await kubectl.apply(smallTraining("digits"));
  // Built from source where it is not in the cache.
  await installAddon(await up({ log: () => undefined }), "metrics-server", () => undefined);
  await kubectl.until("trainingjob", "digits", succeeded);
}, 900_000);

afterAll(async () => {
  await remove();
  const { helm, env } = platform.target;
  await command(helm, ["uninstall", "metrics-server", "-n", "kube-system"], { env });
});

interface Written {
  items: { metadata: { managedFields: { manager: string; fieldsV1: { "f:spec"?: object } }[] } }[];
}

it("a model under load gets more pods by its cpu: the autoscaler writes the number, and only the operator makes pods of it", async () => {
  const scaling = { mode: "Automatic", metric: "Cpu", target: 50, minReplicas: 1, maxReplicas: 2 };
  const resources = { requests: { cpu: "100m", memory: "256Mi" } };
  const model = { from: { kind: "TrainingJob", name: "digits" } };
  await kubectl.apply(deployment("busy", { model, scaling, resources }));
  await kubectl.until("modeldeployment", "busy", isReady);
  const url = `http://${await kubectl.run(["get", "service", "busy", "-o", "jsonpath={.spec.clusterIP}"])}`;
  const digit = (await readDigits(join(DIGITS, "data", "test.csv")))[0]?.pixels ?? [];
  await until("the Service leads to the pod", () => predictions(url, "busy", [digit]));

  const rows = Array.from({ length: 500 }, () => digit);
  const clients = keepAsking(url, "busy", rows);
  const scaled = await kubectl.until("modeldeployment", "busy", ({ status }) => status?.readyReplicas === 2, {
    seconds: 240,
  });
  const { failed, errors } = await clients.stop();
  expect({ failed, errors: [...errors] }).toEqual({ failed: 0, errors: [] });
  expect(scaled.status?.desiredReplicas).toBe(2);

  const desired = ["get", "hpa", "busy", "-o", "jsonpath={.status.desiredReplicas}"];
  expect(await kubectl.run(desired)).toBe("2");
  const text = await kubectl.run(["get", "deployments", "--show-managed-fields", "-o", "json"]);
  const entries = (JSON.parse(text) as Written).items.flatMap(({ metadata }) => metadata.managedFields);
  const writers = entries.filter(({ fieldsV1 }) => Object.hasOwn(fieldsV1["f:spec"] ?? {}, "f:replicas"));
  expect([...new Set(writers.map(({ manager }) => manager))]).toEqual(["modelwright-operator"]);
});
