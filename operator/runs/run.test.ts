import { describe, expect, it } from "@jest/globals";
import { trainingRun } from "../../crds/contract/run.ts";
import type { TrainingJobStatus } from "../../crds/training-job.ts";
import { findCondition } from "../kernel/conditions.ts";
import type { Admission } from "../kueue/admission.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import { CONFIG, digest, NOW, pod, trainingJob } from "../testing/objects.ts";
import type { ConfigMapRecord, JobRecord } from "./job-record.ts";
import { attemptOf, jobFile, runJob } from "./objects.ts";
import type { JobReport, ObservedRun } from "./observed.ts";
import { planRun } from "./plan.ts";
import { knownConditions, runStatus } from "./status.ts";

type Spec = Record<string, unknown>;

const run = trainingRun(trainingJob());
const NAME = run.job.run;
const FORMER = "digits-0000000000";
const FORMER_ARTEFACT = { uri: `pvc://models/digits/${FORMER}`, digest: digest("f"), format: "TfjsLayers", bytes: 10 };
const ARTEFACT = { uri: `pvc://models/digits/${NAME}`, digest: digest("a"), format: "TfjsLayers", bytes: 10 };

interface World {
  spec?: Spec;
  status?: TrainingJobStatus;
  job?: Partial<JobRecord> & { deleting?: boolean; of?: Spec };
  formerJob?: boolean;
  /** The former Job is done, and its pods are there. */
  formerPods?: PodRecord[];
  /** The spec that the ConfigMap was last used with; undefined: there is none. */
  map?: Spec;
  pods?: PodRecord[];
  /** Names of Services. */
  services?: string[];
  report?: JobReport;
  admission?: Admission;
}

function metadata(name: string, annotations: Record<string, string>) {
  return { metadata: { name, namespace: "lab", uid: `uid-of-${name}`, resourceVersion: "1", annotations } };
}

function annotations(of: Spec): Record<string, string> {
  const { attempt, template } = attemptOf(trainingJob(of));
  return { "modelwright.dev/attempt": attempt, "modelwright.dev/template": template };
}

const data = (of: Spec) => ({ "job.json": jobFile(trainingRun(trainingJob(of))) });

const formerData = {
  "job.json": JSON.stringify({
    ...run,
    job: { ...run.job, run: FORMER },
    output: { ...run.output, uri: FORMER_ARTEFACT.uri },
  }),
};

/** What decisions see. The Job and the ConfigMap are those of the spec `of` and `map`. */
function observe(world: World): ObservedRun {
  const {
    spec = {},
    status,
    job,
    formerJob = false,
    formerPods = [],
    map,
    pods = [],
    services: names = [],
    report,
    admission,
  } = world;
  const owner = trainingJob(spec, status);
  const { deleting = false, of = spec, ...rest } = job ?? {};
  const record = (name: string): JobRecord => {
    const base = metadata(name, annotations(of));
    const { queueName } = trainingJob(of).spec;
    if (queueName !== undefined) Object.assign(base.metadata, { labels: { "kueue.x-k8s.io/queue-name": queueName } });
    if (deleting) Object.assign(base.metadata, { deletionTimestamp: "2026-01-01T12:00:00Z" });
    return { ...base, createdAt: "", suspend: false, backoffLimit: 3, failed: 0, complete: false, ...rest };
  };
  const configMaps: ConfigMapRecord[] =
    map === undefined ? [] : [{ ...metadata(NAME, annotations(map)), immutable: true, data: data(map) }];
  if (formerJob) configMaps.push({ ...metadata(FORMER, {}), immutable: true, data: formerData });
  const jobs = [
    ...(job === undefined ? [] : [record(NAME)]),
    ...(formerJob ? [{ ...record(FORMER), complete: formerPods.length > 0 }] : []),
  ];
  const services = names.map((name) => metadata(name, {}));
  return {
    owner,
    run: trainingRun(owner),
    config: CONFIG,
    now: NOW,
    configMaps,
    jobs,
    services,
    pods,
    formerPods,
    report,
    admission,
  };
}

/** The writes, as `verb plural`. */
function plan(world: World): string[] {
  return planRun(observe(world)).map(({ verb, resource }) => `${verb} ${resource.plural}`);
}

function conditionsOf(status: TrainingJobStatus) {
  const of = (type: string) => findCondition(knownConditions(status), type);
  return {
    complete: of("Complete"),
    failed: of("Failed"),
    suspended: of("Suspended"),
    reconciling: of("Reconciling"),
    stalled: of("Stalled"),
  };
}

const ended = (exitCode: number, report?: object) =>
  pod({
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    ended: {
      exitCode,
      finishedAt: "2026-01-01T11:59:00Z",
      message: report === undefined ? "" : JSON.stringify(report),
    },
  });

/** A pod of the former Job that has ended well. */
function formerPod(): PodRecord {
  const done = ended(0, progress({ run: FORMER, state: "Succeeded", artefact: FORMER_ARTEFACT }));
  const owner = { apiVersion: "batch/v1", kind: "Job", name: FORMER, uid: `uid-of-${FORMER}`, controller: true };
  return { ...done, metadata: { ...done.metadata, ownerReferences: [owner] } };
}

const progress = (more: object = {}): JobReport => ({
  kind: "TrainingProgress",
  run: NAME,
  state: "Training",
  progressPercent: 40,
  etaSeconds: 9,
  epoch: 1,
  epochs: 1,
  step: 3,
  ...more,
});

const SUCCEEDED: TrainingJobStatus = { run: NAME, state: "Succeeded", artefact: ARTEFACT };
const FAILED: TrainingJobStatus = {
  run: NAME,
  state: "Failed",
  lastFailure: { reason: "OutOfMemory", message: "raise it", time: "2026-01-01T11:00:00Z" },
};
const FAILURE = { reason: "BackoffLimitExceeded", message: "", time: "2026-01-01T11:59:30Z" };
const MORE = { resources: { limits: { memory: "4Gi" } } };

describe("what is written for a run", () => {
  it.each<World & { what: string; writes: string[] }>([
    { what: "begins it", writes: ["create configmaps", "create jobs"] },
    { what: "goes on after a cut", map: {}, writes: ["create jobs"] },
    { what: "is nothing while it goes on", map: {}, job: {}, writes: [] },
    { what: "waits until a Job of that name has gone", map: {}, job: { deleting: true }, writes: [] },
    {
      what: "removes what belongs to a former spec",
      map: {},
      job: {},
      formerJob: true,
      writes: ["delete jobs", "delete configmaps"],
    },
    {
      what: "keeps a Job of a former spec until its result is recorded",
      map: {},
      job: {},
      formerJob: true,
      formerPods: [formerPod()],
      writes: [],
    },
    {
      what: "removes it afterwards",
      status: { run: NAME, artefact: FORMER_ARTEFACT },
      map: {},
      job: {},
      formerJob: true,
      formerPods: [formerPod()],
      writes: ["delete jobs", "delete configmaps"],
    },
    { what: "suspends it", spec: { suspend: true }, map: {}, job: { of: {} }, writes: ["patch jobs"] },
    { what: "resumes it", map: {}, job: { suspend: true }, writes: ["patch jobs"] },
    {
      what: "starts anew when the pod's resources change",
      spec: MORE,
      map: {},
      job: { of: {} },
      writes: ["delete jobs"],
    },
    {
      what: "starts anew when states are to be saved at other times",
      spec: { checkpoint: { everySteps: 500 } },
      map: {},
      job: { of: {} },
      writes: ["delete jobs"],
    },
    {
      what: "tells it to the new pod",
      spec: { checkpoint: { everySteps: 500 } },
      map: {},
      writes: ["delete configmaps"],
    },
    {
      what: "keeps what a finished run was told",
      spec: { checkpoint: { everySteps: 500 } },
      status: SUCCEEDED,
      map: {},
      writes: [],
    },
    {
      what: "tries again when it forgot how a failed run was told",
      status: FAILED,
      writes: ["create configmaps", "create jobs"],
    },
    { what: "changes limits in place", spec: { backoffLimit: 5 }, map: {}, job: { of: {} }, writes: ["patch jobs"] },
    {
      what: "leaves a finished Job alone until its result is recorded",
      spec: { ttlSecondsAfterFinished: 5 },
      map: {},
      job: { complete: true },
      pods: [ended(0)],
      writes: [],
    },
    {
      what: "lets it be removed afterwards",
      spec: { ttlSecondsAfterFinished: 5 },
      status: SUCCEEDED,
      map: {},
      job: { complete: true },
      writes: ["patch jobs"],
    },
    { what: "is nothing when the Job has gone after success", status: SUCCEEDED, map: {}, writes: [] },
    { what: "is nothing when resources change after success", spec: MORE, status: SUCCEEDED, map: {}, writes: [] },
    { what: "finds a result again that nobody recorded", map: {}, job: { complete: true }, writes: ["delete jobs"] },
    { what: "is nothing after a failure", status: FAILED, map: {}, job: { failure: FAILURE }, writes: [] },
    { what: "is nothing when the Job has gone after a failure", status: FAILED, map: {}, writes: [] },
    {
      what: "tries again when resources change after a failure",
      spec: MORE,
      status: FAILED,
      map: {},
      job: { of: {}, failure: FAILURE },
      writes: ["delete jobs"],
    },
    { what: "tries again also when the Job has gone", spec: MORE, status: FAILED, map: {}, writes: ["create jobs"] },
    { what: "remembers the new attempt", spec: MORE, map: {}, job: { of: MORE }, writes: ["patch configmaps"] },
    {
      what: "does not try again before the failure is recorded",
      spec: MORE,
      map: {},
      job: { of: {}, failure: FAILURE },
      writes: [],
    },
  ])("$what", ({ writes, ...world }) => {
    expect(plan(world)).toEqual(writes);
  });

  it.each<World & { what: string }>([
    { what: "that a former spec made", map: {}, job: {}, formerJob: true },
    { what: "whose pods must change", spec: MORE, map: {}, job: { of: {} } },
  ])("removes a Job $what only as it was seen: one that has ended meanwhile is looked at again", (world) => {
    const jobs = planRun(observe(world)).filter(({ resource }) => resource.plural === "jobs");
    expect(jobs).toMatchObject([{ verb: "delete", metadata: { resourceVersion: "1" } }]);
  });

  it("keeps retries to failures that may pass", () => {
    const { podFailurePolicy } = runJob(trainingJob(), run, CONFIG).spec;
    expect(podFailurePolicy.rules).toEqual([
      { action: "FailJob", onExitCodes: { containerName: "runtime", operator: "In", values: [64, 65, 66, 78] } },
      { action: "Ignore", onExitCodes: { containerName: "runtime", operator: "In", values: [143] } },
      { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
    ]);
  });
});

/** A worker that was told to stop. */
const worker = (name: string, index: number, said: object) => ({
  ...ended(143, said),
  metadata: pod({ name }).metadata,
  worker: index,
  createdAt: `2026-01-01T11:00:0${index}Z`,
});

describe("the status of a run", () => {
  it("says how far it is, and that a run ends with its pod only", () => {
    const running = pod({ phase: "Running", running: true, startedAt: "2026-01-01T11:58:00Z" });
    const world = { map: {}, job: {}, pods: [running] };
    expect(runStatus(observe(world), undefined).status.state).toBe("Starting");
    const { status } = runStatus(observe({ ...world, report: progress() }), undefined);
    expect(status).toMatchObject({
      state: "Training",
      progressPercent: 40,
      etaSeconds: 9,
      startTime: "2026-01-01T11:58:00Z",
    });
    expect(conditionsOf(status)).toMatchObject({ complete: { status: "False" }, reconciling: { reason: "Running" } });
    const early = progress({ state: "Succeeded", artefact: ARTEFACT });
    const before: TrainingJobStatus = { run: NAME, state: "Uploading" };
    const { status: after } = runStatus(observe({ ...world, status: before, report: early }), undefined);
    expect(after).toMatchObject({ state: "Uploading" });
    expect(after.artefact).toBeUndefined();
  });

  it("takes the result from the pod's last words", () => {
    const pods = [ended(0, progress({ state: "Succeeded", progressPercent: 100, artefact: ARTEFACT }))];
    const { status, notes } = runStatus(observe({ map: {}, job: { complete: true }, pods }), undefined);
    expect(status).toMatchObject({ state: "Succeeded", progressPercent: 100, artefact: ARTEFACT });
    expect(conditionsOf(status)).toMatchObject({
      complete: { status: "True" },
      reconciling: undefined,
      stalled: undefined,
    });
    expect(notes.map(({ reason }) => reason)).toEqual(["ArtefactWritten"]);
  });

  it("does not fall back while a pod has ended well and its Job does not know", () => {
    const before: TrainingJobStatus = { run: NAME, state: "Uploading", progressPercent: 99 };
    const pods = [ended(0, progress({ state: "Succeeded", progressPercent: 100, artefact: ARTEFACT }))];
    const { status } = runStatus(observe({ status: before, map: {}, job: {}, pods }), undefined);
    expect(status).toMatchObject({ state: "Uploading", progressPercent: 100 });
    expect(conditionsOf(status)).toMatchObject({ complete: { status: "False" }, reconciling: { reason: "Running" } });
    expect(status.artefact).toBeUndefined();
  });

  it("shows the result of a former run that ended as the spec was changed", () => {
    const world = { map: {}, job: {}, formerJob: true, formerPods: [formerPod()] };
    const { status } = runStatus(observe(world), undefined);
    expect(status).toMatchObject({ run: NAME, state: "Pending", artefact: FORMER_ARTEFACT });
  });

  it.each(["pvc://models/digits/other", "pvc://models/../secrets", "/etc"])(
    "does not take an artefact at %s: that is not where the run puts it",
    (uri) => {
      const elsewhere = progress({ state: "Succeeded", artefact: { ...ARTEFACT, uri } });
      const world = { map: {}, job: { complete: true }, pods: [ended(0, elsewhere)] };
      const { status } = runStatus(observe(world), undefined);
      expect(status).toMatchObject({ state: "Failed", lastFailure: { reason: "ResultMissing" } });
      expect(status.artefact).toBeUndefined();
    },
  );

  it("does not take the result of another run", () => {
    const other = progress({ run: "digits-0000000000", state: "Succeeded", artefact: ARTEFACT });
    const { status } = runStatus(observe({ map: {}, job: { complete: true }, pods: [ended(0, other)] }), undefined);
    expect(status).toMatchObject({ state: "Failed", lastFailure: { reason: "ResultMissing" } });
  });

  it.each([
    { what: "the last try", failure: FAILURE, pods: [ended(70)], reason: "InternalError", says: "(tried 4 times)" },
    {
      what: "a failure that is not retried",
      failure: { ...FAILURE, reason: "PodFailurePolicy" },
      pods: [ended(65)],
      reason: "DataRejected",
      says: "correct the files",
    },
    {
      what: "the deadline",
      failure: { ...FAILURE, reason: "DeadlineExceeded" },
      pods: [],
      reason: "DeadlineExceeded",
      says: "spec.activeDeadlineSeconds",
    },
    { what: "pods that have gone", failure: FAILURE, pods: [], reason: "PodFailed", says: `events of Job ${NAME}` },
  ])("says why it failed: $what", ({ failure, pods, reason, says }) => {
    const { status } = runStatus(observe({ map: {}, job: { failure, failed: 4 }, pods }), undefined);
    expect(status).toMatchObject({ state: "Failed", lastFailure: { reason, message: expect.stringContaining(says) } });
    expect(conditionsOf(status)).toMatchObject({
      failed: { status: "True", reason },
      stalled: { status: "True", reason },
    });
  });

  it("shows a failure that is retried, and forgets it after success", () => {
    const { status } = runStatus(observe({ map: {}, job: { failed: 1 }, pods: [ended(70)] }), undefined);
    expect(status).toMatchObject({ state: "Pending", restarts: 1, lastFailure: { reason: "InternalError" } });
    const pods = [ended(0, progress({ state: "Succeeded", artefact: ARTEFACT }))];
    const after = runStatus(observe({ status, map: {}, job: { complete: true, failed: 1 }, pods }), undefined);
    expect(after.status.lastFailure).toBeUndefined();
  });

  it("holds what a hostile pod says to one line that the API server takes", () => {
    const words = "\u001b[2J\nsecond line \ud800".padEnd(1024, "x");
    const failure = { reason: "InternalError", message: words, exitCode: 70 };
    const hostile = progress({ failure, device: "G\u0007PU", metrics: { "\u001bname\n": 0.123_456_789 } });
    const world = { map: {}, job: { failure: FAILURE, failed: 4 }, pods: [ended(70, hostile)] };
    const { status, report } = runStatus(observe(world), undefined);
    const { message = "" } = status.lastFailure ?? {};
    expect(message).toMatch(/^ \[2J second line \ufffdx/);
    expect(message.length).toBeLessThanOrEqual(1024);
    expect(status.device).toBe("G PU");
    expect(report).toMatchObject({ metrics: { " name ": 0.12346 } });
    const again = runStatus(observe({ ...world, status }), undefined);
    expect(again.status).toEqual(status);
    expect(again.notes).toEqual([]);
  });

  it("counts neither SIGTERM nor a disruption as a failure", () => {
    const pods = [ended(143), { ...ended(137), disrupted: true }];
    const { status } = runStatus(observe({ map: {}, job: {}, pods }), undefined);
    expect(status.state).toBe("Pending");
    expect(status.lastFailure).toBeUndefined();
  });

  it("shows what a pod said when it ended, until the next one trains", () => {
    const said = progress({ state: "Failed", failure: { reason: "Terminated", message: "", exitCode: 143 } });
    const pods = [
      ended(143, said),
      { ...ended(70), metadata: pod({ name: "older" }).metadata, createdAt: "2025-01-01T00:00:00Z" },
    ];
    for (const job of [{ suspend: true }, {}]) {
      const { report, status } = runStatus(observe({ map: {}, job, pods }), undefined);
      expect(report).toEqual(said);
      expect(status.progressPercent).toBe(40);
    }
    const next = pod({ name: "next", phase: "Running", running: true, createdAt: "2026-01-01T12:00:00Z" });
    const starting = progress({ state: "Starting", progressPercent: 0, epoch: 0, step: 0 });
    const world = { map: {}, job: {}, pods: [...pods, next], report: starting };
    const { report, status } = runStatus(observe({ ...world, status: { run: NAME, progressPercent: 40 } }), undefined);
    expect(report).toBeUndefined();
    expect(status).toMatchObject({ state: "Starting", progressPercent: 40 });
  });

  it("shows what the first of several workers said when all had ended", () => {
    const failure = { reason: "Terminated", message: "", exitCode: 143 };
    const first = progress({ state: "Failed", step: 71, failure });
    const other = progress({ state: "Failed", step: 0, progressPercent: 0, failure });
    const pods = [worker("second", 1, other), worker("first", 0, first)];
    const { report } = runStatus(observe({ map: {}, job: { suspend: true }, pods }), undefined);
    expect(report).toEqual(first);
  });

  it.each([
    { what: "the Job has gone", world: {} },
    { what: "the Job goes", world: { job: { complete: true, deleting: true } } },
    { what: "the pods have gone", world: { job: { complete: true } } },
  ])("keeps a recorded result when $what", ({ world }) => {
    const { status } = runStatus(observe({ status: SUCCEEDED, map: {}, ...world }), undefined);
    expect(status).toMatchObject({ state: "Succeeded", artefact: ARTEFACT });
  });

  it("keeps the artefact of the former run until there is a new one, and nothing else of it", () => {
    const former: TrainingJobStatus = {
      ...SUCCEEDED,
      run: "digits-0000000000",
      progressPercent: 100,
      startTime: "2026-01-01T10:00:00Z",
    };
    const { status, fresh } = runStatus(observe({ status: former }), undefined);
    expect(fresh).toBe(true);
    expect(status).toMatchObject({ run: NAME, state: "Pending", progressPercent: 0, artefact: ARTEFACT });
    expect(status.startTime).toBeUndefined();
  });

  it("says what was refused, and whether waiting helps", () => {
    const failure = { reason: "InvalidSpec", message: "correct spec" } as const;
    const wrong = runStatus(observe({}), { failure, child: NAME, mayPass: false });
    expect(wrong.status).toMatchObject({ state: "Failed", lastFailure: failure });
    const quota = runStatus(observe({}), {
      failure: { ...failure, reason: "QuotaExceeded" },
      child: NAME,
      mayPass: true,
    });
    expect(quota.status).toMatchObject({ state: "Pending" });
    expect(conditionsOf(quota.status).reconciling?.reason).toBe("QuotaExceeded");
  });

  it("is the same when nothing has changed", () => {
    const world = { map: {}, job: {}, pods: [pod({ waiting: { reason: "ImagePullBackOff", message: "" } })] };
    const first = runStatus(observe(world), undefined);
    const again = runStatus({ ...observe({ ...world, status: first.status }), now: NOW + 60_000 }, undefined);
    expect(again.status).toEqual(first.status);
    expect(again.notes).toEqual([]);
  });
});

const told = (world: World) => runStatus(observe(world), undefined);

describe("a run with spec.queueName", () => {
  const spec = { queueName: "team-a" };
  const waits = { reason: "WaitingForQuota", message: "1 more needed", position: 3 } as const;
  const admission = { reason: "Admitted", message: "admitted by ClusterQueue team", clusterQueue: "team" } as const;
  const queuedJob = { job: { suspend: true }, map: spec, spec };
  it("has a Job that names the queue and is suspended, of several workers too", () => {
    for (const more of [{}, { workers: 2 }]) {
      const job = runJob(trainingJob({ ...spec, ...more }), run, CONFIG);
      expect(job.metadata.labels).toMatchObject({ "kueue.x-k8s.io/queue-name": "team-a" });
      expect(job.spec.suspend).toBe(true);
    }
    expect(runJob(trainingJob(), run, CONFIG).metadata.labels).not.toHaveProperty("kueue.x-k8s.io/queue-name");
  });

  it("leaves it to Kueue when the Job starts and stops", () => {
    expect(plan(queuedJob)).toEqual([]);
    expect(plan({ ...queuedJob, job: { suspend: false } })).toEqual([]);
    const [patch] = planRun(observe({ ...queuedJob, job: { suspend: false, backoffLimit: 1 } }));
    expect(patch).toMatchObject({ verb: "patch", patch: { spec: { backoffLimit: 3 } } });
    expect(JSON.stringify(patch)).not.toContain("suspend");
  });

  it("has no Job while its user suspends it, and a new one afterwards", () => {
    const suspended = { ...spec, suspend: true };
    expect(plan({ spec: suspended, map: spec, job: { of: spec } })).toEqual(["delete jobs"]);
    expect(plan({ spec: suspended, map: spec })).toEqual([]);
    expect(told({ spec: suspended, map: spec }).status).toMatchObject({ state: "Suspended" });
    expect(plan({ spec, map: spec })).toEqual(["create jobs"]);
  });

  it.each([
    ["another queue", { queueName: "team-b" }, spec],
    ["a queue", spec, {}],
    ["no queue", {}, spec],
  ])("gets a new Job for %s, and a finished one stays", (_what, wanted, of) => {
    expect(plan({ spec: wanted, map: of, job: { of } })).toEqual(["delete jobs"]);
    const finished = { spec: wanted, map: of, job: { of, complete: true }, status: SUCCEEDED };
    expect(plan(finished)).toEqual([]);
  });

  it("says what it waits for, and its place", () => {
    const { status, notes } = told({ ...queuedJob, admission: waits });
    expect(status).toMatchObject({ state: "Queued", queue: { position: 3 } });
    expect(findCondition(knownConditions(status), "Queued")).toMatchObject({
      status: "True",
      reason: "WaitingForQuota",
      message: "1 more needed",
    });
    expect(conditionsOf(status).reconciling?.reason).toBe("WaitingForQuota");
    expect(status.lastFailure).toBeUndefined();
    expect(notes.map(({ reason }) => reason)).toEqual(["WaitingForQuota"]);
    const later = { ...queuedJob, status, admission: { ...waits, position: 2 } };
    expect(told(later)).toMatchObject({ status: { queue: { position: 2 } }, notes: [] });
  });

  it("needs a person where Kueue is missing or the queue is", () => {
    for (const reason of ["KueueNotInstalled", "Inadmissible"] as const) {
      const { status, notes } = told({ ...queuedJob, admission: { reason, message: "do this" } });
      expect(conditionsOf(status).stalled).toMatchObject({ status: "True", reason, message: "do this" });
      expect(notes).toEqual([{ type: "Warning", reason, message: "do this" }]);
    }
  });

  it("says that it was admitted, and by whom", () => {
    const { status, notes } = told({ ...queuedJob, job: { suspend: false }, admission });
    expect(status).toMatchObject({ state: "Pending", queue: { clusterQueue: "team" } });
    expect(findCondition(knownConditions(status), "Queued")).toMatchObject({ status: "False", reason: "Admitted" });
    expect(notes.map(({ reason }) => reason)).toEqual(["Admitted"]);
  });

  it("keeps its progress when it is preempted, which is no failure", () => {
    const running = told({
      ...queuedJob,
      job: { suspend: false },
      admission,
      pods: [pod({ running: true })],
      report: progress(),
    }).status;
    const { status, notes } = told({
      ...queuedJob,
      status: running,
      admission: { reason: "Preempted", message: "by another", position: 1 },
    });
    expect(status).toMatchObject({ state: "Queued", progressPercent: 40, restarts: 0, queue: { position: 1 } });
    expect(status.lastFailure).toBeUndefined();
    expect(findCondition(knownConditions(status), "Failed")?.status).toBe("False");
    expect(notes.map(({ reason }) => reason)).toEqual(["Preempted"]);
  });
});
