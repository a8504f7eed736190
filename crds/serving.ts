/** How a served model takes its requests: batches, queue, warm-up, and what is done around the model. */
import { z } from "zod";
import { Duration, durationSeconds, oneOf, withRule } from "./schema.ts";

/** Milliseconds as Kubernetes users write them; such delays are far below a second. */
const Delay = (description: string) =>
  z
    .string()
    .regex(/^([0-9]{1,5}ms|[0-9]{1,2}s)$/)
    .max(8)
    .meta({ description: `${description} (such as 2ms, 1s)` });

const BatchSize = z.int().min(1).max(4096);

const Batching = withRule(
  z
    .strictObject({
      maxBatchSize: BatchSize.default(64).meta({ description: "Rows that are computed together at most" }),
      maxDelay: Delay(
        "How long an idle engine waits for more rows before it computes a batch that is not full",
      ).default("0ms"),
      allowedSizes: z.array(BatchSize).min(1).max(16).optional().meta({
        description: "Rows of the batches that the engine gets to see; smaller batches are padded to the next size",
      }),
    })
    .meta({ description: "How requests are put together" }),
  {
    rule: "!has(self.allowedSizes) || self.allowedSizes.exists(rows, rows >= self.maxBatchSize)",
    message: "allowedSizes must hold a size of at least maxBatchSize; add one, or lower maxBatchSize",
    fieldPath: ".allowedSizes",
    holds: ({ allowedSizes, maxBatchSize }) => allowedSizes?.some((rows) => rows >= maxBatchSize) ?? true,
  },
);

const MAX_TIMEOUT_SECONDS = 3600;

const Queue = withRule(
  z
    .strictObject({
      maxRequests: z
        .int()
        .min(1)
        .max(100_000)
        .default(256)
        .meta({ description: "Requests that may wait in one pod; one more is refused with 429" }),
      timeout: Duration("How long a request may take that names no deadline of its own").default("30s"),
    })
    .meta({ description: "The queue before the engine" }),
  {
    rule: "duration(self.timeout) > duration('0s') && duration(self.timeout) <= duration('1h')",
    message: "timeout must be from 1s to 1h",
    fieldPath: ".timeout",
    holds: ({ timeout }) => durationSeconds(timeout) > 0 && durationSeconds(timeout) <= MAX_TIMEOUT_SECONDS,
  },
);

const Warmup = z
  .strictObject({
    requests: z
      .int()
      .min(1)
      .max(100)
      .default(1)
      .meta({ description: "How often each size of batch is computed before a pod is ready" }),
    sample: z.unknown().optional().meta({
      description: "One instance, as in the predict call's instances; default: zeros",
      "x-kubernetes-preserve-unknown-fields": true,
    }),
  })
  .meta({ description: "What is computed before a pod is ready" });

/** A file of the model's folder. */
const ModelFile = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/);

const Input = z.string().min(1).max(128).optional().meta({
  description: "The model's input that is meant; may be left out when there is one",
});

const InputStep = oneOf(
  {
    rescale: z
      .strictObject({ scale: z.number(), offset: z.number().default(0), input: Input })
      .meta({ description: "x * scale + offset" }),
    normalize: z
      .strictObject({
        mean: z.array(z.number()).min(1).max(4096),
        std: z.array(z.number().gt(0)).min(1).max(4096),
        input: Input,
      })
      .meta({ description: "(x - mean) / std, by the last dimension" }),
    image: z
      .strictObject({
        width: z.int().min(1).max(4096),
        height: z.int().min(1).max(4096),
        channels: z.literal([1, 3]).meta({ description: "1: grey, 3: RGB" }),
        fit: z.enum(["Fill", "Cover", "Contain"]).default("Fill").meta({
          description: "Fill stretches, Cover crops the middle, Contain leaves black bars",
        }),
        input: Input,
      })
      .meta({ description: "A JPEG or PNG, as bytes, becomes a tensor of height, width and channels from 0 to 255" }),
    oneHot: z
      .strictObject({ classes: z.int().min(2).max(1_000_000), input: Input })
      .meta({ description: "A class's number becomes a row of zeros and a one" }),
    tokenize: z
      .strictObject({
        vocabulary: ModelFile.default("vocab.txt").meta({ description: "File beside the model: a token in each line" }),
        maxLength: z
          .int()
          .min(1)
          .max(65_536)
          .meta({ description: "Ids of a text; longer ones are cut, shorter padded" }),
        lowerCase: z.boolean().default(true),
        input: Input,
        maskInput: Input.meta({ description: "Input that gets 1 for each id of the text and 0 for padding" }),
      })
      .meta({ description: "A text becomes the ids of its words, or of their pieces (WordPiece)" }),
  },
  "One step before the model",
);

const Labels = withRule(
  z
    .strictObject({
      names: z.array(z.string().min(1).max(256)).min(1).max(100_000).optional(),
      file: ModelFile.optional().meta({ description: "File beside the model: a name in each line" }),
    })
    .meta({ description: "Names of the classes: exactly one of names and file" }),
  {
    rule: "has(self.names) != has(self.file)",
    message: "exactly one of names and file must be set; remove the other",
    holds: (labels) => (labels.names === undefined) !== (labels.file === undefined),
  },
);

const OutputStep = oneOf(
  {
    labels: Labels,
    topK: z.int().min(1).max(1000).meta({ description: "Keeps the highest scores, in falling order" }),
    threshold: z.number().meta({ description: "Adds an output that says which scores reach it" }),
  },
  "One step after the model",
);

const Processing = z
  .strictObject({
    input: z.array(InputStep).max(8).optional().meta({ description: "Before the model, in this order" }),
    output: z
      .array(OutputStep)
      .max(3)
      .optional()
      .meta({ description: "After the model, about its scores; each kind once" }),
  })
  .meta({ description: "What is done with requests before the model, and with its outputs" });

const Logging = z
  .strictObject({
    access: z.enum(["None", "Errors", "All"]).default("Errors").meta({
      description:
        "Which requests are logged: a line each with its id, trace, status, time and size, never its content",
    }),
  })
  .meta({ description: "What pods log of requests" });

/** The part of a ModelDeployment's spec that is about requests. */
export const servingShape = {
  batching: Batching.optional(),
  queue: Queue.optional(),
  warmup: Warmup.optional(),
  processing: Processing.optional(),
  logging: Logging.optional(),
};

export const ServingSettings = z.strictObject(servingShape);

/** What holds where a spec says nothing. */
export const DEFAULT_BATCHING = Batching.parse({});
export const DEFAULT_QUEUE = Queue.parse({});
export const DEFAULT_WARMUP = Warmup.parse({});
export const DEFAULT_LOGGING = Logging.parse({});

export type ServingSettings = z.output<typeof ServingSettings>;
export type Processing = z.output<typeof Processing>;
export type InputStep = z.output<typeof InputStep>;
export type OutputStep = z.output<typeof OutputStep>;

/** Milliseconds of a `Delay`. */
export function delayMilliseconds(delay: string): number {
  return delay.endsWith("ms") ? Number(delay.slice(0, -2)) : Number(delay.slice(0, -1)) * 1000;
}
