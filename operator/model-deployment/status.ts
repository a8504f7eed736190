/** What the status of a ModelDeployment says, and the events of its changes. */
import type { ModelDeploymentStatus, RevisionState } from "../../crds/model-deployment.ts";
import type { Refusal } from "../children.ts";
import { timestamp } from "../kernel/clock.ts";
import { type Condition, findCondition, isTrue, setCondition } from "../kernel/conditions.ts";
import { present } from "../pods/pod-record.ts";
import { QUEUE_REASONS } from "../kueue/admission.ts";
import { queueNotes } from "../kueue/notes.ts";
import { type Failure, failureNote, type Note } from "../reasons.ts";
import { round } from "../presentable.ts";
import { knownConditions } from "../runs/status.ts";
import { type Health, healthOf } from "./health.ts";
import { GRPC_PORT } from "./objects.ts";
import { digestOf, isGivenUp, type RevisionView } from "./observed.ts";
import { revisionProblem } from "./problem.ts";
import { queueCondition } from "./queue.ts";
import { heard } from "./rollout/decide.ts";
import type { RouteState } from "./route/http-route.ts";
import { ROUTE_CONDITION } from "./route/routes.ts";
import { selectorText } from "./rollout.ts";
import { reportsOf, type Situation } from "./situation.ts";

export interface DeploymentOutcome {
  readonly status: ModelDeploymentStatus;
  readonly notes: readonly Note[];
}

export function deploymentStatus(
  situation: Situation,
  refusal: Refusal | undefined,
  route?: RouteState,
): DeploymentOutcome {
  const { observed, views, stable, update } = situation;
  const { owner } = observed;
  const before = owner.status ?? {};
  const view = stable === undefined ? undefined : views.get(stable);
  const health = healthOf(situation, refusal);
  const status = present({
    observedGeneration: owner.metadata.generation,
    conditions: conditions(situation, before, health, route),
    url: `http://${owner.metadata.name}.${owner.metadata.namespace}.svc`,
    grpcUrl: `${owner.metadata.name}.${owner.metadata.namespace}.svc:${GRPC_PORT.port}`,
    hostnames: route?.ready === true ? owner.spec.route?.hostnames : undefined,
    replicas: view?.deployment?.replicas ?? 0,
    readyReplicas: view?.deployment?.ready ?? 0,
    desiredReplicas: situation.replicas,
    selector: selectorText(situation),
    model: modelOf(situation, view),
    ...measured(situation, view, before),
    stableRevision: stable,
    canaryRevision: update,
    canaryWeight: update === undefined ? 0 : weightOf(situation, update),
    step: stepOf(situation),
    revisions: revisions(situation, before),
    lastFailure: lastFailure(situation, before, health, refusal),
  });
  return { status, notes: [...notes(situation, before, status, health, refusal), ...routeNotes(before, route)] };
}

function modelOf(
  { observed, stable, desired }: Situation,
  view: RevisionView | undefined,
): ModelDeploymentStatus["model"] {
  const { resolution } = observed;
  const known = resolution.state === "Known" && stable === desired ? resolution.model : undefined;
  const model = view?.revision?.run.model ?? known;
  return model && present({ uri: model.uri, digest: model.digest });
}

type Measured = Pick<ModelDeploymentStatus, "engine" | "engineReason" | "device" | "performance">;

/** From a pod that serves; kept while none can be asked, dropped with the revision. */
function measured(situation: Situation, view: RevisionView | undefined, before: ModelDeploymentStatus): Measured {
  const { observed, stable } = situation;
  const coldStartSeconds = coldStart(situation, before);
  const [report] = (view?.pods ?? [])
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .map((pod) => observed.reports.get(pod.metadata.uid))
    .filter((candidate) => candidate?.state === "Serving");
  if (report === undefined) {
    const { engine, engineReason, device, performance } = before.stableRevision === stable ? before : {};
    return {
      engine,
      engineReason,
      device,
      performance: coldStartSeconds === undefined ? performance : { ...performance, coldStartSeconds },
    };
  }
  const { engine, engineReason, device, loadSeconds, warmupSeconds, peakMemoryBytes } = report;
  return {
    engine,
    engineReason,
    device,
    performance: present({
      loadSeconds: rounded(loadSeconds),
      warmupSeconds: rounded(warmupSeconds),
      peakMemoryBytes,
      coldStartSeconds,
    }),
  };
}

/** A request has found no pods, and now there is one. */
function wakes({ observed, views, stable }: Situation): boolean {
  const pods = views.get(stable ?? "")?.pods ?? [];
  return observed.scaling.wokenAt !== undefined && pods.some(({ ready, ip }) => ready && ip !== undefined);
}

function coldStart(situation: Situation, before: ModelDeploymentStatus): number | undefined {
  const { now, scaling } = situation.observed;
  if (wakes(situation) && scaling.wokenAt !== undefined) return round((now - scaling.wokenAt) / 1000);
  return before.stableRevision === situation.stable ? before.performance?.coldStartSeconds : undefined;
}

function rounded(value: number | undefined): number | undefined {
  return value === undefined ? undefined : round(value);
}

function revisions(situation: Situation, before: ModelDeploymentStatus): ModelDeploymentStatus["revisions"] {
  const { observed, views, desired } = situation;
  const known = [...views.values()];
  const coming: RevisionView[] =
    desired === undefined || views.has(desired) ? [] : [{ name: desired, pods: [], superseded: false, progress: {} }];
  return [...coming, ...known]
    .toSorted((a, b) => rank(situation, a) - rank(situation, b) || (b.startedAt ?? 0) - (a.startedAt ?? 0))
    .map((view) => {
      const state = stateOf(situation, view);
      const old = before.revisions?.find(({ name }) => name === view.name);
      return present({
        name: view.name,
        modelUri: view.revision?.run.model.uri,
        modelDigest: digestOf(view),
        state,
        replicas: view.deployment?.replicas ?? 0,
        readyReplicas: view.deployment?.ready ?? 0,
        weight: weightOf(situation, view.name),
        since: old?.state === state ? old.since : timestamp(observed.now),
      });
    });
}

/** What is asked for comes first, then what serves, then history. */
function rank({ stable, desired }: Situation, { name }: RevisionView): number {
  if (name === desired) return 0;
  return name === stable ? 1 : 2;
}

/** Percent of the requests that a revision answers. */
function weightOf(situation: Situation, name: string): number {
  const { stable, update, views } = situation;
  if (name === update) return round(shared(situation));
  return name === stable && (views.get(name)?.deployment?.ready ?? 0) > 0 ? round(100 - shared(situation)) : 0;
}

/** What the pods that serve give away by their own account: they follow what they are told a moment later. */
function shared({ observed, stable, decision, views }: Situation): number {
  if (decision?.share === undefined || decision.failure !== undefined) return 0;
  const weights = heard(reportsOf(observed, views.get(stable ?? ""))).map(({ weight }) => weight);
  return weights.length === 0 ? 0 : weights.reduce((all, weight) => all + weight, 0) / weights.length;
}

/** Of a canary; the first is 1. */
function stepOf({ observed, views, update = "" }: Situation): number | undefined {
  const { step } = views.get(update)?.progress ?? {};
  return observed.owner.spec.rollout.strategy === "Canary" && step !== undefined ? step + 1 : undefined;
}

function stateOf(situation: Situation, view: RevisionView): RevisionState {
  const { observed, stable, desired, update, replicas } = situation;
  const { name, deployment, pods } = view;
  const ready = (deployment?.ready ?? 0) > 0;
  if (isGivenUp(view)) return "Failed";
  if (name !== stable && name !== desired && name !== update) return "Retired";
  if (ready && weightOf(situation, name) > 0) return "Serving";
  if (revisionProblem(view, observed, replicas)?.final === true) return "Failed";
  const warming = pods.some((pod) => observed.reports.get(pod.metadata.uid)?.state === "Warming");
  // Ready, and without requests so far.
  if (ready || warming) return "Warming";
  return pods.some((pod) => pod.running) ? "Loading" : "Pending";
}

function conditions(
  { observed }: Situation,
  before: ModelDeploymentStatus,
  health: Health,
  route: RouteState | undefined,
): Condition[] {
  const { owner, now } = observed;
  const inQueue = queueCondition(observed, health.waiting);
  const observedGeneration = owner.metadata.generation;
  const { reason, message } = health;
  const change = (type: string, holds: boolean) =>
    ({ type, status: holds ? "True" : "False", reason, message, observedGeneration }) as const;
  const changes = [
    change("Ready", health.ready),
    change("ModelLoaded", health.loaded),
    change("Progressing", health.progressing),
    {
      ...change("RolloutHealthy", health.rollout.healthy),
      reason: health.rollout.reason,
      message: health.rollout.message,
    },
    {
      ...change("Suspended", owner.spec.suspend),
      ...(owner.spec.suspend ? {} : { reason: "NotSuspended", message: "" }),
    },
    {
      ...change("ScaledToZero", health.reason === "ScaledToZero"),
      ...(health.reason === "ScaledToZero" ? {} : { reason: "NotScaledToZero", message: "" }),
    },
    ...(route === undefined
      ? []
      : [{ ...change(ROUTE_CONDITION, route.ready), reason: route.reason, message: route.message }]),
    ...(health.abnormal === undefined ? [] : [change(health.abnormal, true)]),
    ...(inQueue === undefined ? [] : [{ ...inQueue, type: "Queued", observedGeneration }]),
  ];
  const passing = [
    "Reconciling",
    "Stalled",
    ...(inQueue === undefined ? ["Queued"] : []),
    ...(route === undefined ? [ROUTE_CONDITION] : []),
  ];
  const kept = knownConditions(before).filter(({ type }) => !passing.includes(type) || type === health.abnormal);
  return changes.reduce((all, next) => setCondition(all, next, now), kept);
}

function lastFailure(
  situation: Situation,
  before: ModelDeploymentStatus,
  health: Health,
  refusal: Refusal | undefined,
): ModelDeploymentStatus["lastFailure"] {
  const { observed, stable, desired } = situation;
  const old = before.lastFailure;
  const found = currentFailure(situation, refusal);
  if (found === undefined) {
    // A failure of a revision that nobody asks for any more is history once all is well.
    const isOver = health.reason === "Serving" && stable === desired && old?.revision !== stable;
    return isOver ? undefined : old;
  }
  const { revision, failure } = found;
  const { reason, message, exitCode } = failure;
  const same = old?.reason === reason && old.message === message && old.revision === revision;
  // Pods that are started again and again fail again and again: the first time counts.
  const time = same ? old.time : (failure.time ?? timestamp(observed.now));
  return present({ reason, message, exitCode, revision, time });
}

const WAITS: readonly string[] = [
  "WaitingForGpu",
  "Unschedulable",
  "ClaimUnbound",
  "ClaimInUse",
  "QuotaExceeded",
  "SchedulingGated",
  ...QUEUE_REASONS,
];

function currentFailure(
  { observed, views, stable, desired, replicas }: Situation,
  refusal: Refusal | undefined,
): { failure: Failure; revision: string | undefined } | undefined {
  if (refusal !== undefined) {
    return WAITS.includes(refusal.failure.reason) ? undefined : { failure: refusal.failure, revision: desired };
  }
  if (observed.resolution.state === "Wrong") return { failure: observed.resolution.failure, revision: undefined };
  for (const revision of [desired, stable]) {
    const view = revision === undefined ? undefined : views.get(revision);
    if (view === undefined) continue;
    if (isGivenUp(view) && view.failure !== undefined) return { failure: view.failure, revision };
    const failure = revisionProblem(view, observed, replicas)?.failure;
    if (failure !== undefined && !WAITS.includes(failure.reason)) return { failure, revision };
  }
  return undefined;
}

/** Once for each thing that is wrong with the route. */
function routeNotes(before: ModelDeploymentStatus, route: RouteState | undefined): Note[] {
  const old = findCondition(knownConditions(before), ROUTE_CONDITION);
  if (route?.wrong !== true || (old?.reason === route.reason && old.message === route.message)) return [];
  return [{ type: "Warning", reason: "Failed", message: `${route.reason}: ${route.message}` }];
}

/** It started without trouble: its conditions tell that, and when, without an event for each new object. */
function isFirstStart(before: ModelDeploymentStatus, status: ModelDeploymentStatus): boolean {
  const since = (type: string) => findCondition(knownConditions(before), type)?.lastTransitionTime;
  // Neither has changed since the first status, so it has never been loaded.
  const wasNever = since("ModelLoaded") === since("Suspended");
  return wasNever && before.lastFailure === undefined && status.revisions?.length === 1;
}

function notes(
  situation: Situation,
  before: ModelDeploymentStatus,
  status: ModelDeploymentStatus,
  health: Health,
  refusal: Refusal | undefined,
): Note[] {
  const was = (type: string) => isTrue(knownConditions(before), type);
  const is = (type: string) => isTrue(knownConditions(status), type);
  const all: Note[] = [];
  const isLoaded = is("ModelLoaded") && (!was("ModelLoaded") || before.stableRevision !== status.stableRevision);
  if (isLoaded && !isFirstStart(before, status)) {
    const { uri = "", digest = "not known yet" } = status.model ?? {};
    all.push({ type: "Normal", reason: "ModelLoaded", message: `${uri} is loaded, digest ${digest}` });
  }
  const { coldStartSeconds } = status.performance ?? {};
  if (coldStartSeconds !== undefined && wakes(situation)) {
    const message = `the first pod was ready ${coldStartSeconds} s after the first request`;
    all.push({ type: "Normal", reason: "ColdStart", message });
  }
  if (is("Suspended") && !was("Suspended")) {
    all.push({ type: "Normal", reason: "Suspended", message: "all pods are stopped" });
  }
  if (was("Suspended") && !is("Suspended")) {
    all.push({ type: "Normal", reason: "Resumed", message: "pods are started again" });
  }
  const { lastFailure: failure } = status;
  const isNews =
    failure !== undefined &&
    (before.lastFailure?.message !== failure.message || before.lastFailure.revision !== failure.revision);
  // A revision that was given up has its own event.
  if (isNews && (refusal !== undefined || health.reason !== "UpdateFailed")) {
    all.push(failureNote(refusal?.failure ?? (failure as Failure)));
  }
  const waits = knownConditions(status).find(({ type }) => type === "Reconciling");
  const waited = knownConditions(before).find(({ type }) => type === "Reconciling");
  if (health.waiting?.reason === "WaitingForGpu" && waits?.message !== waited?.message) {
    all.push(failureNote(health.waiting));
  }
  return [...all, ...queueNotes(knownConditions(before), knownConditions(status))];
}
