/** Applies one method to a product. */
import type { Distil, FineTune, Method, Prune } from "../../crds/optimization-methods.ts";
import { batchCount } from "../data/batches.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { type StoredModel, buildLayersModel } from "../formats/tfjs-layers.ts";
import type { Objective } from "../training/objective.ts";
import { analyse } from "./channels/analysis.ts";
import { removeChannels } from "./channels/removal.ts";
import { leastImportant } from "./channels/selection.ts";
import { weightsOf } from "./channels/weights.ts";
import { studentOf } from "./distillation/student.ts";
import type { Product } from "./product.ts";
import { keepingZeros, maskPlan, masked } from "./sparsity/masks.ts";
import { type Tuning, type Watch, tune } from "./tuning.ts";

export interface Circumstances {
  tf: Tf;
  objective: Objective;
  seed: number;
  /** Examples for fine-tuning and distillation. */
  train?: Dataset | undefined;
  watch: Watch;
  /** What is at work: `prune`, `fineTune`, `distil`, `quantize`. */
  onStep: (step: string) => void;
}

/** What fine-tuning and distillation have in common. Throws Failure InvalidSpec without examples. */
function training({ epochs, batchSize, learningRate }: FineTune | Distil, { objective, seed, train }: Circumstances) {
  if (train === undefined) {
    throw new Failure(
      "InvalidSpec",
      "spec.dataset.train: training needs examples; set it, or remove fineTune and distil",
    );
  }
  return { epochs, batchSize, learningRate, objective, seed, train } satisfies Tuning;
}

async function withModel<T>(
  tf: Tf,
  stored: StoredModel,
  use: (model: Awaited<ReturnType<typeof buildLayersModel>>) => T | Promise<T>,
) {
  const model = await buildLayersModel(tf, stored, "the model");
  try {
    return await use(model);
  } finally {
    model.dispose();
  }
}

async function removeUnits(stored: StoredModel, prune: Prune, { tf }: Circumstances): Promise<StoredModel> {
  const { structured } = prune;
  if (structured === undefined) return stored;
  return withModel(tf, stored, (model) => {
    const analysis = analyse(model);
    const removed = leastImportant(analysis, weightsOf(stored), structured.sparsity, structured.criterion);
    if (removed.size > 0) return removeChannels(stored, analysis, removed);
    throw new Failure(
      "InvalidSpec",
      "spec.methods: prune.structured finds no unit or filter that may be removed; raise sparsity, or remove prune",
    );
  });
}

async function prune(before: Product, method: Prune, circumstances: Circumstances): Promise<Product> {
  const { tf, watch, onStep } = circumstances;
  const { fineTune } = method;
  const smaller = await removeUnits(before.stored, method, circumstances);
  const sparse = before.sparse || method.structured === undefined;
  if (fineTune === undefined) {
    const plan = maskPlan(method, 0);
    return { stored: plan === undefined ? smaller : masked(smaller, plan), sparse };
  }
  onStep("fineTune");
  const common = training(fineTune, circumstances);
  const { distillation } = fineTune;
  const plan = maskPlan(method, common.epochs * batchCount(common.train, common.batchSize));
  const tuning: Tuning = {
    ...common,
    masks: plan ?? (before.sparse ? keepingZeros : undefined),
    teacher: distillation === undefined ? undefined : { stored: before.stored, teaching: distillation },
  };
  return { stored: await tune(tf, smaller, tuning, watch), sparse };
}

async function distil({ stored }: Product, method: Distil, circumstances: Circumstances): Promise<Product> {
  const { tf, objective, seed, watch } = circumstances;
  const student = await withModel(tf, stored, (model) => studentOf(tf, model, stored, method, { objective, seed }));
  const { temperature, alpha } = method;
  const teacher = { stored, teaching: { temperature, alpha } };
  const tuning = { ...training(method, circumstances), teacher };
  return { stored: await tune(tf, student, tuning, watch), sparse: false };
}

/** What becomes of the product. Throws Failure; the reason of the watch's signal once it is aborted. */
export async function applyMethod(before: Product, method: Method, circumstances: Circumstances): Promise<Product> {
  const { onStep } = circumstances;
  if (method.distil !== undefined) {
    onStep("distil");
    return distil(before, method.distil, circumstances);
  }
  if (method.prune !== undefined) {
    onStep("prune");
    return prune(before, method.prune, circumstances);
  }
  onStep("quantize");
  return { ...before, quantize: method.quantize };
}
