import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jest } from "@jest/globals";
import { command } from "../cluster/command.ts";
import type { Kubectl } from "../cluster/kubectl.ts";
import { installPlatform, systemNamespace } from "../cluster/platform.ts";
import { until } from "../cluster/wait.ts";
import { deployment, digitsNamespace, isReady, type Platform, smallTraining, startPlatform } from "./platform.ts";

jest.setTimeout(240_000);

const CHART = join(import.meta.dirname, "../../charts/modelwright");

let platform: Platform;
let kubectl: Kubectl;
let remove: () => Promise<void>;
let folder: string;

beforeAll(async () => {
  platform = await startPlatform();
  folder = await mkdtemp(join(tmpdir(), "modelwright-chart-"));
  ({ kubectl, remove } = await digitsNamespace(platform, "e2e-upgrade"));
});

afterAll(async () => {
  await installPlatform(platform.target, platform.images);
  await remove();
  await rm(folder, { recursive: true, force: true });
});

const KINDS = "modelwright,configmaps,jobs,deployments,replicasets,pods,services,endpointslices,poddisruptionbudgets";

/** Everything in the namespace of the models, as one line each: a pod that restarts has another resource version. */
async function everything(): Promise<string[]> {
  const { items } = JSON.parse(await kubectl.run(["get", KINDS, "-o", "json"])) as { items: object[] };
  return items.map((item) => JSON.stringify(item)).toSorted();
}

it("An upgrade to another chart with another runtime image replaces the operator, and touches no model", async () => {
  await kubectl.apply(smallTraining("small"));
  await kubectl.apply(deployment("model", { model: { from: { kind: "TrainingJob", name: "small" } } }));
  await kubectl.until("modeldeployment", "model", isReady);
  const settled = await until(
    "nothing changes any more",
    async () => {
      const [first, second] = [
        await everything(),
        await new Promise((done) => setTimeout(done, 5000)).then(everything),
      ];
      return first.join("\n") === second.join("\n") && second;
    },
    { within: 60_000 },
  );
  const operatorPods = () =>
    platform.system.run(["get", "pods", "-o", "name", "-l", "app.kubernetes.io/instance=modelwright"]);
  const operator = await operatorPods();

  const { helm, env } = platform.target;
  await command(helm, ["package", CHART, "--version", "99.0.0", "--app-version", "99.0.0", "-d", folder], { env });
  const values = ["--reuse-values", "--set-string", "runtimeImage.tag=v99", "--set", "defaultNodeSelector.pool=new"];
  const args = ["upgrade", "modelwright", join(folder, "modelwright-99.0.0.tgz"), "-n", systemNamespace, ...values];
  await command(helm, [...args, "--wait", "--timeout", "3m"], { env });
  await until("the old operator has gone", async () => !(await operatorPods()).includes(operator), { within: 60_000 });

  // The new one works by the time that it has seen something new.
  await kubectl.apply(smallTraining("new", { suspend: true }));
  await kubectl.until("trainingjob", "new", ({ status }) => status?.run !== undefined);
  const after = await everything();
  expect(settled.filter((object) => !after.includes(object))).toEqual([]);
  const url = `http://${await kubectl.run(["get", "service", "model", "-o", "jsonpath={.spec.clusterIP}"])}`;
  expect((await fetch(`${url}/v2/models/model/ready`)).status).toBe(200);
});
