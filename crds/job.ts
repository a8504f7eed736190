/** What TrainingJob and OptimizationJob share: where the artefact goes, how pods are run, what status says of both. */
import { z } from "zod";
import {
  Conditions,
  Gpu,
  LastFailure,
  PodOverrides,
  QueueName,
  ReachableArtefact,
  Resources,
  Runtime,
  Suspend,
  Time,
} from "./common.ts";
import { accessRules, accessShape, OutputUri } from "./location.ts";
import { withRules } from "./schema.ts";

/** Where a job's artefact goes. */
export const Output = withRules(
  z
    .strictObject({
      uri: OutputUri,
      ...accessShape,
      licence: z
        .string()
        .min(1)
        .max(128)
        .optional()
        .meta({ description: "Licence of the model, as an SPDX expression; written into the artefact" }),
    })
    .meta({ description: "Where the artefact goes: a folder for each run is made below it" }),
  accessRules(["uri"]),
);

/** How the pods of a job are run and retried; no part of the result. */
export const jobShape = {
  runtime: Runtime.prefault({}),
  gpu: Gpu.optional(),
  resources: Resources.optional(),
  pod: PodOverrides.optional(),
  suspend: Suspend.meta({ description: "Stops the job's pod; false again continues" }),
  queueName: QueueName.optional().meta({
    description: "Kueue's LocalQueue in this namespace, which says when the job's pods may start",
  }),
  activeDeadlineSeconds: z
    .int()
    .min(1)
    .max(31536000)
    .optional()
    .meta({ description: "The job fails when it takes longer" }),
  backoffLimit: z.int().min(0).max(100).default(3).meta({
    description: "Tries again after a failure that may pass; wrong specifications and data are never retried",
  }),
  ttlSecondsAfterFinished: z.int().min(0).max(31536000).optional().meta({
    description: "The finished Job and its pods are removed after this time; this object and the artefact stay",
  }),
};

/** States of a job, in the order in which they pass. */
export const JobState = z.enum([
  "Queued",
  "Pending",
  "Starting",
  "Training",
  "Optimizing",
  "Evaluating",
  "Uploading",
  "Succeeded",
  "Failed",
  "Suspended",
]);

/** What both kinds of job report. */
export const jobStatusShape = {
  observedGeneration: z.int().optional(),
  conditions: Conditions.optional(),
  state: JobState.optional(),
  run: z.string().max(63).optional().meta({ description: "The current run: <name>-<hash of what it depends on>" }),
  progressPercent: z.int().min(0).max(100).optional(),
  etaSeconds: z.int().min(0).optional(),
  engine: z.string().max(32).optional().meta({ description: "What computes" }),
  device: z.string().max(128).optional().meta({ description: "The device that really computes" }),
  startTime: Time.optional(),
  completionTime: Time.optional(),
  restarts: z.int().min(0).optional(),
  artefact: ReachableArtefact.optional(),
  queue: z
    .strictObject({
      position: z.int().min(1).optional().meta({
        description: "Place among the workloads that wait for the same ClusterQueue, the first being 1",
      }),
      clusterQueue: z.string().max(253).optional().meta({ description: "The ClusterQueue whose quota is used" }),
    })
    .optional()
    .meta({ description: "With spec.queueName: what Kueue says" }),
  lastFailure: LastFailure.optional(),
};

export type JobState = z.output<typeof JobState>;
