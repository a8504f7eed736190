/** Where the three kinds live in the API. */
import { GROUP, VERSION } from "../crds/common.ts";
import { ModelDeployment as ModelDeploymentCrd } from "../crds/model-deployment.ts";
import type { ModelDeployment } from "../crds/model-deployment.ts";
import { OptimizationJob as OptimizationJobCrd } from "../crds/optimization-job.ts";
import type { OptimizationJob } from "../crds/optimization-job.ts";
import { TrainingJob as TrainingJobCrd } from "../crds/training-job.ts";
import type { TrainingJob } from "../crds/training-job.ts";
import type { Crd } from "../crds/kind.ts";
import type { KubernetesObject } from "./kernel/meta.ts";
import { customResource, type Resource } from "./kernel/resource.ts";

function ofCrd<T extends KubernetesObject>({ kind, plural }: Crd): Resource<T> {
  return customResource<T>({ group: GROUP, version: VERSION, kind, plural, namespaced: true });
}

export const Kinds = {
  TrainingJob: ofCrd<TrainingJob>(TrainingJobCrd),
  OptimizationJob: ofCrd<OptimizationJob>(OptimizationJobCrd),
  ModelDeployment: ofCrd<ModelDeployment>(ModelDeploymentCrd),
} as const;
