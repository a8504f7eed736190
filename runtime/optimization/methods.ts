/** Applies the methods of an optimization, in order. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { OptimizationRun } from "../../crds/contract/run.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Backend } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import {
  buildLayersModel,
  quantizeStored,
  storeLayersModel,
  type StoredModel,
  type StoredType,
} from "../formats/tfjs-layers.ts";
import { trainLoop } from "../training/loop.ts";
import type { Objective } from "../training/objective.ts";
import { opByOpStep } from "../training/op-by-op-step.ts";
import { analyse } from "./channels/analysis.ts";
import { removeChannels } from "./channels/removal.ts";
import { leastImportant } from "./channels/selection.ts";
import { weightsOf } from "./channels/weights.ts";

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

type Structured = NonNullable<NonNullable<Method["prune"]>["structured"]>;

async function prune(
  model: LayersModel,
  { sparsity, criterion }: Structured,
  { backend }: Circumstances,
): Promise<LayersModel> {
  const stored = await storeLayersModel(backend.tf, model);
  const analysis = analyse(model);
  const removed = leastImportant(analysis, weightsOf(stored), sparsity, criterion);
  if (removed.size === 0) {
    throw new Failure(
      "InvalidSpec",
      "spec.methods: prune.structured finds no unit or filter that may be removed; raise sparsity, or remove prune",
    );
  }
  const pruned = await buildLayersModel(backend.tf, removeChannels(stored, analysis, removed), "the pruned model");
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

/** Takes `model` over, and returns what is to be written. Throws Failure. */
export async function applyMethods(
  model: LayersModel,
  methods: readonly Method[],
  circumstances: Circumstances,
): Promise<StoredModel> {
  const { onStep } = circumstances;
  let current = model;
  let type: StoredType | undefined;
  for (const [index, method] of methods.entries()) {
    const share = (part: number) => (index + part) / methods.length;
    if (method.prune !== undefined) {
      onStep("prune", share(0));
      current = await prune(current, method.prune.structured, circumstances);
      const tuning = method.prune.fineTune;
      if (tuning !== undefined) {
        await fineTune(current, tuning, circumstances, (part) => onStep("fineTune", share(part)));
      }
    }
    if (method.quantize !== undefined) {
      onStep("quantize", share(0));
      type = method.quantize.weights;
    }
  }
  const stored = await storeLayersModel(circumstances.backend.tf, current);
  current.dispose();
  return type === undefined ? stored : quantizeStored(stored, type);
}
