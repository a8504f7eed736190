/** Applies the methods of an optimization, in order. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { OptimizationRun } from "../../crds/contract/run.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Backend } from "../engine/backend.ts";
import { buildLayersModel, quantizeStored, storeLayersModel, type StoredModel } from "../formats/tfjs-layers.ts";
import { trainLoop } from "../training/loop.ts";
import type { Objective } from "../training/objective.ts";
import { opByOpStep } from "../training/train-step.ts";
import { pruneChain } from "./prune.ts";
import { exampleShapeOf, putTogether, takeApart } from "./surgery.ts";

type Optimization = OptimizationRun["optimization"];
type Method = Optimization["methods"][number];
type FineTune = NonNullable<NonNullable<Method["prune"]>["fineTune"]>;

export interface Circumstances {
  backend: Backend;
  objective: Objective;
  seed: number;
  /** Examples for fine-tuning. */
  train?: Dataset | undefined;
  /** `share`: how much of all methods is done, from 0 to 1. */
  onStep: (step: string, share: number) => void;
}

/** Adam as Keras has it; only its step size can be chosen. */
const adamWith = (learningRate: number) => ({ adam: { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } });

async function prune(model: LayersModel, sparsity: number, { backend }: Circumstances): Promise<LayersModel> {
  const stored = await storeLayersModel(backend.tf, model);
  const layers = pruneChain(takeApart(model, stored), exampleShapeOf(model), sparsity);
  const pruned = await buildLayersModel(backend.tf, putTogether(stored, layers), "the pruned model");
  model.dispose();
  return pruned;
}

async function fineTune(
  model: LayersModel,
  { epochs, batchSize, learningRate }: FineTune,
  { backend: { tf }, objective, seed, train }: Circumstances,
  onShare: (share: number) => void,
): Promise<void> {
  if (train === undefined) return;
  const step = opByOpStep(tf, { model, objective, optimizer: adamWith(learningRate), seed });
  await trainLoop(tf, {
    model,
    objective,
    step,
    train,
    epochs,
    batchSize,
    seed,
    clock: () => performance.now(),
    onState: (state) => onShare(state.step / state.steps),
  });
  step.dispose();
}

/** The model with the values that its weights have after they were stored as uint8. */
async function quantize(model: LayersModel, { backend: { tf } }: Circumstances): Promise<LayersModel> {
  const quantized = await buildLayersModel(
    tf,
    quantizeStored(await storeLayersModel(tf, model)),
    "the quantized model",
  );
  model.dispose();
  return quantized;
}

/** Takes `model` over, and returns what is to be written. Throws Failure. */
export async function applyMethods(
  model: LayersModel,
  methods: readonly Method[],
  circumstances: Circumstances,
): Promise<StoredModel> {
  const { onStep } = circumstances;
  let current = model;
  let quantized = false;
  for (const [index, method] of methods.entries()) {
    const share = (part: number) => (index + part) / methods.length;
    if (method.prune !== undefined) {
      onStep("prune", share(0));
      current = await prune(current, method.prune.structured?.sparsity ?? 0, circumstances);
      const tuning = method.prune.fineTune;
      if (tuning !== undefined) {
        await fineTune(current, tuning, circumstances, (part) => onStep("fineTune", share(part)));
      }
    }
    if (method.quantize !== undefined) {
      onStep("quantize", share(0));
      current = await quantize(current, circumstances);
      quantized = true;
    }
  }
  const stored = await storeLayersModel(circumstances.backend.tf, current);
  current.dispose();
  return quantized ? quantizeStored(stored) : stored;
}
