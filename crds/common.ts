/** Parts that the three kinds share. */
import { z } from "zod";
import { accessRules, accessShape, Uri } from "./location.ts";
import { ObjectName, Quantity, withRule, withRules } from "./schema.ts";

export const GROUP = "modelwright.dev";
export const VERSION = "v1alpha1";
export const API_VERSION = `${GROUP}/${VERSION}`;
export const CATEGORY = "modelwright";

export const Digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .meta({ description: "sha256 of the artefact's manifest in canonical form" });

export const JobReference = z
  .strictObject({
    kind: z.enum(["TrainingJob", "OptimizationJob"]).meta({ description: "Kind of the job that built the model" }),
    name: ObjectName.meta({ description: "Name of the job, in the same namespace" }),
  })
  .meta({ description: "The newest successful artefact of a job in the same namespace" });

export const ModelReference = withRule(
  withRules(
    z
      .strictObject({
        uri: Uri.optional(),
        ...accessShape,
        from: JobReference.optional(),
        digest: Digest.optional().meta({
          description: "The digest that the model must have; anything else is refused before it is used",
        }),
      })
      .meta({ description: "The model: exactly one of uri and from" }),
    accessRules(["uri"]),
  ),
  {
    rule: "has(self.uri) != has(self.from)",
    message: "exactly one of uri and from must be set; remove the other",
    holds: (model) => (model.uri === undefined) !== (model.from === undefined),
  },
);

export const Runtime = z
  .strictObject({
    image: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .meta({ description: "Runtime image; default: the one that the operator was installed with" }),
    engine: z.enum(["Auto", "TensorFlow", "Wasm"]).default("Auto").meta({
      description: "What computes. Auto: TensorFlow (libtensorflow) where the image has it, else Wasm",
    }),
  })
  .meta({ description: "What runs the model" });

export const ServingRuntime = Runtime.extend({
  engine: z.enum(["Auto", "TensorFlow", "OnnxRuntime", "Wasm"]).default("Auto").meta({
    description:
      "What computes. Auto: the fastest that can: ONNX Runtime (models compiled to ONNX), else TensorFlow (libtensorflow) where the image has it, else Wasm; with gpu, TensorFlow",
  }),
  allowSavedModel: z.boolean().optional().meta({
    description:
      "Serves a SavedModel, too: a program that can do whatever its pod may, so only from those whom you trust. Default: it is refused",
  }),
}).meta({ description: "What runs the model" });

export const Gpu = withRule(
  withRule(
    z
      .strictObject({
        count: z.int().min(1).max(16).optional().meta({ description: "How many GPUs each pod gets" }),
        resourceName: z
          .string()
          .max(253)
          .regex(/^[a-z0-9][-a-z0-9.]*\/[A-Za-z0-9][-A-Za-z0-9_.]*$/)
          .optional()
          .meta({ description: "Extended resource to ask for; default nvidia.com/gpu, or a MIG profile's name" }),
        products: z
          .array(z.string().min(1).max(63))
          .min(1)
          .max(16)
          .optional()
          .meta({ description: "Accepted values of the node label nvidia.com/gpu.product" }),
        resourceClaimTemplateName: ObjectName.optional().meta({
          description: "ResourceClaimTemplate to claim devices from (Dynamic Resource Allocation), instead of count",
        }),
        onMissing: z.enum(["Fail", "UseCpu"]).default("Fail").meta({
          description: "What a pod does that asked for a GPU and sees none",
        }),
      })
      .meta({ description: "GPU of each pod; without it pods run on the CPU" }),
    {
      rule: "has(self.count) != has(self.resourceClaimTemplateName)",
      message: "exactly one of count and resourceClaimTemplateName must be set; remove the other",
      holds: (gpu) => (gpu.count === undefined) !== (gpu.resourceClaimTemplateName === undefined),
    },
  ),
  {
    rule: "!has(self.resourceClaimTemplateName) || (!has(self.resourceName) && !has(self.products))",
    message:
      "resourceName and products belong to count; with resourceClaimTemplateName select devices in the template instead",
    holds: (gpu) =>
      gpu.resourceClaimTemplateName === undefined || (gpu.resourceName === undefined && gpu.products === undefined),
  },
);

const quantities = (description: string) =>
  z.record(z.string(), Quantity).optional().meta({ description, maxProperties: 16 });

export const Resources = z
  .strictObject({
    requests: quantities("Requested amounts, by resource name"),
    limits: quantities("Upper bounds, by resource name; the engine's threads follow the cpu limit"),
  })
  .meta({ description: "Compute resources of the pod's container (GPUs: see gpu)" });

const OWN_KEYS = "modelwright.dev/";

const stringMap = (description: string, max: number) =>
  withRule(z.record(z.string(), z.string().max(1024)).meta({ description, maxProperties: max }), {
    rule: `self.all(key, !key.startsWith('${OWN_KEYS}') && !key.startsWith('app.kubernetes.io/'))`,
    message: "keys under modelwright.dev/ and app.kubernetes.io/ are set by the operator; use another key",
    holds: (map) => Object.keys(map).every((key) => !key.startsWith(OWN_KEYS) && !key.startsWith("app.kubernetes.io/")),
  }).optional();

const Toleration = z.strictObject({
  key: z.string().max(316).optional(),
  operator: z.enum(["Exists", "Equal"]).optional(),
  value: z.string().max(63).optional(),
  effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
  tolerationSeconds: z.int().min(0).optional(),
});

const EnvVar = withRule(
  z.strictObject({
    name: z
      .string()
      .min(1)
      .max(128)
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/),
    value: z.string().max(4096).default(""),
  }),
  {
    rule: "!self.name.startsWith('MODELWRIGHT_')",
    message: "names that begin with MODELWRIGHT_ are set by the operator; use another name",
    fieldPath: ".name",
    holds: (env) => !env.name.startsWith("MODELWRIGHT_"),
  },
);

export const PodOverrides = z
  .strictObject({
    labels: stringMap("Labels added to the pods", 32),
    annotations: stringMap("Annotations added to the pods", 32),
    nodeSelector: z
      .record(z.string(), z.string().max(63))
      .optional()
      .meta({ description: "Labels that a node must have", maxProperties: 32 }),
    tolerations: z.array(Toleration).max(32).optional().meta({
      description: "Taints that the pods tolerate, besides the GPU resource's own",
    }),
    affinity: z.record(z.string(), z.unknown()).optional().meta({
      description: "Affinity as in a pod's spec",
      "x-kubernetes-preserve-unknown-fields": true,
    }),
    priorityClassName: ObjectName.optional().meta({ description: "PriorityClass of the pods" }),
    serviceAccountName: ObjectName.optional().meta({
      description: "ServiceAccount of the pods; its token is never mounted",
    }),
    runtimeClassName: ObjectName.optional().meta({ description: "RuntimeClass of the pods" }),
    schedulerName: ObjectName.optional().meta({ description: "Scheduler that places the pods" }),
    imagePullSecrets: z
      .array(z.strictObject({ name: ObjectName }))
      .max(8)
      .optional()
      .meta({
        description: "Secrets of type kubernetes.io/dockerconfigjson for pulling the runtime image",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
      }),
    env: z
      .array(EnvVar)
      .max(32)
      .optional()
      .meta({
        description: "Environment variables of the container",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
      }),
  })
  .meta({ description: "What platform teams need to override; nothing here weakens the restricted profile" });

export const Suspend = z.boolean().default(false);

/** A label's value, which is where Kueue reads it. */
export const QueueName = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);

/** Time as Kubernetes writes it. */
export const Time = z.string().meta({ format: "date-time" });

export const Condition = z.strictObject({
  type: z.string().max(63),
  status: z.enum(["True", "False", "Unknown"]),
  reason: z.string().max(63),
  message: z.string().max(1024),
  lastTransitionTime: Time,
  observedGeneration: z.int().optional(),
});

export const Conditions = z
  .array(Condition)
  .max(16)
  .meta({
    description: "Conditions, with reasons from a documented closed list",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
  });

export const LastFailure = z
  .strictObject({
    reason: z.string().max(63),
    message: z.string().max(1024),
    exitCode: z.int().optional(),
    revision: z.string().max(63).optional(),
    time: Time,
  })
  .meta({ description: "The last failure, with its remedy" });

export const ArtefactStatus = z
  .strictObject({
    uri: z.string().max(1024),
    digest: Digest,
    format: z.string().max(32),
    bytes: z.int().min(0),
  })
  .meta({ description: "The finished, immutable artefact" });

/** With the way to it, which the spec says; what a pod reports has no such fields. */
export const ReachableArtefact = ArtefactStatus.extend(accessShape).meta({
  description: "The finished, immutable artefact",
});

export type ModelReference = z.output<typeof ModelReference>;
export type Runtime = z.output<typeof Runtime>;
export type EngineChoice = Runtime["engine"];
export type ServingEngineChoice = z.output<typeof ServingRuntime>["engine"];
export type Gpu = z.output<typeof Gpu>;
export type Resources = z.output<typeof Resources>;
export type PodOverrides = z.output<typeof PodOverrides>;
export type Condition = z.output<typeof Condition>;
export type LastFailure = z.output<typeof LastFailure>;
export type ArtefactStatus = z.output<typeof ArtefactStatus>;
export type ReachableArtefact = z.output<typeof ReachableArtefact>;
