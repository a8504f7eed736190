/** Trains a model that a method has changed. */
import type { FineTune, Teaching } from "../../crds/optimization-methods.ts";
import type { Examples } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { type StoredModel, buildLayersModel, storeLayersModel } from "../formats/tfjs-layers.ts";
import { trainLoop } from "../training/loop.ts";
import type { Objective } from "../training/objective.ts";
import type { Position } from "../training/position.ts";
import type { TrainStep } from "../training/train-step.ts";
import { weightsOf, withWeights } from "./channels/weights.ts";
import { type Lesson, lessonOf } from "./distillation/answer.ts";
import type { MaskPlan } from "./sparsity/masks.ts";
import { tuningStep } from "./tuning-step.ts";

/** How a training is saved and ended. */
export interface Watch {
  signal: AbortSignal;
  /** Puts back what a former process saved, if it did. */
  resume: (step: TrainStep) => Promise<Position | undefined>;
  /** After each step; the next waits for it. */
  passed: (position: Position) => Promise<void>;
  /** The training is asked to end here. */
  save: () => Promise<void>;
  /** Share of the training that is done. */
  onShare: (share: number) => void;
}

export interface Tuning extends Pick<FineTune, "epochs" | "batchSize" | "learningRate"> {
  objective: Objective;
  train: Examples;
  seed: number;
  masks?: MaskPlan | undefined;
  /** The model whose answers are learned, and how. */
  teacher?: { stored: StoredModel; teaching: Teaching } | undefined;
}

async function lessonFor(tf: Tf, { teacher, objective }: Tuning): Promise<Lesson | undefined> {
  if (teacher === undefined) return undefined;
  const model = await buildLayersModel(tf, teacher.stored, "the teacher");
  const lesson = lessonOf(model, teacher.stored, objective);
  model.dispose();
  return lesson;
}

/** The student's own layers may be others than the teacher's, but must answer in the same way. */
async function answering(tf: Tf, stored: StoredModel, lesson: Lesson | undefined, objective: Objective) {
  if (lesson === undefined) return stored;
  const model = await buildLayersModel(tf, stored, "the student");
  const own = lessonOf(model, stored, objective);
  model.dispose();
  if (own.kind === lesson.kind) return own.unactivated(stored);
  throw new Failure(
    "InvalidSpec",
    "spec.methods: the student's last activation is not its teacher's; give it the same",
  );
}

/** The stored model with the weights that training gives it. Throws Failure; the signal's reason once it is aborted. */
export async function tune(tf: Tf, stored: StoredModel, tuning: Tuning, watch: Watch): Promise<StoredModel> {
  const { train, epochs, batchSize, learningRate, seed, masks, teacher } = tuning;
  const lesson = await lessonFor(tf, tuning);
  const objective = lesson === undefined ? { ...tuning.objective, metrics: [] } : lesson.objective;
  const model = await buildLayersModel(tf, await answering(tf, stored, lesson, tuning.objective), "the changed model");
  const taught =
    lesson === undefined || teacher === undefined
      ? undefined
      : {
          ...teacher.teaching,
          kind: lesson.kind,
          model: await buildLayersModel(tf, lesson.unactivated(teacher.stored), "the teacher"),
        };
  const step = await tuningStep(tf, { model, objective, examples: train, learningRate, seed, masks, teacher: taught });
  try {
    await trainLoop(tf, {
      model,
      objective,
      step,
      train,
      epochs,
      batchSize,
      seed,
      from: await watch.resume(step),
      signal: watch.signal,
      clock: () => performance.now(),
      onState: (state) => watch.onShare(state.step / state.steps),
      onPosition: async (position) => {
        await watch.passed(position);
        watch.signal.throwIfAborted();
      },
    });
    const trained = weightsOf(await storeLayersModel(tf, model));
    return withWeights(stored, stored.topology, trained);
  } catch (error) {
    if (error === watch.signal.reason) await watch.save();
    throw error;
  } finally {
    step.dispose();
    model.dispose();
    taught?.model.dispose();
  }
}
