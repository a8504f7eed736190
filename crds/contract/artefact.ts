/** The artefact: a folder with the model's files and this manifest, written last and atomically. */
import { z } from "zod";
import { Energy, Privacy } from "../accounts.ts";
import { Digest } from "../common.ts";
import { Loss, LossOptions, Metric } from "../objective.ts";
import { Candidate, Measurement } from "../optimization-job.ts";
import { digestOf } from "./canonical.ts";

/** Datatypes by their names in the Open Inference Protocol. */
export const Datatype = z.enum([
  "BOOL",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "FP16",
  "BF16",
  "FP32",
  "FP64",
  "BYTES",
]);

const Tensor = z.strictObject({
  name: z.string().min(1),
  datatype: Datatype,
  /** -1 is the batch dimension. */
  shape: z.array(z.int()),
});

export const ArtefactManifest = z.strictObject({
  schemaVersion: z.literal(1),
  name: z.string(),
  format: z.enum(["TfjsLayers", "TfjsGraph", "Keras", "KerasH5", "Onnx", "SavedModel"]),
  /** All files but the manifest, paths relative, sorted. */
  files: z.array(
    z.strictObject({
      path: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/),
      bytes: z.int().min(0),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
  signature: z.strictObject({ inputs: z.array(Tensor), outputs: z.array(Tensor) }),
  parameters: z.int().min(0),
  /** How the model was trained: what fine-tuning and evaluation need to know. */
  training: z
    .strictObject({
      loss: Loss,
      lossOptions: LossOptions.optional(),
      metrics: z.array(Metric),
      /** Number of classes of one-hot labels; absent: labels are used as they are. */
      oneHotClasses: z.int().optional(),
    })
    .optional(),
  /** Finished epochs of the training that made it. */
  epochs: z.int().min(0).optional(),
  /** Loss and metrics on held-out data. */
  evaluation: z.record(z.string(), z.number()).optional(),
  /** What an optimization measured, and what it tried. */
  optimization: z.strictObject({ before: Measurement, after: Measurement, candidates: z.array(Candidate) }).optional(),
  lineage: z.strictObject({
    job: z.strictObject({ kind: z.string(), namespace: z.string(), name: z.string(), uid: z.string() }),
    run: z.string(),
    specHash: z.string(),
    /** Digests of the models that this one was made from. */
    parents: z.array(Digest),
    /** Digest of the training data's files. */
    dataset: Digest.optional(),
    software: z.record(z.string(), z.string()),
  }),
  licence: z.string().optional(),
  /** What the training gives away of its examples. */
  privacy: Privacy.optional(),
  /** What making it took, all attempts together. */
  energy: Energy.optional(),
  createdAt: z.string(),
});

export type ArtefactManifest = z.output<typeof ArtefactManifest>;
export type Tensor = z.output<typeof Tensor>;
export type Datatype = z.output<typeof Datatype>;

/** The digest by which everything refers to the artefact. */
export function artefactDigest(manifest: ArtefactManifest): string {
  return digestOf(manifest);
}

/** Folder with what people and auditors read about the model; no part of the model. */
export const DOCUMENTS_FOLDER = "documents";

export function isDocument({ path }: { path: string }): boolean {
  return path.startsWith(`${DOCUMENTS_FOLDER}/`);
}

/** Bytes of the model's files. */
export function artefactBytes(manifest: ArtefactManifest): number {
  return manifest.files.filter((file) => !isDocument(file)).reduce((sum, file) => sum + file.bytes, 0);
}
