import { describe, expect, it } from "@jest/globals";
import { IMAGE, pod } from "../testing/objects.ts";
import { placement, podProblem } from "./problem.ts";

const ended = (exitCode: number, more: { reason?: string; message?: string } = {}) => ({
  ended: { exitCode, finishedAt: "2026-01-01T12:00:00Z", ...more },
  phase: "Failed",
});

const report = (failure: object) =>
  JSON.stringify({
    kind: "TrainingProgress",
    run: "digits-1",
    state: "Failed",
    progressPercent: 1,
    epoch: 0,
    epochs: 1,
    step: 0,
    failure,
  });

describe("what is wrong with a pod", () => {
  it.each([
    { what: "a wrong specification", seen: ended(64), reason: "InvalidSpec", final: true },
    { what: "wrong data", seen: ended(65), reason: "DataRejected", final: true },
    { what: "a missing input", seen: ended(66), reason: "InputMissing", final: true },
    { what: "a missed goal", seen: ended(78), reason: "GuardMissed", final: true },
    { what: "a fault of ours", seen: ended(70), reason: "InternalError", final: false },
    { what: "an unknown exit code", seen: ended(1), reason: "PodFailed", final: false },
    { what: "too little memory", seen: ended(137, { reason: "OOMKilled" }), reason: "OutOfMemory", final: false },
    { what: "an eviction", seen: { phase: "Failed", reason: "Evicted" }, reason: "PodFailed", final: false },
    {
      what: "a pull that failed once",
      seen: { waiting: { reason: "ErrImagePull", message: "" } },
      reason: "ImagePullFailed",
      final: false,
    },
    {
      what: "a pull that failed again",
      seen: { waiting: { reason: "ImagePullBackOff", message: "" } },
      reason: "ImagePullFailed",
      final: true,
    },
    {
      what: "an image name that is none",
      seen: { waiting: { reason: "InvalidImageName", message: "" } },
      reason: "ImagePullFailed",
      final: true,
    },
    {
      what: "a missing Secret",
      seen: { waiting: { reason: "CreateContainerConfigError", message: 'secret "s" not found' } },
      reason: "ContainerCannotStart",
      final: true,
    },
    {
      what: "a volume that is attached to another node",
      seen: { unattached: 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) digits-1' },
      reason: "ClaimInUse",
      final: false,
    },
    {
      what: "a volume that cannot be attached",
      seen: { unattached: "rpc error: no such disk" },
      reason: "ContainerCannotStart",
      final: false,
    },
    { what: "a crash", seen: { restarts: 1, endedBefore: { exitCode: 1 } }, reason: "PodFailed", final: false },
    { what: "a third crash", seen: { restarts: 3, endedBefore: { exitCode: 1 } }, reason: "PodFailed", final: true },
    {
      what: "a crash for want of memory",
      seen: { restarts: 1, endedBefore: { exitCode: 137, reason: "OOMKilled" } },
      reason: "OutOfMemory",
      final: true,
    },
  ])("is $reason for $what", ({ seen, reason, final }) => {
    expect(podProblem(pod(seen))).toMatchObject({ failure: { reason }, final });
  });

  it.each([
    { what: "a pod that starts", seen: { waiting: { reason: "ContainerCreating", message: "" } } },
    {
      what: "a pod that is ready again after a crash",
      seen: { ready: true, running: true, endedBefore: { exitCode: 1 } },
    },
    { what: "a pod that ended well", seen: { phase: "Succeeded", ended: { exitCode: 0 } } },
    {
      what: "a pod that was restarted after SIGTERM",
      seen: { restarts: 1, running: true, endedBefore: { exitCode: 143 } },
    },
  ])("is nothing for $what", ({ seen }) => {
    expect(podProblem(pod(seen))).toBeUndefined();
  });

  it("is what the runtime says, where it says something valid", () => {
    const failure = { reason: "GpuNotVisible", message: "no GPU is visible; set spec.gpu.onMissing", exitCode: 66 };
    expect(podProblem(pod(ended(66, { message: report(failure) })))?.failure).toMatchObject(failure);
    const lie = report({ reason: "Invented", message: "x", exitCode: 66 });
    expect(podProblem(pod(ended(66, { message: lie })))?.failure.reason).toBe("InputMissing");
    expect(podProblem(pod(ended(66, { message: "{" })))?.failure.reason).toBe("InputMissing");
  });

  it.each([
    {
      what: "a Secret that a container is to get",
      seen: { waiting: { reason: "CreateContainerConfigError", message: 'secret "s3" not found' } },
      says: "Secret s3 does not exist in this namespace; create it, or correct the field of spec that names it",
      final: true,
    },
    {
      what: "a Secret that is to be mounted",
      seen: { unattached: 'MountVolume.SetUp failed for volume "credentials" : secret "s3" not found' },
      says: "Secret s3 does not exist in this namespace; create it, or correct the field of spec that names it",
      final: false,
    },
    {
      what: "a ConfigMap that is to be mounted",
      seen: { unattached: 'MountVolume.SetUp failed for volume "ca" : configmap "authority" not found' },
      says: "ConfigMap authority does not exist in this namespace; create it, or correct the field of spec that names it",
      final: false,
    },
    {
      what: "a key of a Secret",
      seen: { unattached: 'MountVolume.SetUp failed for volume "s" : references non-existent secret key: token' },
      says: "add the key, or correct spec",
      final: false,
    },
  ])("names $what, and the remedy", ({ seen, says, final }) => {
    const problem = podProblem(pod(seen));
    expect(problem).toMatchObject({ failure: { reason: "ContainerCannotStart" }, final });
    expect(problem?.failure.message).toContain(says);
  });

  it("names the image that cannot be pulled and the memory to raise", () => {
    const pull = podProblem(pod({ waiting: { reason: "ImagePullBackOff", message: "" } }));
    expect(pull?.failure.message).toContain(IMAGE);
    expect(podProblem(pod(ended(137, { reason: "OOMKilled" })))?.failure.message).toContain(
      "spec.resources.limits.memory",
    );
  });
});

describe("what the scheduler lacks", () => {
  it.each([
    {
      message: "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
      reason: "WaitingForGpu",
      names: "nvidia.com/gpu to spare",
    },
    {
      message: "0/1 nodes are available: 1 Insufficient nvidia.com/mig-1g.10gb, 1 Insufficient cpu.",
      reason: "WaitingForGpu",
      names: "nvidia.com/mig-1g.10gb",
    },
    {
      message: "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: …",
      reason: "Unschedulable",
      names: "cpu and memory",
    },
    { message: "0/1 nodes are available: 1 cannot allocate all claims.", reason: "WaitingForGpu", names: "device" },
    {
      message: '0/1 nodes are available: persistentvolumeclaim "models" not found.',
      reason: "ClaimNotFound",
      names: "models",
    },
    {
      message: "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
      reason: "ClaimUnbound",
      names: "StorageClass",
    },
    ...[
      "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity conflict.",
      "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.",
      "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.",
    ].map((message) => ({ message, reason: "ClaimInUse", names: "accessModes: [ReadWriteMany]" })),
    {
      message: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
      reason: "Unschedulable",
      names: "nodeSelector",
    },
  ])("is $reason for: $message", ({ message, reason, names }) => {
    const failure = placement(message);
    expect(failure.reason).toBe(reason);
    expect(failure.message).toContain(names);
  });
});
