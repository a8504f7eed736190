/** What users wait for while models are started, woken, rolled out and scaled. Each returns lines of figures. */
import { setTimeout as sleep } from "node:timers/promises";
import { installAddon } from "../../test/cluster/addons.ts";
import { until } from "../../test/cluster/wait.ts";
import { keepAsking, predictions } from "../../test/e2e/clients.ts";
import { condition } from "../../test/e2e/platform.ts";
import { modelOf, type OperateBed } from "./bed.ts";

export interface Figure {
  readonly what: string;
  readonly figure: string;
  readonly beside: string;
}

export type Scenario = (bed: OperateBed, rounds: number) => Promise<Figure[]>;

const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? Number.NaN;
const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;
const ms = (milliseconds: number): string => `${milliseconds.toFixed(2)} ms`;
const both = (values: readonly number[], unit: (value: number) => string): string =>
  `p50 ${unit(quantile(values, 0.5))}, p99 ${unit(quantile(values, 0.99))}`;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

const answers = (url: () => Promise<string>, name: string, bed: OperateBed) =>
  until("it answers", async () => (await predictions(await url(), name, [bed.digit])).length > 0, { every: 20 });

/** Manifest applied to first prediction, in turns with the same pod applied by itself until it is ready. */
export const start: Scenario = async (bed, rounds) => {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push(
      await timed(async () => {
        await bed.serve("start", "first");
        await answers(() => bed.url("start"), "start", bed);
      }),
    );
    const pod = await barePod(bed, "start");
    bare.push(
      await timed(async () => {
        await bed.kubectl.apply(pod);
        await bed.kubectl.run(["wait", "--for=condition=Ready", "pod/bare", "--timeout=120s"]);
      }),
    );
    await bed.kubectl.run(["delete", "pod", "bare", "--grace-period=0", "--force"]);
    await bed.delete("start");
  }
  return [
    {
      what: "manifest applied to first prediction",
      figure: both(ours, seconds),
      beside: `${both(bare, seconds)} (bare pod to Ready)`,
    },
  ];
};

/** The pod of a deployment as somebody would write it by hand. */
async function barePod(bed: OperateBed, name: string): Promise<object> {
  const label = `modelwright.dev/model-deployment=${name}`;
  const text = await bed.kubectl.run(["get", "deployments", "-l", label, "-o", "json"]);
  const { items } = JSON.parse(text) as { items: { spec: { template: { spec: object } } }[] };
  const { template } = items[0]?.spec ?? {};
  return { apiVersion: "v1", kind: "Pod", metadata: { name: "bare" }, spec: template?.spec };
}

/** A request to a model without pods, which the activator holds. */
export const zero: Scenario = async (bed, rounds) => {
  const scaling = { mode: "Automatic", minReplicas: 0, maxReplicas: 1, scaleToZeroAfter: "6s", stableWindow: "6s" };
  await bed.serve("idle", "first", { scaling });
  await bed.until(
    "idle",
    ({ conditions }) => conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true,
  );
  const url = await bed.url("idle");
  const held: number[] = [];
  const cold: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await bed.until("idle", ({ replicas }) => replicas === 0);
    // A pod on its way out may still answer, and then nothing is held.
    await bed.gone("idle");
    held.push(await timed(() => predictions(url, "idle", [bed.digit])));
    const { status } = await bed.until("idle", ({ readyReplicas }) => readyReplicas === 1);
    cold.push(1000 * (status?.performance?.coldStartSeconds ?? Number.NaN));
  }
  await bed.delete("idle");
  return [
    {
      what: "0 to 1 with a held request",
      figure: both(held, seconds),
      beside: `${both(cold, seconds)} (status: coldStartSeconds)`,
    },
  ];
};

/** Requests that another version answers, beside those of the same seconds that the pods answer themselves. */
export const divert: Scenario = async (bed, rounds) => {
  await bed.serve("shared", "first", { scaling: { replicas: 2 } });
  await bed.serves("shared", "first");
  const url = await bed.url("shared");
  const [own = []] = await predictions(url, "shared", [bed.digit]);
  await bed.patch("shared", {
    model: modelOf("second"),
    rollout: { strategy: "Canary", steps: [{ weight: 50, duration: "1h" }] },
  });
  await bed.until("shared", ({ canaryWeight }) => canaryWeight === 50);
  const times: Record<"own" | "diverted", number[]> = { own: [], diverted: [] };
  for (let request = 0; request < 400 * rounds; request++) {
    const started = performance.now();
    const [given = []] = await predictions(url, "shared", [bed.digit]);
    const same = given.every((value, index) => Math.abs(value - (own[index] ?? Number.NaN)) < 1e-5);
    times[same ? "own" : "diverted"].push(performance.now() - started);
  }
  await bed.delete("shared");
  const share = (100 * times.diverted.length) / (times.own.length + times.diverted.length);
  return [
    {
      what: `a diverted request (${share.toFixed(1)} % of them; asked for 50)`,
      figure: both(times.diverted, ms),
      beside: `${both(times.own, ms)} (own)`,
    },
    {
      what: "added by diverting, p50",
      figure: ms(quantile(times.diverted, 0.5) - quantile(times.own, 0.5)),
      beside: "target 1 ms",
    },
  ];
};

/** From the moment in which a bad version gets its first requests. */
export const rollback: Scenario = async (bed, rounds) => {
  await bed.serve("guarded", "first", { scaling: { replicas: 2 } });
  await bed.serves("guarded", "first");
  const clients = keepAsking(await bed.url("guarded"), "guarded", [bed.digit]);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const rollout = {
      strategy: "Canary",
      steps: [{ weight: 10, duration: "10m" }],
      shadow: { percent: 50 },
      analysis: { maxPredictionDrift: 0.05 },
    };
    await bed.patch("guarded", { model: modelOf("wrong"), rollout });
    await bed.until("guarded", ({ step }) => step === 1);
    times.push(await timed(() => bed.until("guarded", ({ lastFailure }) => lastFailure?.reason === "AnalysisFailed")));
    await bed.patch("guarded", { model: modelOf("first") });
    await bed.until("guarded", ({ lastFailure }) => lastFailure === undefined);
  }
  const { sent, failed } = await clients.stop();
  await bed.delete("guarded");
  return [
    {
      what: "bad canary's first request to rollback",
      figure: both(times, seconds),
      beside: `target 10 s; ${failed} of ${sent} requests failed`,
    },
  ];
};

/** Update after update under load, by turns of strategies. */
export const rollouts: Scenario = async (bed, rounds) => {
  await bed.serve("moving", "first", { scaling: { replicas: 2 } });
  await bed.serves("moving", "first");
  const clients = keepAsking(await bed.url("moving"), "moving", [bed.digit]);
  const strategies = [
    { strategy: "BlueGreen", keepPrevious: "2s", steps: null },
    { strategy: "Rolling", keepPrevious: null, steps: null },
    { strategy: "Canary", keepPrevious: null, steps: [{ weight: 50, duration: "2s" }] },
  ];
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const model = round % 2 === 0 ? "second" : "first";
    times.push(
      await timed(async () => {
        await bed.patch("moving", { model: modelOf(model), rollout: strategies[round % strategies.length] });
        await bed.serves("moving", model);
      }),
    );
  }
  await sleep(10_000);
  const { sent, failed, errors } = await clients.stop();
  await bed.delete("moving");
  const why = failed === 0 ? "" : `: ${[...errors].join("; ")}`;
  return [
    {
      what: `${rounds} rollouts under load`,
      figure: `${failed} of ${sent} requests failed${why}`,
      beside: both(times, seconds),
    },
  ];
};

/** Clients come all at once; so many pods as they need at eight requests in flight each are the ideal. */
export const step: Scenario = async (bed) => {
  const scaling = {
    mode: "Automatic",
    minReplicas: 1,
    maxReplicas: 6,
    target: 2,
    stableWindow: "20s",
    panicWindow: "4s",
  };
  await bed.serve("loaded", "first", { scaling });
  await bed.until("loaded", ({ readyReplicas }) => readyReplicas === 1);
  const url = await bed.url("loaded");
  const rows = Array.from({ length: 2000 }, () => bed.digit);
  const clients = [keepAsking(url, "loaded", rows), keepAsking(url, "loaded", rows)];
  const started = performance.now();
  const since = () => performance.now() - started;
  await bed.until("loaded", ({ desiredReplicas = 0 }) => desiredReplicas >= 4);
  const decided = since();
  await bed.until("loaded", ({ readyReplicas = 0 }) => readyReplicas >= 4);
  const served = since();
  const counts = await Promise.all(clients.map((client) => client.stop()));
  const failed = counts.reduce((all, count) => all + count.failed, 0);
  await bed.delete("loaded");
  return [
    {
      what: "8 clients at once, 2 in flight for each pod: 4 pods asked for",
      figure: seconds(decided),
      beside: "ideal 0 s",
    },
    { what: "… and ready", figure: seconds(served), beside: `${failed} requests failed` },
  ];
};

/** By processor time, through the cluster's own autoscaler and metrics-server. */
export const processor: Scenario = async (bed) => {
  await installAddon(await bed.cluster(), "metrics-server", console.log);
  const scaling = { mode: "Automatic", metric: "Cpu", target: 50, minReplicas: 1, maxReplicas: 3 };
  await bed.serve("busy", "first", { scaling, resources: { requests: { cpu: "100m", memory: "256Mi" } } });
  await bed.until("busy", ({ readyReplicas }) => readyReplicas === 1);
  const clients = keepAsking(
    await bed.url("busy"),
    "busy",
    Array.from({ length: 500 }, () => bed.digit),
  );
  const time = await timed(() => bed.until("busy", ({ readyReplicas = 0 }) => readyReplicas > 1, 300));
  const { failed, sent } = await clients.stop();
  const { items } = JSON.parse(await bed.kubectl.run(["get", "hpa", "-o", "json"])) as {
    items: { status: { currentMetrics?: { resource?: { current?: { averageUtilization?: number } } }[] } }[];
  };
  const measured = items[0]?.status.currentMetrics?.[0]?.resource?.current?.averageUtilization;
  const scaled = condition(await bed.until("busy", () => true), "Ready")?.message ?? "";
  await bed.delete("busy");
  return [
    {
      what: "load to a second pod, by cpu",
      figure: seconds(time),
      beside: `HPA read ${measured} %; ${scaled}; ${failed} of ${sent} requests failed`,
    },
  ];
};
