/** How far an update has come: kept as an annotation of its Deployment, so that a lost operator or status loses nothing. */
import { z } from "zod";

export const PROGRESS_ANNOTATION = "modelwright.dev/rollout";

const Milliseconds = z.number().min(0);

const Progress = z.strictObject({
  /** Canary: index of the step; Rolling: pods that have moved. */
  step: z.int().min(0).optional(),
  /** When the step, or whatever is waited for, began. */
  at: Milliseconds.optional(),
  /** Since when all pods that serve follow the step. */
  since: Milliseconds.optional(),
  /** What the analysis has found. */
  breach: z.string().max(1024).optional(),
  /** The version that serves was stopped to make room. */
  swap: z.literal(true).optional(),
  paused: z.literal(true).optional(),
  /** The action of spec.rollout that was carried out. */
  acted: z.enum(["Promote", "Abort", "Undo"]).optional(),
});

export type Progress = z.output<typeof Progress>;

/** What an annotation says; nothing where it is missing or was tampered with. */
export function readProgress(text: string | undefined): Progress {
  if (text === undefined) return {};
  try {
    const parsed = Progress.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : {};
  } catch {
    return {};
  }
}

/** Undefined where there is nothing to remember. */
export function writeProgress(progress: Progress): string | undefined {
  const text = JSON.stringify(progress);
  return text === "{}" ? undefined : text;
}
