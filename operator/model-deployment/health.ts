/** How a ModelDeployment is: does it serve, and is it on its way or in need of a person. */
import type { Refusal } from "../children.ts";
import type { Failure, Reason } from "../reasons.ts";
import { isQueueReason } from "../kueue/admission.ts";
import { isGivenUp, type RevisionView } from "./observed.ts";
import { revisionProblem } from "./problem.ts";
import { isCovered } from "./scaling/activator-slice.ts";
import { scalingSettings } from "./scaling/settings.ts";
import type { Situation } from "./situation.ts";

export interface Health {
  readonly ready: boolean;
  readonly loaded: boolean;
  readonly progressing: boolean;
  readonly reason: Reason;
  readonly message: string;
  readonly abnormal?: "Reconciling" | "Stalled" | undefined;
  /** What is waited for. */
  readonly waiting?: Failure | undefined;
  /** Of the last update. */
  readonly rollout: { readonly healthy: boolean; readonly reason: Reason; readonly message: string };
}

export function healthOf(situation: Situation, refusal: Refusal | undefined): Health {
  const { views, stable } = situation;
  const view = stable === undefined ? undefined : views.get(stable);
  const loaded = (view?.deployment?.ready ?? 0) > 0;
  const rollout = rolloutHealth(situation);
  return { loaded, ready: loaded, progressing: false, rollout, ...verdict(situation, view, loaded, refusal) };
}

function rolloutHealth(situation: Situation): Health["rollout"] {
  const { views, desired, stable, update, decision } = situation;
  const wrong = wrongRequest(situation);
  if (wrong !== undefined) return { healthy: false, ...said(wrong) };
  const view = views.get(desired ?? "");
  if (isGivenUp(view) && view?.failure !== undefined) return { healthy: false, ...said(view.failure) };
  if (decision?.failure !== undefined) return { healthy: false, ...said(decision.failure) };
  const breach = decision?.progress.breach ?? views.get(stable ?? "")?.progress.breach;
  if (breach !== undefined) return { healthy: false, reason: "AnalysisFailed", message: breach };
  if (update === undefined) return { healthy: true, reason: "UpToDate", message: "" };
  return { healthy: true, reason: "Updating", message: decision?.message ?? "" };
}

/** What spec.rollout asks for, and cannot be done. */
function wrongRequest({ observed, desired, stable, previous }: Situation): Failure | undefined {
  const { pinRevision, action } = observed.owner.spec.rollout;
  if (pinRevision !== undefined && desired === undefined) {
    const message = `spec.rollout.pinRevision: there is no revision ${pinRevision}; see status.revisions`;
    return { reason: "InvalidSpec", message };
  }
  if (action?.type !== "Undo" || action.revision !== stable || stable !== desired || previous !== undefined) {
    return undefined;
  }
  const message = `spec.rollout.action: no revision served before ${action.revision}; remove the action`;
  return { reason: "InvalidSpec", message };
}

type Verdict = Omit<Health, "loaded" | "ready" | "progressing" | "rollout"> &
  Partial<Pick<Health, "ready" | "progressing">>;

function verdict(
  situation: Situation,
  view: RevisionView | undefined,
  serves: boolean,
  refusal: Refusal | undefined,
): Verdict {
  const { observed, replicas, stable, desired, update } = situation;
  const { resolution, owner } = observed;
  if (refusal !== undefined) return refused(refusal, serves, stable === desired);
  if (owner.spec.suspend) return suspended(view);
  if (resolution.state === "Wrong") {
    return { ...said(resolution.failure), abnormal: "Stalled" };
  }
  if (resolution.state === "Waiting") {
    const { message } = resolution;
    return { reason: "WaitingForModel", message, abnormal: "Reconciling", progressing: true };
  }
  if (replicas === 0) return scaledToZero(situation, view);
  const next = update ?? desired;
  if (next !== undefined && next !== stable) return updating(situation, next, serves);
  const wrong = wrongRequest(situation);
  if (wrong !== undefined) return { ...said(wrong), abnormal: "Stalled" };
  return view === undefined ? starting() : steady(situation, view, serves);
}

function said(failure: Failure): { reason: Reason; message: string } {
  return { reason: failure.reason, message: failure.message };
}

function refused({ failure, mayPass }: Refusal, serves: boolean, isStable: boolean): Verdict {
  const isStalled = !mayPass || failure.reason === "NameConflict" || failure.reason === "KueueNotInstalled";
  const abnormal = isStalled ? "Stalled" : "Reconciling";
  if (serves && !isStable) {
    const waits = isQueueReason(failure.reason);
    const message = `${failure.reason}: ${failure.message}`;
    return { reason: waits ? "Updating" : "UpdateFailed", message, abnormal, waiting: failure };
  }
  return { ...said(failure), abnormal, waiting: failure };
}

function suspended(view: RevisionView | undefined): Verdict {
  const stopped = (view?.deployment?.replicas ?? 0) === 0;
  return {
    ready: false,
    reason: "Suspended",
    message: "spec.suspend is true; set it to false to serve again",
    abnormal: stopped ? undefined : "Reconciling",
    progressing: !stopped,
  };
}

function scaledToZero({ observed }: Situation, view: RevisionView | undefined): Verdict {
  const { owner, slices, activator } = observed;
  const stopped = (view?.deployment?.replicas ?? 0) === 0;
  const isCalled = isCovered(slices, owner, activator);
  const messages = {
    Operator: isCalled
      ? "no pods, as nobody asks; the next request starts one and waits for it"
      : "no pods, and no activator that would hold a request; see that its pods run, or set minReplicas to 1",
    Cluster: "spec.scaling.replicas is 0; raise it to serve",
    User: "spec.scaling.replicas is 0; raise it to serve",
    Other: "spec.scaling.replicas is 0; the external autoscaler of this deployment raises it",
  };
  return {
    ready: isCalled,
    reason: "ScaledToZero",
    message: messages[scalingSettings(owner.spec.scaling).by],
    abnormal: stopped ? undefined : "Reconciling",
    progressing: !stopped,
  };
}

function updating(
  { observed, views, stable, replicas, decision }: Situation,
  desired: string,
  serves: boolean,
): Verdict {
  const view = views.get(desired);
  if (view !== undefined && isGivenUp(view) && view.failure !== undefined) {
    const { reason, message } = view.failure;
    const keeps = serves ? `; ${stable ?? ""} goes on serving` : "";
    return {
      reason: "UpdateFailed",
      message: `revision ${desired} failed${keeps}. ${reason}: ${message}`,
      abnormal: "Stalled",
    };
  }
  const waiting = view && revisionProblem(view, observed, replicas)?.failure;
  const detail = waiting === undefined ? (decision?.message ?? "") : `${waiting.reason}: ${waiting.message}`;
  if (decision?.paused === true) {
    return { reason: "RolloutPaused", message: `revision ${desired} waits, as spec.rollout.paused is true: ${detail}` };
  }
  const { breach } = decision?.progress ?? {};
  if (breach !== undefined && !observed.owner.spec.rollout.autoRollback) {
    const why = `revision ${desired} goes no further: ${breach}; promote or abort it by spec.rollout.action`;
    return { reason: "AnalysisFailed", message: why, abnormal: "Stalled" };
  }
  const message = `revision ${desired} is on its way: ${detail}`;
  return { reason: "Updating", message, abnormal: "Reconciling", progressing: true, waiting };
}

function starting(): Verdict {
  return { reason: "Pending", message: "the first pods are being created", abnormal: "Reconciling", progressing: true };
}

function steady({ observed, replicas }: Situation, view: RevisionView, serves: boolean): Verdict {
  const { deployment, pods } = view;
  if (deployment === undefined) return starting();
  const { wanted, ready, replicas: there } = deployment;
  // The pods themselves are counted: what the Deployment says of them follows later and adds nothing.
  const settled = wanted === replicas && there === replicas;
  if (settled && ready >= replicas) {
    return { reason: "Serving", message: `${ready} of ${replicas} pods are ready` };
  }
  const problem = revisionProblem(view, observed, replicas);
  const reconciling = { abnormal: "Reconciling", progressing: true } as const;
  if (serves) {
    const detail = problem === undefined ? "" : `; ${problem.failure.reason}: ${problem.failure.message}`;
    const message = `${ready} of ${replicas} pods are ready${detail}`;
    return { reason: "Scaling", message, ...reconciling, waiting: problem?.failure };
  }
  if (problem !== undefined) {
    const abnormal = problem.final ? "Stalled" : "Reconciling";
    return { ...said(problem.failure), abnormal, progressing: !problem.final, waiting: problem.failure };
  }
  if (pods.some((pod) => pod.running)) {
    return { reason: "Loading", message: "pods have started and load the model", ...reconciling };
  }
  return { reason: "Pending", message: "waiting for pods to start", ...reconciling };
}
