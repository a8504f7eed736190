/** A step of training that may keep weights at zero, and that may learn from a teacher besides the labels. */
import type { LayersModel, Scalar, Tensor } from "@tensorflow/tfjs";
import type { Teaching } from "../../crds/optimization-methods.ts";
import { Optimizer } from "../../crds/optimizer.ts";
import type { Tf } from "../engine/backend.ts";
import { runsGraphs } from "../engine/session.ts";
import type { Objective } from "../training/objective.ts";
import type { Examples } from "../data/dataset.ts";
import { compileStep } from "../training/compiled-step.ts";
import { opByOpStep } from "../training/op-by-op-step.ts";
import type { TrainStep } from "../training/train-step.ts";
import { type AnswerKind, distillationLoss, softLoss } from "./distillation/loss.ts";
import { type MaskPlan, Masks } from "./sparsity/masks.ts";

/** Both models answer as `kind` says: for classes, logits. */
export interface Teacher extends Teaching {
  model: LayersModel;
  kind: AnswerKind;
}

export interface TuningOptions {
  model: LayersModel;
  objective: Objective;
  /** What is trained on. */
  examples: Examples;
  learningRate: number;
  seed: number;
  masks?: MaskPlan | undefined;
  teacher?: Teacher | undefined;
}

/** The teacher's answers are computed once for a batch: nothing in them is learned. */
function lessonOf(tf: Tf, { model, kind, temperature, alpha }: Teacher) {
  return (features: Tensor) => {
    const taught = model.predictOnBatch(features) as Tensor;
    return (answer: Tensor, loss: Scalar) =>
      distillationLoss(tf, alpha, softLoss(tf, kind, taught, answer, temperature), loss);
  };
}

/** What is zero stays zero, in the model and in what is saved of it. */
function masking(step: TrainStep, masks: Masks): TrainStep {
  return {
    ...step,
    run: (batch, number, rateFactor) => {
      masks.before(number);
      const values = step.run(batch, number, rateFactor);
      masks.apply();
      return values;
    },
    read: () => [...masks.read(), ...step.read()],
    write: (values) => {
      masks.write(values.slice(0, masks.count));
      step.write(values.slice(masks.count));
    },
    dispose: () => {
      step.dispose();
      masks.dispose();
    },
  };
}

/**
 * As the steps of a training, with Adam; the teacher stays its owner's. Compiled where nothing but labels teaches, no
 * weights are masked, and engine and model allow it.
 */
export async function tuningStep(
  tf: Tf,
  { learningRate, masks, teacher, ...options }: TuningOptions,
): Promise<TrainStep> {
  const optimizer = Optimizer.parse({ adam: { learningRate } });
  if (masks === undefined && teacher === undefined && runsGraphs(tf)) {
    const { step } = await compileStep(tf, { ...options, optimizer });
    if (step !== undefined) return step;
  }
  const lesson = teacher === undefined ? undefined : lessonOf(tf, teacher);
  const step = opByOpStep(tf, { ...options, optimizer, lesson });
  return masks === undefined ? step : masking(step, new Masks(tf, options.model, masks));
}
