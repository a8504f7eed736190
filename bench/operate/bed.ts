/** The local cluster with Modelwright, and models of the digits to serve. */
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { DIGITS, readDigits } from "../../examples/demo/digits.ts";
import { until } from "../../test/cluster/wait.ts";
import { up } from "../../test/cluster/cluster.ts";
import type { Kubectl, Observed } from "../../test/cluster/kubectl.ts";
import { deployment, digitsNamespace, smallTraining, startPlatform, succeeded } from "../../test/e2e/platform.ts";

/** Of its own: that of the run before may still be on its way out. */
const NAMESPACE = `bench-operate-${crypto.randomUUID().slice(0, 8)}`;
/** Two good models that answer differently, and one that learned nothing. */
const MODELS = {
  first: { seed: 1 },
  second: { seed: 2 },
  wrong: { seed: 3, epochs: 1, optimizer: { sgd: { learningRate: 1e-6 } } },
};

export type ModelName = keyof typeof MODELS;

export class OperateBed {
  readonly kubectl: Kubectl;
  readonly digit: readonly number[];
  readonly remove: () => Promise<void>;

  private constructor(kubectl: Kubectl, digit: readonly number[], remove: () => Promise<void>) {
    this.kubectl = kubectl;
    this.digit = digit;
    this.remove = remove;
  }

  static async start(): Promise<OperateBed> {
    const { kubectl, remove } = await digitsNamespace(await startPlatform(), NAMESPACE);
    const [digit] = await readDigits(join(DIGITS, "data", "test.csv"));
    for (const [name, spec] of Object.entries(MODELS)) await kubectl.apply(smallTraining(name, spec));
    for (const name of Object.keys(MODELS)) await kubectl.until("trainingjob", name, succeeded, { seconds: 300 });
    return new OperateBed(kubectl, digit?.pixels ?? [], remove);
  }

  /** The cluster itself, for what is no part of Modelwright. */
  cluster() {
    return up({ log: () => undefined });
  }

  serve(name: string, model: ModelName, spec: object = {}): Promise<void> {
    return this.kubectl.apply(deployment(name, { model: modelOf(model), ...spec }));
  }

  patch(name: string, spec: object): Promise<string> {
    return this.kubectl.run(["patch", "modeldeployment", name, "--type=merge", "-p", JSON.stringify({ spec })]);
  }

  until(name: string, done: (status: NonNullable<Observed["status"]>) => boolean, seconds = 180): Promise<Observed> {
    return this.kubectl.until("modeldeployment", name, ({ status }) => status !== undefined && done(status), {
      seconds,
    });
  }

  /** All pods serve this model, and no update is under way. */
  async serves(name: string, model: ModelName): Promise<Observed> {
    const { status: { artefact } = {} } = (await this.kubectl.get("trainingjob", model)) ?? {};
    return this.until(
      name,
      (status) =>
        status.model?.digest === artefact?.digest &&
        status.canaryRevision === undefined &&
        status.readyReplicas === status.desiredReplicas,
    );
  }

  async url(name: string): Promise<string> {
    return `http://${await this.kubectl.run(["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"])}`;
  }

  /** No pod of it is left, and the node's proxy has had time to learn it. */
  async gone(name: string): Promise<void> {
    const pods = ["get", "pods", "-l", `modelwright.dev/model-deployment=${name}`, "-o", "name"];
    await until("its pods are gone", async () => (await this.kubectl.run(pods)) === "", { within: 90_000 });
    await pause(1000);
  }

  async delete(name: string): Promise<void> {
    await this.kubectl.run(["delete", "modeldeployment", name, "--cascade=foreground", "--timeout=120s"]);
  }
}

export function modelOf(name: ModelName) {
  return { from: { kind: "TrainingJob", name } };
}
