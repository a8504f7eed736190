/** What is wrong with a revision, from its Deployment, its pods and what they say. */
import { isQueueReason } from "../kueue/admission.ts";
import { type Problem, podProblem, waitsForGpu } from "../pods/problem.ts";
import { quotaFailure } from "../pods/refusal.ts";
import { bounded } from "../reasons.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import { deadlineOf, digestOf, type ObservedDeployment, type RevisionView } from "./observed.ts";

/** Ready pods whose model is not the revision's. */
export function mismatched(view: RevisionView, observed: ObservedDeployment): PodRecord[] {
  const expected = digestOf(view);
  if (expected === undefined) return [];
  return view.pods.filter((pod) => {
    const said = observed.reports.get(pod.metadata.uid)?.model.digest;
    return pod.ready && said !== undefined && said !== expected;
  });
}

export function revisionProblem(
  view: RevisionView,
  observed: ObservedDeployment,
  replicas: number,
): Problem | undefined {
  const problem = worstProblem(view, observed, replicas);
  return problem && { ...problem, failure: bounded(problem.failure) };
}

function worstProblem(view: RevisionView, observed: ObservedDeployment, replicas: number): Problem | undefined {
  const [wrong] = mismatched(view, observed);
  if (wrong !== undefined) {
    const message = `pod ${wrong.metadata.name} loaded other bytes than the revision's model; the files behind the URI were changed: write each version of a model to a folder of its own`;
    return { failure: { reason: "DigestMismatch", message }, final: true };
  }
  const problems = [...view.pods.map(podProblem), refusal(view)].filter((problem) => problem !== undefined);
  const worst = problems.find(({ final }) => final) ?? problems[0];
  if (worst?.final === true) return worst;
  const deadline = deadlineOf(observed, view);
  const { wanted = 0, ready = 0 } = view.deployment ?? {};
  const expected = Math.min(wanted, replicas);
  const isLate = wanted > 0 && deadline !== undefined && observed.now >= deadline && ready < expected;
  // How long a GPU is waited for, spec.rollout.onNoSpareGpu says.
  if (!isLate || waitsForGpu(worst) || isQueueReason(worst?.failure.reason ?? "")) return worst;
  const { progressDeadline } = observed.owner.spec.rollout;
  const cause = worst === undefined ? "see the log of its pods" : `${worst.failure.reason}: ${worst.failure.message}`;
  const message = `not ready within spec.rollout.progressDeadline (${progressDeadline}): ${cause}`;
  return { failure: { reason: "ProgressDeadlineExceeded", message }, final: true };
}

/** Pods that the API server does not let the Deployment create. */
function refusal({ deployment, pods }: RevisionView): Problem | undefined {
  const message = deployment?.refusal;
  if (message === undefined || pods.length >= (deployment?.wanted ?? 0)) return undefined;
  const quota = quotaFailure(message);
  if (quota !== undefined) return { failure: quota, final: false };
  const text = `${message}; correct spec.pod, or ask the administrator of the cluster`;
  return { failure: { reason: "AdmissionRefused", message: text }, final: true };
}

/** Pods that are ready and known to serve the revision's model. */
export function verified(view: RevisionView, observed: ObservedDeployment): PodRecord[] {
  const expected = digestOf(view);
  return view.pods.filter((pod) => {
    if (!pod.ready) return false;
    const report = observed.reports.get(pod.metadata.uid);
    // A pod that was told the digest has checked it before it became ready, also where it cannot be asked.
    if (report === undefined) return expected !== undefined;
    return report.state === "Serving" && expected !== undefined && report.model.digest === expected;
  });
}
