/** What a pod says of itself: GET /progress on the management port, and at the end its termination message. */
import { z } from "zod";
import { Energy, Privacy } from "../accounts.ts";
import { ArtefactStatus, Digest } from "../common.ts";
import { CANDIDATES_LIMIT, Candidate, Measurement, Saved as SavedCandidates } from "../optimization-job.ts";
import { JobState } from "../job.ts";
import { EarlyStop, HISTORY_LIMIT, PhaseSeconds, TrainingEpoch } from "../training-job.ts";
import { FAILURE_REASONS } from "./exit-code.ts";

const Failure = z.strictObject({
  reason: z.enum(FAILURE_REASONS),
  /** Names the field or file and the remedy; never quotes data. */
  message: z.string().max(1024),
  exitCode: z.int(),
});

const numbers = z.record(z.string().max(64), z.number());

const common = {
  engine: z.string().max(32).optional(),
  device: z.string().max(128).optional(),
  failure: Failure.optional(),
};

const jobCommon = {
  ...common,
  run: z.string().max(63),
  state: JobState,
  progressPercent: z.int().min(0).max(100),
  etaSeconds: z.int().min(0).optional(),
  artefact: ArtefactStatus.optional(),
  /** True when a finished artefact of the same specification was found and nothing was computed. */
  adopted: z.boolean().optional(),
};

/** A moment of a training. */
const Position = z.strictObject({
  /** Finished epochs. */
  epoch: z.int().min(0),
  /** Finished steps of all epochs. */
  step: z.int().min(0),
  time: z.iso.datetime().max(32),
});

export const TrainingProgress = z.strictObject({
  kind: z.literal("TrainingProgress"),
  ...jobCommon,
  epoch: z.int().min(0),
  epochs: z.int().min(1),
  step: z.int().min(0),
  /** Is a step one graph of TensorFlow? */
  compiled: z.boolean().optional(),
  /** Why it is not. */
  notCompiled: z.string().max(512).optional(),
  loss: z.number().optional(),
  metrics: numbers.optional(),
  evaluation: numbers.optional(),
  history: z.array(TrainingEpoch).max(HISTORY_LIMIT).optional(),
  stopped: EarlyStop.optional(),
  examplesPerSecond: z.number().min(0).optional(),
  phaseSeconds: PhaseSeconds.optional(),
  privacy: Privacy.optional(),
  energy: Energy.optional(),
  /** The newest saved state. */
  checkpoint: Position.optional(),
  /** The saved state from which this process continued, and when. */
  resumed: Position.optional(),
});

export const OptimizationProgress = z.strictObject({
  kind: z.literal("OptimizationProgress"),
  ...jobCommon,
  /** Digest of the model that is optimized. */
  modelDigest: Digest.optional(),
  /** The method at work, such as `prune`, `fineTune`, `quantize`, `measure`. */
  step: z.string().max(63).optional(),
  before: Measurement.optional(),
  after: Measurement.optional(),
  sizeRatio: z.number().optional(),
  speedup: z.number().optional(),
  accuracyDrop: z.number().optional(),
  missedGoals: z.array(z.string().max(256)).max(8).optional(),
  /** What got worse. */
  worse: z.array(z.string().max(256)).max(8).optional(),
  candidates: z.array(Candidate).max(CANDIDATES_LIMIT).optional(),
  /** The newest saved state. */
  checkpoint: SavedCandidates.optional(),
  /** The saved state from which this process continued, and when. */
  resumed: SavedCandidates.optional(),
});

export const ServingProgress = z.strictObject({
  kind: z.literal("ServingProgress"),
  ...common,
  revision: z.string().max(63),
  state: z.enum(["Loading", "Warming", "Serving", "Draining", "Failed"]),
  model: z.strictObject({ uri: z.string().max(1024), digest: z.string().max(80).optional() }),
  /** Why it is this engine, and how the model is computed on it. */
  engineReason: z.string().max(512).optional(),
  loadSeconds: z.number().min(0).optional(),
  warmupSeconds: z.number().min(0).optional(),
  peakMemoryBytes: z.int().min(0).optional(),
});

export const Progress = z.discriminatedUnion("kind", [TrainingProgress, OptimizationProgress, ServingProgress]);

export type Failure = z.output<typeof Failure>;
export type Position = z.output<typeof Position>;
export type TrainingProgress = z.output<typeof TrainingProgress>;
export type OptimizationProgress = z.output<typeof OptimizationProgress>;
export type ServingProgress = z.output<typeof ServingProgress>;
export type Progress = z.output<typeof Progress>;
