import { jest } from "@jest/globals";
import { join } from "node:path";
import { DIGITS, readDigits } from "../../examples/demo/digits.ts";
import type { Kubectl, Observed } from "../cluster/kubectl.ts";
import { until } from "../cluster/wait.ts";
import { GrpcCaller, keepAsking, keepCalling, predictions } from "./clients.ts";
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

jest.setTimeout(240_000);

/** Two good models that give different answers, and one that learned nothing. */
const MODELS = {
  first: { seed: 1 },
  second: { seed: 2 },
  wrong: { seed: 3, epochs: 1, optimizer: { sgd: { learningRate: 1e-6 } } },
};

let platform: Platform;
let kubectl: Kubectl;
let remove: () => Promise<void>;
let url: string;
let digit: number[];

beforeAll(async () => {
  platform = await startPlatform();
  ({ kubectl, remove } = await digitsNamespace(platform, "e2e-rollout"));
  digit = (await readDigits(join(DIGITS, "data", "test.csv")))[0]?.pixels ?? [];
  for (const [name, spec] of Object.entries(MODELS)) await kubectl.apply(smallTraining(name, spec));
  await kubectl.until("trainingjob", "first", succeeded);
  const scaling = { mode: "Automatic", minReplicas: 0, maxReplicas: 2, scaleToZeroAfter: "6s", stableWindow: "6s" };
  await kubectl.apply(deployment("idle", { model: { from: { kind: "TrainingJob", name: "first" } }, scaling }));
  await kubectl.apply(deployment("digits", { model: modelOf("first"), scaling: { replicas: 2 } }));
  await kubectl.until("modeldeployment", "digits", isReady);
  for (const name of Object.keys(MODELS)) await kubectl.until("trainingjob", name, succeeded);
  url = await address("digits");
  // The node's proxy learns of the pods a moment after the operator.
  await until("the Service leads to the pods", () => predictions(url, "digits", [digit]));
  // Images may have to be built first.
}, 600_000);

afterAll(async () => {
  await remove();
});

async function address(service: string): Promise<string> {
  return `http://${await kubectl.run(["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])}`;
}

function modelOf(name: string) {
  return { from: { kind: "TrainingJob", name } };
}

const patch = (spec: object) =>
  kubectl.run(["patch", "modeldeployment", "digits", "--type=merge", "-p", JSON.stringify({ spec })]);

const status = (done: (status: NonNullable<Observed["status"]>) => boolean) =>
  kubectl.until("modeldeployment", "digits", ({ status: seen }) => seen !== undefined && done(seen));

/** All pods serve a model, and no update is under way. */
const serves = async (model: string) => {
  const { status: { artefact } = {} } = (await kubectl.get("trainingjob", model)) ?? {};
  return status(
    (seen) =>
      seen.model?.digest === artefact?.digest &&
      seen.canaryRevision === undefined &&
      seen.readyReplicas === seen.desiredReplicas,
  );
};

/** How many of so many requests get this answer; eight are asked at a time. */
async function answeredLike(answer: number[], requests: number, ask = byHttp): Promise<number> {
  let like = 0;
  const worker = async (share: number) => {
    for (let sent = 0; sent < share; sent++) {
      const given = await ask();
      if (given.every((value, index) => Math.abs(value - (answer[index] ?? Number.NaN)) < 1e-5)) like += 1;
    }
  };
  await Promise.all(Array.from({ length: 8 }, () => worker(requests / 8)));
  return like;
}

async function byHttp(): Promise<number[]> {
  const [answer = []] = await predictions(url, "digits", [digit]);
  return answer;
}

const grpcAddress = () => `${url.slice("http://".length)}:9000`;

async function inputName(): Promise<string> {
  const metadata = (await (await fetch(`${url}/v2/models/digits`)).json()) as { inputs: { name: string }[] };
  return metadata.inputs[0]?.name ?? "";
}

/** Over eight connections. */
async function answeredLikeByGrpc(answer: number[], requests: number): Promise<number> {
  const input = await inputName();
  const callers = Array.from({ length: 8 }, (_, id) => new GrpcCaller(grpcAddress(), id));
  let next = 0;
  try {
    return await answeredLike(answer, requests, async () => {
      const caller = callers[next++ % callers.length];
      return (await caller?.infer("digits", input, digit)) ?? [];
    });
  } finally {
    for (const caller of callers) caller.close();
  }
}

describe("A rollout with real pods", () => {
  it("gives a canary its weight of 1,000 requests, exact to one percent by HTTP and by gRPC, and is promoted by a field", async () => {
    const [old = []] = await predictions(url, "digits", [digit]);
    const rollout = { strategy: "Canary", steps: [{ weight: 25, duration: "1h" }] };
    await patch({ model: modelOf("second"), rollout });
    const { status: seen } = await status(({ canaryWeight }) => canaryWeight === 25);
    const kept = await answeredLike(old, 1000);
    expect(Math.abs(kept - 750)).toBeLessThanOrEqual(10);
    expect(Math.abs((await answeredLikeByGrpc(old, 1000)) - 750)).toBeLessThanOrEqual(10);
    await patch({ rollout: { action: { type: "Promote", revision: seen?.canaryRevision } } });
    await serves("second");
    // Clients on connections to the old pods get the new answers as soon as these pods have seen what they are told.
    await until("all answers are new", async () => (await answeredLike(old, 80)) === 0);
  });

  it("goes back by itself from a version that answers otherwise, and no client sees it", async () => {
    const clients = keepAsking(url, "digits", [digit]);
    const rollout = {
      steps: [{ weight: 10, duration: "5m" }],
      shadow: { percent: 50 },
      analysis: { maxPredictionDrift: 0.05 },
      action: null,
    };
    await patch({ model: modelOf("wrong"), rollout });
    const { status: seen } = await status(({ lastFailure }) => lastFailure?.reason === "AnalysisFailed");
    expect(seen?.lastFailure?.message).toContain("analysis.maxPredictionDrift");
    const { failed, errors } = await clients.stop();
    expect({ failed, errors: [...errors] }).toEqual({ failed: 0, errors: [] });
  });

  it("loses no request through five rollouts, whatever the strategy, and scalings, by HTTP or by gRPC", async () => {
    const clients = keepAsking(url, "digits", [digit]);
    const callers = keepCalling(grpcAddress(), "digits", await inputName(), digit);
    const none = { steps: null, shadow: null, analysis: null, keepPrevious: null, action: null };
    const rollouts = [
      ["first", { ...none, strategy: "BlueGreen", keepPrevious: "2s" }],
      ["second", { ...none, strategy: "Rolling" }],
      ["first", { ...none, strategy: "Canary", steps: [{ weight: 50, duration: "2s" }] }],
      ["second", { ...none, strategy: "BlueGreen", keepPrevious: "0s" }],
    ] as const;
    for (const [model, rollout] of rollouts) {
      await patch({ model: modelOf(model), rollout });
      await serves(model);
    }
    await kubectl.run(["scale", "modeldeployment", "digits", "--replicas=3"]);
    const { status: seen } = await status(({ readyReplicas }) => readyReplicas === 3);
    await patch({ rollout: { action: { type: "Undo", revision: seen?.stableRevision } } });
    await status(({ stableRevision }) => stableRevision !== seen?.stableRevision);
    await kubectl.run(["scale", "modeldeployment", "digits", "--replicas=1"]);
    await status(({ replicas }) => replicas === 1);
    const { sent, failed, errors } = await clients.stop();
    expect({ failed, errors: [...errors] }).toEqual({ failed: 0, errors: [] });
    expect(sent).toBeGreaterThan(500);
    const calls = await callers.stop();
    expect({ failed: calls.failed, errors: [...calls.errors] }).toEqual({ failed: 0, errors: [] });
    expect(calls.sent).toBeGreaterThan(250);
  });
});

describe("A model that nobody asks", () => {
  it("has no pods, and answers the next requests all the same", async () => {
    const idle = await kubectl.until("modeldeployment", "idle", ({ status: seen }) => seen?.replicas === 0);
    expect(condition(idle, "ScaledToZero")).toMatchObject({ status: "True" });
    const asked = await address("idle");
    const answers = await Promise.all(Array.from({ length: 20 }, () => predictions(asked, "idle", [digit])));
    expect(answers).toHaveLength(20);
    const woken = await kubectl.until("modeldeployment", "idle", isReady);
    expect(woken.status?.performance?.coldStartSeconds).toBeGreaterThan(0);
  });
});
