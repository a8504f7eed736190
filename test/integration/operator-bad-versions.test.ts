import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import type { ServingProgress } from "../../crds/contract/progress.ts";
import { bucketOf } from "../../crds/contract/histogram.ts";
import { TRAFFIC_ANNOTATION, TrafficDirective, type TrafficReport, type Window } from "../../crds/contract/traffic.ts";
import type { TrafficProber } from "../../operator/pods/traffic-prober.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { FakeKubelet, type Pod } from "./operator/fake-kubelet.ts";
import { condition, digest, modelDeployment, Space } from "./operator/objects.ts";

const WITHIN = 60_000;

/** Says of each pod what a test has set. */
class FakeTraffic implements TrafficProber {
  readonly reports = new Map<string, TrafficReport>();

  report(address: string): Promise<TrafficReport | undefined> {
    return Promise.resolve(this.reports.get(address));
  }
}

const prober = new FakeProber();
const traffic = new FakeTraffic();
let server: ApiServer;
let space: Space;
let kubelet: FakeKubelet;
let operator: RunningOperator;

beforeAll(async () => {
  server = await startBed();
  space = new Space(server.api, await server.namespace());
  kubelet = new FakeKubelet(server.api, space.namespace);
  const { kubeconfig } = server;
  operator = await startOperator({ kubeconfig, namespaces: [space.namespace], prober, traffic });
}, 90_000);
afterAll(async () => {
  await operator.stop();
  await server.stop();
}, 30_000);

const labelOf = (revision: string) => `modelwright.dev/revision=${revision}`;

function progress(revision: string, character: string): ServingProgress {
  const model = { uri: "pvc://models/digits", digest: digest(character) };
  return { kind: "ServingProgress", revision, state: "Serving", engine: "TensorFlow", device: "CPU", model };
}

async function serve(revision: string, character: string): Promise<Pod> {
  const [pod] = await kubelet.waitFor(labelOf(revision));
  if (pod === undefined) throw new Error("there is no pod");
  prober.set(await kubelet.run(pod), progress(revision, character));
  await kubelet.run(pod, { ready: true });
  return pod;
}

/** As the runtime ends when it cannot serve. */
const ends = (exitCode: number, reason: string, message: string) => async (pod: Pod, revision: string) => {
  const failure = { reason, message, exitCode };
  const said = { ...progress(revision, "2"), state: "Failed", failure };
  await kubelet.crash(pod, exitCode, JSON.stringify(said));
};

/** The new version becomes ready; of 200 requests in the first step, pods report what is given here. */
const answers = (figures: (window: Window) => void) => async (_: Pod, revision: string, serving: Pod) => {
  await serve(revision, "2");
  const told = await until("the pod that serves is told", async () => {
    const { metadata } = await server.api.get<{ metadata: { annotations?: Record<string, string> } }>(
      space.childPath("pods", serving.metadata.name),
    );
    const text = metadata.annotations?.[TRAFFIC_ANNOTATION];
    return text === undefined ? undefined : TrafficDirective.parse(JSON.parse(text));
  });
  const none = { requests: 0, failed: 0, latency: {} };
  const stage = { diverted: { ...none, requests: 200 }, local: { ...none }, shadow: { compared: 0, drifted: 0 } };
  figures(stage);
  traffic.reports.set(serving.status.podIP ?? "", {
    kind: "TrafficReport",
    revision: serving.metadata.labels["modelwright.dev/revision"] ?? "",
    directive: told.id,
    weight: told.weight,
    stage,
    recent: stage,
  });
};

const SECOND = { model: { uri: "pvc://models/digits/two", digest: digest("2") } };
const canary = (analysis: object, more: object = {}) => ({
  ...SECOND,
  rollout: { strategy: "Canary", steps: [{ weight: 20, duration: "5m" }], analysis, ...more },
});

interface Bad {
  readonly what: string;
  /** What is asked for. */
  readonly spec?: Record<string, unknown>;
  /** What becomes of its pod. */
  readonly happens?: (pod: Pod, revision: string, serving: Pod) => Promise<void>;
  readonly reason: string;
  /** The remedy, in the message. */
  readonly says: RegExp;
}

const BAD: readonly Bad[] = [
  {
    what: "its image is not there",
    spec: { runtime: { image: "registry.example/none:1" } },
    happens: (pod) => kubelet.waiting(pod, "ImagePullBackOff"),
    reason: "ImagePullFailed",
    says: /registry\.example\/none:1 cannot be pulled.*correct spec\.runtime\.image/,
  },
  {
    what: "its image has no valid name",
    spec: { runtime: { image: "registry.example/UPPER:1" } },
    happens: (pod) => kubelet.waiting(pod, "InvalidImageName"),
    reason: "ImagePullFailed",
    says: /correct spec\.runtime\.image/,
  },
  {
    what: "its container cannot be created",
    happens: (pod) => kubelet.waiting(pod, "CreateContainerConfigError", 'secret "s3" not found'),
    reason: "ContainerCannotStart",
    says: /Secret s3 does not exist in this namespace; create it, or correct/,
  },
  {
    what: "its model cannot be downloaded",
    happens: ends(66, "InputMissing", "there is no model at pvc://models/digits/two; correct model.uri"),
    reason: "InputMissing",
    says: /correct model\.uri/,
  },
  {
    what: "its model has another digest than it should",
    happens: ends(65, "DigestMismatch", "the files have another digest; write each version to a folder of its own"),
    reason: "DigestMismatch",
    says: /a folder of its own/,
  },
  {
    what: "its pod serves other bytes than it should",
    happens: async (_, revision) => void (await serve(revision, "9")),
    reason: "DigestMismatch",
    says: /write each version of a model to a folder of its own/,
  },
  {
    what: "a file of its model is corrupt",
    happens: ends(65, "DataRejected", "model.h5 is no HDF5 file; write it anew"),
    reason: "DataRejected",
    says: /write it anew/,
  },
  {
    what: "its model has a layer that is not known",
    happens: ends(65, "ModelUnsupported", "layer Custom is not known; use another, see docs/formats.md"),
    reason: "ModelUnsupported",
    says: /use another/,
  },
  {
    what: "it needs more memory than it has",
    happens: (pod) => kubelet.crash(pod, 137, "", { reason: "OOMKilled" }),
    reason: "OutOfMemory",
    says: /raise spec\.resources\.limits\.memory/,
  },
  {
    what: "it crashes again and again",
    happens: (pod) => kubelet.crash(pod, 139, "", { restarts: 3 }),
    reason: "PodFailed",
    says: /exit code 139; see its log/,
  },
  {
    what: "it sees no GPU",
    happens: ends(70, "GpuNotVisible", "no GPU is visible; install the driver, or set gpu.onMissing: UseCpu"),
    reason: "GpuNotVisible",
    says: /onMissing: UseCpu/,
  },
  {
    what: "it never becomes ready",
    spec: { ...SECOND, rollout: { progressDeadline: "2s" } },
    happens: async (pod) => void (await kubelet.run(pod)),
    reason: "ProgressDeadlineExceeded",
    says: /progressDeadline \(2s\).*log/,
  },
  {
    what: "its volume does not exist",
    spec: { ...SECOND, rollout: { progressDeadline: "12s" } },
    happens: (pod) => kubelet.unschedulable(pod, 'persistentvolumeclaim "models" not found'),
    reason: "ProgressDeadlineExceeded",
    says: /PersistentVolumeClaim models does not exist in this namespace; create it/,
  },
  {
    what: "it fails requests, or refuses those that the old one answers",
    spec: canary({ maxErrorRate: 0.05 }),
    happens: answers(({ diverted }) => (diverted.failed = 40)),
    reason: "AnalysisFailed",
    says: /40 of 200 requests failed \(analysis\.maxErrorRate 0\.05\); see the log of its pods/,
  },
  {
    what: "it is slow",
    spec: canary({ maxLatencyP99: "50ms" }),
    happens: answers(({ diverted }) => (diverted.latency = { [bucketOf(0.4)]: 200 })),
    reason: "AnalysisFailed",
    says: /analysis\.maxLatencyP99 50ms\); make the model smaller, or give its pods more cpu or a GPU/,
  },
  {
    what: "it answers otherwise",
    spec: canary({ maxPredictionDrift: 0.02 }, { shadow: { percent: 100 } }),
    happens: answers(({ shadow }) => Object.assign(shadow, { compared: 200, drifted: 30 })),
    reason: "AnalysisFailed",
    says: /30 of 200 answers differ.*check the model/,
  },
];

describe("A bad version leaves the good one serving, and status says why and what to do, when", () => {
  it.each(BAD.map((bad, index) => ({ ...bad, name: `bad-${index}` })))(
    "$what",
    async ({ name, spec = SECOND, happens, reason, says }) => {
      const status = (what: string, holds: Parameters<typeof space.status<"modeldeployments">>[3]) =>
        space.status("modeldeployments", name, what, holds, WITHIN);
      await space.create(modelDeployment(name));
      const { stableRevision: first = "" } = await status(
        "has a revision",
        ({ stableRevision }) => stableRevision !== undefined,
      );
      const serving = await serve(first, "1");
      await status("serves", (seen) => condition(seen, "Ready")?.reason === "Serving");

      await space.patch("modeldeployments", name, spec);
      const { canaryRevision: second = "" } = await status(
        "updates",
        ({ canaryRevision }) => canaryRevision !== undefined,
      );
      const [pod] = await kubelet.waitFor(labelOf(second));
      if (pod === undefined) throw new Error("there is no pod");
      await happens?.(pod, second, serving);

      const seen = await status("is given up", (now) => condition(now, "Ready")?.reason === "UpdateFailed");
      expect(seen.lastFailure).toMatchObject({ reason, revision: second });
      expect(seen.lastFailure?.message).toMatch(says);
      expect(condition(seen, "Ready")?.status).toBe("True");
      expect(condition(seen, "RolloutHealthy")).toMatchObject({ status: "False", reason });
      expect(seen.revisions?.find((revision) => revision.name === second)?.state).toBe("Failed");
      expect(seen).toMatchObject({ stableRevision: first, readyReplicas: 1, canaryWeight: 0 });
      const front = await space.waitChild("services", name);
      expect(front.spec.selector?.["modelwright.dev/revision"]).toBe(first);
      await space.waitEvent(name, "RolledBack");
      await kubelet.waitFor(labelOf(second), 0);
      expect(await kubelet.pods(labelOf(first))).toHaveLength(1);
    },
    120_000,
  );
});
