/** What an update does next: pods of both versions, the share of the requests, promotion or the way back. Pure. */
import type { TrafficDirective, TrafficReport } from "../../../crds/contract/traffic.ts";
import { type Analysis, DEFAULT_ANALYSIS, GPU_WAIT, latencySeconds, type Rollout } from "../../../crds/rollout.ts";
import { durationSeconds } from "../../../crds/schema.ts";
import { type Problem, waitsForGpu } from "../../pods/problem.ts";
import type { Failure, Note } from "../../reasons.ts";
import { analyse } from "./analysis.ts";
import type { Progress } from "./progress.ts";

export interface UpdateInput {
  readonly rollout: Rollout;
  /** Milliseconds. */
  readonly now: number;
  /** Pods for all requests. */
  readonly replicas: number;
  readonly update: {
    readonly revision: string;
    readonly progress: Progress;
    /** Milliseconds; undefined: it was not started yet. */
    readonly startedAt: number | undefined;
    /** Ready pods that serve the right model, of a Deployment that is as it was asked for. */
    readonly verified: number;
    /** Pods that were asked for. */
    readonly wanted: number;
    readonly problem: Problem | undefined;
    /** When the last of its pods found a node; milliseconds. */
    readonly scheduledAt: number | undefined;
  };
  readonly stable: {
    readonly revision: string;
    readonly ready: number;
    /** Pods that there are, also those that are ending. */
    readonly pods: number;
    /** What its ready pods report; undefined for those that do not answer. */
    readonly reports: readonly (TrafficReport | undefined)[];
  };
  /** It is the way back to what served before. */
  readonly back: boolean;
}

/** What the pods that serve are told, but for the address. */
export type Share = Omit<TrafficDirective, "target">;

export interface UpdateDecision {
  readonly updateReplicas: number;
  readonly stableReplicas: number;
  readonly share?: Share | undefined;
  readonly progress: Progress;
  readonly promote?: boolean;
  /** By which the update is given up. */
  readonly failure?: Failure | undefined;
  /** Told when `progress` is written. */
  readonly note?: Note | undefined;
  /** Where it is, in words. */
  readonly message: string;
  readonly paused?: boolean;
}

/** How often pods are asked while requests are shared. */
export const ANALYSIS_SECONDS = 1;

export function decideUpdate(input: UpdateInput): UpdateDecision {
  const { rollout, update, replicas } = input;
  const progress = bookkept(input);
  const held = { ...input, update: { ...update, progress } };
  if (replicas === 0) return { updateReplicas: 0, stableReplicas: 0, progress, message: "no pod is asked for" };
  const failure = failureOf(held);
  if (failure !== undefined) {
    const acted = actionFor(rollout, update.revision);
    const kept = acted === undefined ? progress : { ...progress, acted };
    return { updateReplicas: 0, stableReplicas: replicas, progress: kept, failure, message: failure.message };
  }
  const decision = proceed(held);
  return rollout.paused && !isForced(held) ? { ...decision, paused: true } : decision;
}

function proceed(input: UpdateInput): UpdateDecision {
  const { rollout, update, stable, replicas, back } = input;
  const { progress } = update;
  const swaps = swapsNow(input);
  if (swaps !== undefined) return swaps;
  if (isForced(input)) return whole(input, shareOf(input));
  const begun = update.wanted > 0;
  if (rollout.paused && !begun && !back) {
    return { updateReplicas: 0, stableReplicas: replicas, progress, message: "spec.rollout.paused is true" };
  }
  if (rollout.strategy === "Recreate" || progress.swap === true) return recreate(input);
  // There is nobody to share requests with.
  const alone = stable.ready === 0 && progress.step === undefined;
  if (back || alone || rollout.strategy === "BlueGreen") return whole(input, undefined);
  return rollout.strategy === "Canary" ? canary(input) : rolling(input);
}

/** What pausing and going on leave behind: time spent paused is no delay. */
function bookkept({ rollout, update, now }: UpdateInput): Progress {
  const { paused, ...progress } = update.progress;
  // An action that is asked for no more may be asked for again.
  const { acted, ...rest } = progress;
  const kept = acted !== undefined && acted === rollout.action?.type && rollout.action.revision === update.revision;
  const base = kept ? progress : rest;
  if (rollout.paused) return { ...base, paused: true };
  return paused === true ? { ...base, at: now } : base;
}

/** The action of spec, if it is for this revision. */
function actionFor({ action }: Rollout, revision: string): Progress["acted"] {
  return action?.revision === revision ? action.type : undefined;
}

function isForced({ rollout, update }: UpdateInput): boolean {
  return actionFor(rollout, update.revision) === "Promote" && update.progress.acted !== "Promote";
}

function failureOf(input: UpdateInput): Failure | undefined {
  const { rollout, update, back } = input;
  const { progress, problem, revision } = update;
  const action = actionFor(rollout, revision);
  if (!back && (action === "Abort" || action === "Undo") && progress.acted !== action) {
    const message = `spec.rollout.action asked for it; remove the action, or change spec, to try again`;
    return { reason: "Aborted", message };
  }
  if (progress.breach !== undefined && rollout.autoRollback && !isForced(input)) {
    return { reason: "AnalysisFailed", message: progress.breach };
  }
  if (problem?.final === true) return problem.failure;
  if (problem !== undefined && waitsForGpu(problem) && rollout.onNoSpareGpu === "Fail" && gpuWaited(input)) {
    return problem.failure;
  }
  return overdue(input);
}

/** When what is waited for now began to be due. */
export function dueFrom({
  rollout,
  update,
}: {
  readonly rollout: Rollout;
  readonly update: Pick<UpdateInput["update"], "progress" | "startedAt" | "scheduledAt">;
}): number {
  const { progress, startedAt = 0, scheduledAt = 0 } = update;
  const { at = 0, since, step } = progress;
  const duration = rollout.strategy === "Canary" ? rollout.steps?.[step ?? -1]?.duration : undefined;
  const done = since === undefined ? 0 : since + durationSeconds(duration ?? "0s") * 1000;
  return Math.max(startedAt, scheduledAt, at, done);
}

/** A step that does not end, for whatever reason but a pause. */
function overdue(input: UpdateInput): Failure | undefined {
  const { rollout, update, now, stable } = input;
  const { step, since, breach } = update.progress;
  if (step === undefined || rollout.paused || breach !== undefined || isForced(input)) return undefined;
  if (now < dueFrom(input) + durationSeconds(rollout.progressDeadline) * 1000) return undefined;
  const { requests } = analyse(heard(stable.reports), analysisOf(rollout), "diverted");
  const { minRequests } = analysisOf(rollout);
  const cause =
    since === undefined
      ? "the pods that serve do not follow; see their log"
      : requests < minRequests
        ? `it was asked ${requests} requests, fewer than analysis.minRequests (${minRequests}); lower it, or send more`
        : `${update.verified} of its ${update.wanted} pods are ready`;
  const message = `the step took longer than spec.rollout.progressDeadline (${rollout.progressDeadline}): ${cause}`;
  return { reason: "ProgressDeadlineExceeded", message };
}

function gpuWaited(input: UpdateInput): boolean {
  const wait = durationSeconds(input.rollout.gpuWaitTimeout ?? GPU_WAIT) * 1000;
  return input.update.startedAt !== undefined && input.now >= dueFrom(input) + wait;
}

/** No GPU came: the version that serves makes room. */
function swapsNow(input: UpdateInput): UpdateDecision | undefined {
  const { rollout, update, stable, now, replicas } = input;
  const { progress, problem } = update;
  const waits = waitsForGpu(problem) && rollout.onNoSpareGpu === "Swap";
  if (!waits || progress.swap === true || !gpuWaited(input)) return undefined;
  const message = `no GPU came for revision ${update.revision}: revision ${stable.revision} is stopped to make room, and started again should the new one fail`;
  return {
    updateReplicas: replicas,
    stableReplicas: 0,
    progress: { ...progress, swap: true, at: now },
    note: { type: "Normal", reason: "SwapRollout", message },
    message,
  };
}

/** All pods of the new version first. */
function whole(input: UpdateInput, share: Share | undefined): UpdateDecision {
  const { update, replicas, rollout } = input;
  const { verified, progress } = update;
  const complete = verified >= replicas && update.wanted === replicas;
  const promote = complete && (!rollout.paused || isForced(input));
  const message = `${Math.min(verified, replicas)} of ${replicas} pods are ready`;
  return { updateReplicas: replicas, stableReplicas: replicas, share, progress, promote, message };
}

/** The old pods go, then the new ones come. */
function recreate(input: UpdateInput): UpdateDecision {
  const { update, replicas, stable } = input;
  const { progress, verified } = update;
  const gone = stable.pods === 0;
  // Those of a swap wait for room already.
  const updateReplicas = gone || progress.swap === true ? replicas : 0;
  const promote = verified >= replicas && update.wanted === replicas;
  const message = gone ? `${verified} of ${replicas} pods are ready` : "the old pods are stopped first";
  return { updateReplicas, stableReplicas: 0, progress, promote, message };
}

/** Pods for a share of the requests. */
export function podsFor(weight: number, replicas: number): number {
  return Math.min(replicas, Math.max(1, Math.ceil((replicas * weight) / 100)));
}

function canary(input: UpdateInput): UpdateDecision {
  const { rollout, update, stable, replicas, now } = input;
  const { steps = [] } = rollout;
  const { progress, verified, revision } = update;
  const { step: index } = progress;
  const next = index === undefined ? 0 : index + 1;
  const begin = (): Pick<UpdateDecision, "progress" | "note"> => {
    const { weight = 0, duration = "" } = steps[next] ?? {};
    const message = `step ${next + 1} of ${steps.length}: revision ${revision} answers ${weight} % of the requests for ${duration}`;
    // What was done by an action stays known.
    const { since: _, ...rest } = progress;
    return {
      progress: { ...rest, step: next, at: now },
      note: { type: "Normal", reason: "CanaryStepStarted", message },
    };
  };
  if (index === undefined || steps[index] === undefined) {
    const size = podsFor(steps[0]?.weight ?? 0, replicas);
    const begins = verified >= size && !rollout.paused;
    const message = `${Math.min(verified, size)} of the ${size} pods of the first step are ready`;
    return { updateReplicas: size, stableReplicas: replicas, progress, message, ...(begins ? begin() : {}) };
  }
  const { weight, duration } = steps[index];
  const share = shareOf(input);
  const size = podsFor(weight, replicas);
  const base = { updateReplicas: Math.max(size, 1), stableReplicas: replicas, share, progress };
  const message = `step ${index + 1} of ${steps.length}, ${weight} % of the requests`;
  const watched = watch(input, share);
  if (watched !== undefined) return { ...base, message, ...watched };
  const { since = now } = progress;
  const { requests } = analyse(heard(stable.reports), analysisOf(rollout), "diverted");
  const { minRequests } = analysisOf(rollout);
  if (now < since + durationSeconds(duration) * 1000) return { ...base, message };
  if (requests < minRequests) return { ...base, message: `${message}; it waits for ${minRequests} requests` };
  if (rollout.paused || progress.breach !== undefined) return { ...base, message };
  // First the pods, then the weight.
  const wanted = next < steps.length ? podsFor(steps[next]?.weight ?? 0, replicas) : replicas;
  const grown = { ...base, updateReplicas: wanted, message };
  if (verified < wanted || update.wanted !== wanted) return grown;
  return next < steps.length ? { ...grown, ...begin() } : { ...grown, promote: true };
}

/** One pod at a time: as many of the old ones go as new ones have come, and as much of the requests moves. */
function rolling(input: UpdateInput): UpdateDecision {
  const { rollout, update, stable, replicas, now } = input;
  const { progress, verified } = update;
  const moved = Math.min(progress.step ?? 0, replicas);
  const next = Math.min(moved + 1, replicas);
  const share = moved === 0 ? undefined : shareOf(input);
  const message = `${moved} of ${replicas} pods have moved`;
  const follows = moved === 0 || progress.since !== undefined;
  const stableReplicas = Math.max(1, replicas - (follows ? moved : moved - 1));
  const base = { updateReplicas: Math.max(1, moved), stableReplicas, share, progress, message };
  const watched = share === undefined ? undefined : watch(input, share);
  if (watched !== undefined) return { ...base, ...watched };
  const { requests } = analyse(heard(stable.reports), analysisOf(rollout), "diverted");
  const enough = moved === 0 || requests >= analysisOf(rollout).minRequests;
  if (rollout.paused || !enough || progress.breach !== undefined) return base;
  const grown = { ...base, updateReplicas: next };
  if (verified < next || update.wanted !== next) return grown;
  if (next === replicas) return { ...grown, promote: true };
  const { since: _, ...rest } = progress;
  return { ...grown, progress: { ...rest, step: next, at: now } };
}

/** Waits until all pods that serve follow, then for a breach. Undefined: neither. */
function watch(input: UpdateInput, share: Share | undefined): Pick<UpdateDecision, "progress" | "note"> | undefined {
  const { rollout, update, stable, now } = input;
  const { progress, revision } = update;
  if (progress.since === undefined) {
    const follows = stable.reports.every(
      (report) => report?.directive === share?.id && report?.weight === share?.weight,
    );
    return follows && stable.reports.length > 0 ? { progress: { ...progress, since: now } } : { progress };
  }
  if (progress.breach !== undefined) return undefined;
  const { breach } = analyse(heard(stable.reports), analysisOf(rollout), "diverted");
  if (breach === undefined) return undefined;
  const held = rollout.autoRollback ? "" : "; it stays where it is, as spec.rollout.autoRollback is false";
  const note = {
    type: "Warning",
    reason: "AnalysisFailed",
    message: `revision ${revision}: ${breach}${held}`,
  } as const;
  return { progress: { ...progress, breach: breach.slice(0, 1000) }, note };
}

/** What the pods that serve are told at this point; undefined before the first step. */
function shareOf({ rollout, update, replicas }: UpdateInput): Share | undefined {
  const { revision, startedAt = 0, progress } = update;
  const { step } = progress;
  if (step === undefined || progress.swap === true) return undefined;
  const { maxLatencyP99 } = analysisOf(rollout);
  const run = `${revision}.${Math.round(startedAt / 1000)}`;
  const timeout = maxLatencyP99 === undefined ? {} : { timeoutMilliseconds: patience(maxLatencyP99) };
  if (rollout.strategy === "Rolling") return { id: run, weight: Math.min(100, (100 * step) / replicas), ...timeout };
  const current = rollout.steps?.[step];
  if (current === undefined) return undefined;
  const { shadow } = rollout;
  return { id: `${run}.${step}`, weight: current.weight, ...(shadow === undefined ? {} : { shadow }), ...timeout };
}

/** What takes ten times as long as allowed is answered elsewhere. */
function patience(maxLatencyP99: string): number {
  return Math.max(1000, 10_000 * latencySeconds(maxLatencyP99));
}

export function analysisOf({ analysis }: Rollout): Analysis {
  return analysis ?? DEFAULT_ANALYSIS;
}

export function heard(reports: readonly (TrafficReport | undefined)[]): TrafficReport[] {
  return reports.filter((report) => report !== undefined);
}
