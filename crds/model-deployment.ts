/** ModelDeployment: serves a model over REST and rolls new versions out safely. */
import { z } from "zod";
import {
  Conditions,
  Digest,
  Gpu,
  LastFailure,
  ModelReference,
  PodOverrides,
  QueueName,
  Resources,
  ServingRuntime,
  Suspend,
  Time,
} from "./common.ts";
import type { Crd, Resource } from "./kind.ts";
import { Rollout } from "./rollout.ts";
import { Route } from "./route.ts";
import { Scaling } from "./scaling.ts";
import { withRule } from "./schema.ts";
import { servingShape } from "./serving.ts";

const Fields = z
  .strictObject({
    model: ModelReference,
    runtime: ServingRuntime.prefault({}),
    gpu: Gpu.optional(),
    resources: Resources.optional(),
    pod: PodOverrides.optional(),
    ...servingShape,
    scaling: Scaling,
    rollout: Rollout,
    route: Route.optional(),
    suspend: Suspend.meta({ description: "Stops all pods; false again starts them" }),
    queueName: QueueName.optional().meta({
      description: "Kueue's LocalQueue in this namespace, which says when each pod may start",
    }),
  })
  .meta({ description: "The deployment" });

const GpuWait = withRule(Fields, {
  rule: "self.rollout.onNoSpareGpu == 'Wait' || has(self.gpu)",
  message: "rollout.onNoSpareGpu needs spec.gpu; remove it, or ask for a GPU",
  fieldPath: ".rollout.onNoSpareGpu",
  holds: ({ rollout, gpu }) => rollout.onNoSpareGpu === "Wait" || gpu !== undefined,
});

const Spec = withRule(GpuWait, {
  rule: "!has(self.scaling.metric) || self.scaling.metric != 'Gpu' || has(self.gpu)",
  message: "scaling.metric Gpu needs spec.gpu; without a GPU choose Concurrency or QueueTime",
  fieldPath: ".scaling.metric",
  holds: ({ scaling, gpu }) => scaling.metric !== "Gpu" || gpu !== undefined,
});

export const RevisionState = z.enum(["Pending", "Loading", "Warming", "Serving", "Failed", "Retired"]);

const Status = z
  .strictObject({
    observedGeneration: z.int().optional(),
    conditions: Conditions.optional(),
    url: z.string().max(1024).optional().meta({ description: "Where the model answers inside the cluster" }),
    grpcUrl: z
      .string()
      .max(1024)
      .optional()
      .meta({ description: "Where it answers gRPC: a host and port, without TLS" }),
    hostnames: z
      .array(z.string().max(253))
      .max(16)
      .optional()
      .meta({ description: "Host names under which gateways lead to it, by spec.route" }),
    replicas: z.int().min(0).optional(),
    readyReplicas: z.int().min(0).optional(),
    desiredReplicas: z
      .int()
      .min(0)
      .optional()
      .meta({ description: "Pods that there should be; in mode Automatic the operator's decision" }),
    selector: z
      .string()
      .max(1024)
      .optional()
      .meta({ description: "Label selector of the pods, for the scale subresource" }),
    model: z
      .strictObject({ uri: z.string().max(1024), digest: Digest.optional() })
      .optional()
      .meta({ description: "The model that serves" }),
    engine: z.string().max(32).optional(),
    engineReason: z
      .string()
      .max(512)
      .optional()
      .meta({ description: "Why it is this engine, and how the model is computed on it" }),
    device: z.string().max(128).optional(),
    stableRevision: z.string().max(63).optional().meta({ description: "The revision that serves" }),
    canaryRevision: z.string().max(63).optional().meta({ description: "The revision that is being rolled out" }),
    canaryWeight: z
      .number()
      .min(0)
      .max(100)
      .optional()
      .meta({ description: "Percent of the requests that the revision that is being rolled out answers" }),
    step: z.int().min(1).max(20).optional().meta({ description: "The step of the canary, the first being 1" }),
    revisions: z
      .array(
        z.strictObject({
          name: z.string().max(63),
          modelUri: z.string().max(1024).optional(),
          modelDigest: z.string().max(80).optional(),
          state: RevisionState,
          replicas: z.int().min(0),
          readyReplicas: z.int().min(0),
          weight: z.number().min(0).max(100).meta({ description: "Percent of the requests that it answers" }),
          since: Time,
        }),
      )
      .max(64)
      .optional()
      .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] }),
    lastFailure: LastFailure.optional(),
    performance: z
      .strictObject({
        loadSeconds: z.number().min(0).optional(),
        warmupSeconds: z.number().min(0).optional(),
        peakMemoryBytes: z.int().min(0).optional(),
        coldStartSeconds: z
          .number()
          .min(0)
          .optional()
          .meta({ description: "From the request that found no pods to the first one that was ready" }),
      })
      .optional()
      .meta({ description: "Measured by the pods of the revision that serves" }),
  })
  .meta({ description: "What is known of the deployment" });

export const ModelDeployment: Crd = {
  kind: "ModelDeployment",
  plural: "modeldeployments",
  singular: "modeldeployment",
  shortNames: ["mdep"],
  description: "ModelDeployment serves a model over REST and rolls new versions out safely.",
  spec: Spec,
  status: Status,
  scale: {
    specReplicasPath: ".spec.scaling.replicas",
    statusReplicasPath: ".status.replicas",
    labelSelectorPath: ".status.selector",
  },
  columns: [
    { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: "Reason", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: "Replicas", type: "integer", jsonPath: ".status.readyReplicas" },
    { name: "Model", type: "string", jsonPath: ".status.model.uri" },
    { name: "Canary", type: "number", jsonPath: ".status.canaryWeight" },
    { name: "URL", type: "string", jsonPath: ".status.url" },
    { name: "Engine", type: "string", jsonPath: ".status.engine", priority: 1 },
    { name: "Device", type: "string", jsonPath: ".status.device", priority: 1 },
    { name: "Revision", type: "string", jsonPath: ".status.stableRevision", priority: 1 },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ],
};

export type ModelDeploymentSpec = z.output<typeof Spec>;
export type ModelDeploymentStatus = z.output<typeof Status>;
export type ModelDeployment = Resource<"ModelDeployment", ModelDeploymentSpec, ModelDeploymentStatus>;
export type RevisionState = z.output<typeof RevisionState>;
