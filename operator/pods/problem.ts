/** What is wrong with a pod, in words that name the remedy. */
import { EXIT } from "../../crds/contract/exit-code.ts";
import { Progress } from "../../crds/contract/progress.ts";
import { bounded, type Failure, type ObservedFailure } from "../reasons.ts";
import { truncate } from "../kernel/conditions.ts";
import type { Ended, PodRecord } from "./pod-record.ts";

/** `final`: nothing changes by waiting. */
export interface Problem {
  readonly failure: Failure;
  readonly final: boolean;
}

/** What has a GPU elsewhere may be waited for: a node that is full, or a queue. */
export function waitsForGpu(problem: Problem | undefined): boolean {
  const reasons: readonly (ObservedFailure | undefined)[] = ["WaitingForGpu", "WaitingForQuota", "Preempted"];
  return reasons.includes(problem?.failure.reason);
}

/** The report in a termination message, if it is one. */
export function reportOf(ended: Ended | undefined): Progress | undefined {
  if (ended?.message === undefined) return undefined;
  try {
    const parsed = Progress.safeParse(JSON.parse(ended.message));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

const EXIT_FAILURES: Readonly<Record<number, { reason: ObservedFailure; message: string }>> = {
  [EXIT.specification]: { reason: "InvalidSpec", message: "the specification is wrong; correct spec" },
  [EXIT.data]: { reason: "DataRejected", message: "the data are wrong; correct the files that spec names" },
  [EXIT.missingInput]: { reason: "InputMissing", message: "an input is missing; check the URIs in spec" },
  [EXIT.guard]: { reason: "GuardMissed", message: "a goal was not met; relax spec.goals or change spec.methods" },
  [EXIT.internal]: { reason: "InternalError", message: "the runtime failed; see the pod's log" },
  [EXIT.terminated]: { reason: "Terminated", message: "the pod was told to stop" },
};

const OUT_OF_MEMORY =
  "the container was killed as it used more memory than its limit; raise spec.resources.limits.memory";

/** Exit codes that come again however often the container is started. */
const FINAL_EXITS: readonly number[] = [EXIT.specification, EXIT.data, EXIT.missingInput, EXIT.guard];

/** The failure that ended a container; undefined where it ended well. */
export function endedFailure(pod: PodRecord, ended: Ended | undefined): Failure | undefined {
  if (ended === undefined || ended.exitCode === EXIT.done) return undefined;
  const { exitCode, finishedAt: time } = ended;
  if (ended.reason === "OOMKilled") return { reason: "OutOfMemory", message: OUT_OF_MEMORY, exitCode, time };
  const reported = reportOf(ended)?.failure;
  if (reported !== undefined) return bounded({ reason: reported.reason, message: reported.message, exitCode, time });
  const known = EXIT_FAILURES[exitCode];
  if (known !== undefined) return { ...known, exitCode, time };
  const message = `pod ${pod.metadata.name} ended with exit code ${exitCode}; see its log`;
  return { reason: "PodFailed", message, exitCode, time };
}

/** A pod that the kubelet or a controller ended, such as by eviction. */
function podFailure(pod: PodRecord): Failure {
  const message = `pod ${pod.metadata.name} failed${pod.reason === undefined ? "" : ` with reason ${pod.reason}`}; see its events`;
  return { reason: "PodFailed", message };
}

/** Why a pod does not do its work; undefined while nothing is known to be wrong. */
export function podProblem(pod: PodRecord): Problem | undefined {
  const failure = endedFailure(pod, pod.ended);
  if (failure !== undefined) return { failure, final: isFinal(failure) };
  if (pod.phase === "Failed") return { failure: podFailure(pod), final: false };
  if (pod.ready) return undefined;
  if (pod.gated === true) return { failure: gate(pod), final: false };
  if (pod.unschedulable !== undefined) return { failure: placement(pod.unschedulable), final: false };
  if (pod.unattached !== undefined) return { failure: attachment(pod, pod.unattached), final: false };
  const before = endedFailure(pod, pod.endedBefore);
  if (before !== undefined && before.reason !== "Terminated") {
    const crashes = pod.restarts >= 3;
    return { failure: before, final: isFinal(before) || before.reason === "OutOfMemory" || crashes };
  }
  return waitingProblem(pod);
}

function isFinal({ exitCode = 0, reason }: Failure): boolean {
  return FINAL_EXITS.includes(exitCode) || reason === "GpuNotVisible" || reason === "ModelUnsupported";
}

/** Reasons of a waiting container; those that the kubelet will only repeat are final. */
const PULL: Readonly<Record<string, boolean>> = {
  ErrImagePull: false,
  RegistryUnavailable: false,
  ImagePullBackOff: true,
  InvalidImageName: true,
  ErrImageNeverPull: true,
  ImageInspectError: true,
  SignatureValidationFailed: true,
};
const CANNOT_START: Readonly<Record<string, boolean>> = {
  CreateContainerConfigError: true,
  CreateContainerError: true,
  RunContainerError: true,
};

function waitingProblem({ waiting, image }: PodRecord): Problem | undefined {
  if (waiting === undefined) return undefined;
  const pull = PULL[waiting.reason];
  if (pull !== undefined) {
    const message = `image ${image} cannot be pulled (${waiting.reason}); correct spec.runtime.image, or add spec.pod.imagePullSecrets for a private registry`;
    return { failure: { reason: "ImagePullFailed", message }, final: pull };
  }
  const start = CANNOT_START[waiting.reason];
  if (start === undefined) return undefined;
  const absent = missingObject(waiting.message);
  if (absent !== undefined) return { failure: absent, final: start };
  const message = `the container cannot be created (${waiting.reason}): ${truncate(waiting.message, 300)}; correct spec.pod or spec.runtime.image`;
  return { failure: { reason: "ContainerCannotStart", message }, final: start };
}

const IN_USE =
  "the volume of a PersistentVolumeClaim can be used on one node only, and this pod cannot run there; use a claim with accessModes: [ReadWriteMany], or make room on that node and keep the pods on it with spec.pod";

/** Kueue's gate, or one of somebody else. */
function gate({ metadata, queue, admission }: PodRecord): Failure {
  if (queue === undefined || admission === undefined) {
    const message = `pod ${metadata.name} has a scheduling gate; it starts when whoever set the gate removes it`;
    return { reason: "SchedulingGated", message };
  }
  const { reason, message } = admission;
  return reason === "Admitted" ? { reason: "WaitingForAdmission", message } : { reason, message };
}

/** A Secret or ConfigMap, or a key of it, that the kubelet looks for in vain. */
function missingObject(message: string): Failure | undefined {
  const [, kind, name] = /\b(secret|configmap) "([^"]+)" not found/i.exec(message) ?? [];
  if (kind !== undefined && name !== undefined) {
    const what = kind.toLowerCase() === "secret" ? "Secret" : "ConfigMap";
    const text = `${what} ${name} does not exist in this namespace; create it, or correct the field of spec that names it`;
    return { reason: "ContainerCannotStart", message: text };
  }
  if (!/references non-existent (secret|config) key/i.test(message)) return undefined;
  const text = `a Secret or ConfigMap lacks a key that spec names: ${truncate(message, 300)}; add the key, or correct spec`;
  return { reason: "ContainerCannotStart", message: text };
}

/** What the message of the attach controller or the kubelet says is wrong. */
function attachment(pod: PodRecord, message: string): Failure {
  if (/multi-attach/i.test(message)) return { reason: "ClaimInUse", message: IN_USE };
  const absent = missingObject(message);
  if (absent !== undefined) return absent;
  const text = truncate(message, 300);
  const remedy = `see kubectl describe pod ${pod.metadata.name}`;
  return { reason: "ContainerCannotStart", message: `a volume cannot be attached to the node: ${text}; ${remedy}` };
}

/** What the scheduler's message says is lacking. */
export function placement(message: string): Failure {
  const missing = /persistentvolumeclaim "([^"]+)" not found/.exec(message)?.[1];
  if (missing !== undefined) {
    return {
      reason: "ClaimNotFound",
      message: `PersistentVolumeClaim ${missing} does not exist in this namespace; create it, or correct the URI that names it`,
    };
  }
  if (/unbound (immediate )?PersistentVolumeClaims/i.test(message) || /provision/i.test(message)) {
    return {
      reason: "ClaimUnbound",
      message: "a PersistentVolumeClaim has no volume yet; check its StorageClass with kubectl describe pvc",
    };
  }
  if (/volume node affinity conflict|PersistentVolume's node affinity|ReadWriteOncePod/.test(message)) {
    return { reason: "ClaimInUse", message: IN_USE };
  }
  const resources = [...message.matchAll(/Insufficient ([A-Za-z0-9][-A-Za-z0-9./_]*)/g)].map((match) => match[1] ?? "");
  const names = [...new Set(resources.map((name) => name.replace(/[.,]+$/, "")))];
  const gpu =
    names.find((name) => name.includes("/")) ?? (/claim|device/i.test(message) ? "the claimed device" : undefined);
  if (gpu !== undefined) {
    return {
      reason: "WaitingForGpu",
      message: `no node has ${gpu} to spare; free some, add a node, or ask for less in spec.gpu`,
    };
  }
  if (names.length > 0) {
    return {
      reason: "Unschedulable",
      message: `no node has enough ${names.join(" and ")} to spare; lower spec.resources.requests or add a node`,
    };
  }
  const text = truncate(message, 300);
  return {
    reason: "Unschedulable",
    message: `no node fits (${text}); check spec.pod.nodeSelector, affinity and tolerations, and spec.gpu.products`,
  };
}
