/** Objects and records for unit tests, as the API server and the informers give them. */
import { RIGHT } from "../../crds/testing/manifests.ts";
import { validateManifest } from "../../crds/kinds.ts";
import type { JobOwner } from "../runs/objects.ts";
import type { OptimizationJob, OptimizationJobStatus } from "../../crds/optimization-job.ts";
import type { TrainingJob, TrainingJobStatus } from "../../crds/training-job.ts";
import type { ModelDeploymentStatus } from "../../crds/model-deployment.ts";
import type { DeploymentOwner } from "../model-deployment/revision.ts";
import type { PodRecord } from "../pods/pod-record.ts";

type Spec = Record<string, unknown>;

export const NOW = Date.UTC(2026, 0, 1, 12);
export const IMAGE = "registry.example/runtime:1";
export const CONFIG = { runtimeImage: IMAGE, requests: { cpu: "100m", memory: "256Mi" } };

export function digest(character: string): string {
  return `sha256:${character.repeat(64)}`;
}

function stored(kind: string, name: string, spec: Spec, status: unknown): object {
  const manifest = RIGHT[kind]?.(spec, name);
  const validated = validateManifest<object>(manifest);
  if (!validated.ok) throw new Error(JSON.stringify(validated.errors));
  const metadata = { name, namespace: "lab", uid: `uid-of-${name}`, resourceVersion: "1", generation: 1 };
  return { ...validated.value, metadata, status };
}

export function trainingJob(spec: Spec = {}, status?: TrainingJobStatus): TrainingJob & JobOwner {
  // The schema of the kind has filled in the defaults.
  return stored("TrainingJob", "digits", spec, status) as TrainingJob & JobOwner;
}

export function optimizationJob(spec: Spec = {}, status?: OptimizationJobStatus): OptimizationJob & JobOwner {
  return stored("OptimizationJob", "small", spec, status) as OptimizationJob & JobOwner;
}

export function modelDeployment(spec: Spec = {}, status?: ModelDeploymentStatus): DeploymentOwner {
  const model = { uri: "pvc://models/digits/one", digest: digest("1") };
  return stored("ModelDeployment", "digits", { model, ...spec }, status) as DeploymentOwner;
}

export function pod(more: Partial<PodRecord> & { name?: string; labels?: Record<string, string> } = {}): PodRecord {
  const { name = "pod-1", labels = {}, ...rest } = more;
  return {
    metadata: { name, namespace: "lab", uid: `uid-of-${name}`, resourceVersion: "1", labels },
    createdAt: "2026-01-01T11:00:00Z",
    phase: "Pending",
    image: IMAGE,
    ready: false,
    running: false,
    restarts: 0,
    disrupted: false,
    ...rest,
  };
}
